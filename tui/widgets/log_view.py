"""A log of any length: only the lines in view are made and drawn, and it follows what is added until one scrolls away."""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from rich.segment import Segment
from textual.binding import Binding
from textual.geometry import Offset, Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.selection import Selection
from textual.strip import Strip

from tui.safe_text import log_line
from tui.widgets.log_lines import LogLines, Search

_WIDEST = 20_000
"""Cells to the right of which nothing is shown."""
_LEVELS = {"warning:": "log-view--warning", "error:": "log-view--error"}


class LogView(ScrollView, can_focus=True):
    """Lines, all or those a filter leaves, with what is searched for marked. `add` takes new ones."""

    ALLOW_SELECT = True
    DEFAULT_CSS = """
    LogView { height: 1fr; background: $surface; padding: 0 0 0 1; scrollbar-size: 0 1; }
    LogView > .log-view--warning { color: $text-warning; }
    LogView > .log-view--error { color: $text-error; }
    LogView > .log-view--found { color: $text-accent; text-style: underline; }
    LogView > .log-view--current { color: $background; background: $accent; }
    """
    COMPONENT_CLASSES = {"log-view--line", "log-view--warning", "log-view--error", "log-view--found", "log-view--current"}
    BINDINGS = [
        Binding("home,g", "scroll_home", "First line", show=False, id="first-line"),
        Binding("end,G", "follow", "Last line", tooltip="Go to the last line and follow what is added", show=False, id="follow"),
        Binding("j", "scroll_down", "Down", show=False, id="line-down"),
        Binding("k", "scroll_up", "Up", show=False, id="line-up"),
    ]

    @dataclass
    class Changed(Message):
        """There are other lines, or another place is shown."""

        view: LogView

        @property
        def control(self) -> LogView:
            return self.view

        def can_replace(self, message: Message) -> bool:
            return isinstance(message, LogView.Changed) and message.view is self.view

    def __init__(self, id: str | None = None) -> None:
        super().__init__(id=id)
        self.lines = LogLines()
        self.following, self.new = True, 0
        self.filter: Search | None = None
        self._left: array[int] | None = None
        self.search: Search | None = None
        self.matches: array[int] = array("Q")
        """Lines that hold what is searched for."""
        self.current: int | None = None
        """The line of `matches` one has gone to."""
        self._visible: array[int] | None = None
        self._widest = 0

    @property
    def count(self) -> int:
        """Lines that the filter leaves."""
        return len(self.lines) if self._left is None else len(self._left)

    def add(self, lines: Iterable[str]) -> None:
        """Take over new lines. Raises BadPattern when filter or search take too long on them; the lines are taken over all the same."""
        before, shown = len(self.lines), self.count
        self._widest = min(_WIDEST, max(self._widest, self.lines.add(lines)))
        try:
            if self.filter is not None and self._left is not None:
                self._left.extend(self.filter.in_lines(self.lines, before, len(self.lines)))
            if self.search is not None:
                self.matches.extend(self.search.in_lines(self.lines, before, len(self.lines)))
        finally:
            self._visible = None
            self.new = 0 if self.following else self.new + self.count - shown
            self._fit()

    def show_only(self, filter: Search | None, left: Iterable[int] = ()) -> None:
        """Show the lines that a filter leaves, found before, or all; the line at the top stays in view when it is still there."""
        top = self._number(self.scroll_offset.y) if self.count else 0
        self.filter, self._left, self.new = filter, array("Q", left) if filter is not None else None, 0
        self._visible = None
        self._fit()
        if not self.following:
            self._go(self._position(top))

    def look_for(self, search: Search | None, matches: Iterable[int] = ()) -> None:
        """Mark what is searched for, found before, and go to the first from the top of the view on."""
        self.search, self.matches, self.current, self._visible = search, array("Q", matches), None, None
        if search is not None and self.count:
            self.next_match(1, self._number(self.scroll_offset.y) - 1)
        self._tell()

    def next_match(self, way: int, after: int | None = None) -> None:
        """Go to the next match in a direction, at the end to the one at the other end."""
        matches = self._visible_matches()
        if not matches:
            return
        here = after if after is not None else self.current if self.current is not None else self._number(self.scroll_offset.y)
        at = bisect_left(matches, here + 1 if way > 0 else here) - (way < 0)
        self.current = matches[at % len(matches)]
        place = self._position(self.current)
        if not self.scroll_offset.y <= place < self.scroll_offset.y + self.scrollable_content_region.height:
            self._go(place - self.scrollable_content_region.height // 2)
        self._tell()

    def _visible_matches(self) -> array[int]:
        """Matches that the filter leaves."""
        if self._left is None:
            return self.matches
        if self._visible is None:
            left = set(self._left)
            self._visible = array("Q", (number for number in self.matches if number in left))
        return self._visible

    @property
    def standing(self) -> tuple[int, int]:
        """(which match this is, from 1, or 0; how many there are)."""
        matches = self._visible_matches()
        return (0 if self.current is None else bisect_left(matches, self.current) + 1), len(matches)

    def action_follow(self) -> None:
        self.following = True
        self._fit()

    def _number(self, position: int) -> int:
        """The line at a position of the view."""
        position = max(0, min(position, self.count - 1))
        return position if self._left is None else self._left[position]

    def _position(self, number: int) -> int:
        """Where a line is, or would be, in the view."""
        return number if self._left is None else bisect_left(self._left, number)

    def _go(self, position: int) -> None:
        self.scroll_to(y=max(0, position), animate=False, immediate=True, force=True)

    def _fit(self) -> None:
        self.virtual_size = Size(self._widest, self.count)
        if self.following:
            self.new = 0
            self.scroll_to(y=self.max_scroll_y, animate=False, immediate=True, force=True)
        self._tell()

    def _tell(self) -> None:
        self.refresh()
        self.post_message(self.Changed(self))

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        super().watch_scroll_y(old_value, new_value)
        self.following = new_value >= self.max_scroll_y
        if self.following:
            self.new = 0
        self.post_message(self.Changed(self))

    def on_resize(self) -> None:
        if self.following:
            self.call_after_refresh(self._fit)

    # Drawing

    def render_line(self, y: int) -> Strip:
        left, top = self.scroll_offset
        width, position = self.scrollable_content_region.width, top + y
        if position >= self.count:
            return Strip.blank(width, self.rich_style)
        number = self._number(position)
        text = log_line(self.lines[number][: left + width + 256])
        strip = Strip(list(self._segments(text, number, position)))
        return strip.crop_extend(left, left + width, self.rich_style).apply_style(self.rich_style).apply_offsets(left, position)

    def _segments(self, text: str, number: int, position: int) -> Iterator[Segment]:
        """The line in pieces of one style each."""
        level = next((name for begin, name in _LEVELS.items() if text.startswith(begin)), "log-view--line")
        styles = {"": self.get_component_rich_style(level)}
        marked = [(begin, end, "found") for begin, end in (self.search.spans(text) if self.search is not None else ())]
        if self.text_selection is not None and (chosen := self.text_selection.get_span(position)) is not None:
            begin, end = chosen
            marked = [(begin, len(text) if end == -1 else end, "selection")]
            styles["selection"] = self.screen.get_component_rich_style("screen--selection")
        if marked:
            styles["found"] = self.get_component_rich_style("log-view--current" if number == self.current else "log-view--found")
        at = 0
        for begin, end, name in marked:
            yield Segment(text[at:begin], styles[""])
            yield Segment(text[begin:end], styles[name])
            at = end
        yield Segment(text[at:], styles[""])

    def get_selection(self, selection: Selection) -> tuple[str, str] | None:
        first = selection.start.y if selection.start is not None else 0
        last = selection.end.y if selection.end is not None else self.count - 1
        text = "\n".join(log_line(self.lines[self._number(at)]) for at in range(first, min(last, self.count - 1) + 1))
        start = None if selection.start is None else Offset(selection.start.x, 0)
        end = None if selection.end is None else Offset(selection.end.x, last - first)
        return Selection(start, end).extract(text), "\n"

    def selection_updated(self, selection: Selection | None) -> None:
        self.refresh()
