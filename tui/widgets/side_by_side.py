"""A failed conversation as a difference: what was expected beside what came, the first difference marked."""

from __future__ import annotations

from collections.abc import Iterator

from textual import events
from textual.app import ComposeResult
from textual.containers import VerticalScroll
from textual.content import Content
from textual.widgets import Static

from core.e2e.side_by_side import Line, Sides, SidesOfTurn
from tui.safe_text import one_line, safe

BESIDE = 64
"""Columns from which both sides stand beside each other, else one below the other."""
_SIGNS = {"same": (" ", "$muted"), "differs": ("✗", "$text-error"), "more": (" ", "$faint"), "untried": ("·", "$faint")}
_LONGEST = 600
"""Characters of one thing that was said."""


class SideBySide(VerticalScroll):
    """Scrolls to the first difference when it is shown."""

    DEFAULT_CSS = """
    SideBySide { height: 1fr; width: 1fr; scrollbar-gutter: stable; }
    SideBySide Static { width: 1fr; height: auto; text-wrap: nowrap; text-overflow: ellipsis; }
    """

    def __init__(self, id: str | None = None) -> None:
        super().__init__(id=id)
        self._sides: Sides | None = None
        self._head = Content("")
        self._drawn = 0

    def compose(self) -> ComposeResult:
        yield Static("")

    def show(self, sides: Sides | None, head: Content) -> None:
        """Show another conversation below some lines about it; None shows those alone."""
        self._sides, self._head, self._drawn = sides, head, 0
        self._draw()

    def on_resize(self, event: events.Resize) -> None:
        self._draw()

    def _draw(self) -> None:
        width = self.scrollable_content_region.width
        if not width or width == self._drawn:
            return
        self._drawn = width
        text, first = (Content(""), 0) if self._sides is None else difference(self._sides, width)
        head = _wrapped(self._head, width)
        self.query_one(Static).update(Content("\n").join([*head, text]))
        visible = self.scrollable_content_region.height
        target = len(head) + first
        above = min(3, visible // 3)
        self.call_after_refresh(self.scroll_to, y=0 if target < visible - 2 else target - above, animate=False)


def difference(sides: Sides, width: int) -> tuple[Content, int]:
    """The conversation drawn for a width in columns, and the row of its first difference."""
    rows: list[Content] = []
    first: int | None = None
    if width >= BESIDE:
        rows.append(Content.styled("  " + "expected".ljust(_widths(width)[0] + 3) + "what came", "bold $text-accent"))
    for number, turn in enumerate(sides.turns, 1):
        rows += _said(turn, number, width)
        for line in turn.lines:
            is_first = line.mark == "differs" and first is None
            first = len(rows) if is_first else first
            rows += _beside(line, width, is_first) if width >= BESIDE else _below(line, width, is_first)
    if sides.note:
        rows += [Content(""), *_wrapped(Content.styled(safe(sides.note), "$text-warning"), width)]
    return Content("\n").join(rows), first or 0


def _said(turn: SidesOfTurn, number: int, width: int) -> Iterator[Content]:
    yield Content("")
    if turn.user is None:
        yield Content.styled("before the first message", "$muted")
        return
    place = f"  line {turn.line}" if turn.line else ""
    who = Content.assemble(("USER ", "$muted"), (one_line(turn.user, _LONGEST), "bold"), (place, "$faint"))
    yield from _wrapped(who, width)
    if turn.commands:
        yield from _wrapped(Content.styled("     " + one_line("; ".join(turn.commands), _LONGEST), "$muted"), width)


def _widths(width: int) -> tuple[int, int]:
    left = (width - 5) // 2
    return left, width - 5 - left


def _beside(line: Line, width: int, is_first: bool) -> Iterator[Content]:
    left, right = _widths(width)
    sides = _cells(line.expected, left, _expected_style(line)), _cells(line.actual, right, _actual_style(line))
    for at in range(max(map(len, sides))):
        one, other = (side[at] if at < len(side) else Content("") for side in sides)
        one = one.truncate(left, pad=True)
        yield Content.assemble(_sign(line, is_first) if at == 0 else "  ", one, (" │ ", "$track"), other)


def _below(line: Line, width: int, is_first: bool) -> Iterator[Content]:
    sign = _sign(line, is_first)
    if line.expected and line.actual and line.mark == "differs":
        parts = [("+ ", line.expected, _expected_style(line)), ("- ", line.actual, _actual_style(line))]
    elif line.expected:
        parts = [("+ " if line.mark == "differs" else "  ", line.expected, _expected_style(line))]
    else:
        parts = [("  ", line.actual, _actual_style(line))]
    for lead, text, style in parts:
        for cell in _cells(text, width - 4, style):
            yield Content.assemble(sign, (lead, style), cell)
            sign, lead = Content("  "), "  "


def _cells(text: str, width: int, style: str) -> list[Content]:
    return _wrapped(Content.styled(one_line(text, _LONGEST), style), max(8, width)) if text else []


def _wrapped(text: Content, width: int) -> list[Content]:
    """Lines without the blanks at which they were parted, which would not fit."""
    return [line.rstrip() for line in text.wrap(width)]


def _sign(line: Line, is_first: bool) -> Content:
    sign, style = _SIGNS[line.mark]
    return Content.styled("▶ ", "bold $text-warning") if is_first else Content.styled(f"{sign} ", style)


def _expected_style(line: Line) -> str:
    return {"same": "", "differs": "$text-success", "untried": "$faint"}.get(line.mark, "")


def _actual_style(line: Line) -> str:
    return {"same": "$muted", "differs": "$text-error", "more": "$faint"}.get(line.mark, "")
