"""A list of any length: only the lines in view are made and drawn."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from textual import events
from textual.binding import Binding
from textual.cache import LRUCache
from textual.content import Content
from textual.geometry import Region, Size
from textual.message import Message
from textual.reactive import reactive
from textual.scroll_view import ScrollView
from textual.strip import Strip
from textual.visual import Visual

_LINES_KEPT = 512


class LongList(ScrollView, can_focus=True):
    """One line an entry, one of them highlighted. `show` says how many there are and what each one's line is."""

    DEFAULT_CSS = """
    LongList { height: 1fr; background: transparent; overflow-x: hidden; }
    LongList > .long-list--highlighted {
        color: $foreground; background: $block-cursor-blurred-background; text-style: $block-cursor-blurred-text-style;
    }
    LongList:focus > .long-list--highlighted {
        color: $block-cursor-foreground; background: $block-cursor-background; text-style: $block-cursor-text-style;
    }
    LongList > .long-list--hover { background: $block-hover-background; }
    LongList > .long-list--empty { color: $text-muted; }
    """
    COMPONENT_CLASSES = {"long-list--entry", "long-list--highlighted", "long-list--hover", "long-list--empty"}
    BINDINGS = [
        Binding("up,k", "move(-1)", "Previous", tooltip="The entry before", show=False, id="entry-before"),
        Binding("down,j", "move(1)", "Next", tooltip="The entry after", show=False, id="entry-after"),
        Binding("pageup", "page(-1)", "Page up", tooltip="A page up", show=False, id="page-up"),
        Binding("pagedown", "page(1)", "Page down", tooltip="A page down", show=False, id="page-down"),
        Binding("home", "first", "First", tooltip="The first entry", show=False, id="first-entry"),
        Binding("end", "last", "Last", tooltip="The last entry", show=False, id="last-entry"),
        Binding("enter", "select", "Select", show=False, id="select-entry"),
    ]

    highlighted: reactive[int | None] = reactive(None)
    """Index of the entry in view; None while there is none."""
    _hovered: reactive[int | None] = reactive(None)

    @dataclass
    class Highlighted(Message):
        """Another entry is highlighted, or there are other entries; None when there is none."""

        list: LongList
        index: int | None

        @property
        def control(self) -> LongList:
            return self.list

        def can_replace(self, message: Message) -> bool:
            return isinstance(message, LongList.Highlighted) and message.list is self.list

    @dataclass
    class Selected(Message):
        """Enter was pressed on an entry."""

        list: LongList
        index: int

        @property
        def control(self) -> LongList:
            return self.list

    def __init__(self, empty: str = "nothing to show", id: str | None = None) -> None:
        """`empty` stands where there are no entries."""
        super().__init__(id=id)
        self._empty, self._count = empty, 0
        self._line: Callable[[int], Content] = lambda index: Content("")
        self._drawn: LRUCache[tuple[int, int, str], Strip] = LRUCache(_LINES_KEPT)

    def show(self, count: int, line: Callable[[int], Content], highlighted: int = 0) -> None:
        """Show other entries: `line(index)` is asked for those in view."""
        self._count, self._line = count, line
        self.virtual_size = Size(0, count)
        self.redraw()
        self.set_reactive(LongList.highlighted, min(max(0, highlighted), count - 1) if count else None)
        self._tell()

    def redraw(self) -> None:
        """Ask for the lines anew, as after what they show has changed."""
        self._drawn.clear()
        self.refresh()

    def notify_style_update(self) -> None:
        super().notify_style_update()
        self._drawn.clear()

    # Moving

    def watch_highlighted(self) -> None:
        self._tell()

    def _tell(self) -> None:
        if self.highlighted is not None:
            self.scroll_to_region(Region(0, self.highlighted, 1, 1), animate=False, force=True, immediate=True)
        self.refresh()
        self.post_message(self.Highlighted(self, self.highlighted))

    def action_move(self, by: int) -> None:
        if self.highlighted is not None:
            self.highlighted = min(self._count - 1, max(0, self.highlighted + by))

    def action_page(self, by: int) -> None:
        self.action_move(by * max(1, self.scrollable_content_region.height - 1))

    def action_first(self) -> None:
        self.action_move(-self._count)

    def action_last(self) -> None:
        self.action_move(self._count)

    def action_select(self) -> None:
        if self.highlighted is not None:
            self.post_message(self.Selected(self, self.highlighted))

    def on_mouse_move(self, event: events.MouseMove) -> None:
        self._hovered = event.style.meta.get("entry")

    def on_leave(self) -> None:
        self._hovered = None

    def on_click(self, event: events.Click) -> None:
        entry = event.style.meta.get("entry")
        if entry is not None:
            self.highlighted = entry

    # Drawing

    def render_line(self, y: int) -> Strip:
        width, index = self.scrollable_content_region.width, self.scroll_offset.y + y
        if index < self._count:
            return self._drawn_line(index, width)
        style = self.get_visual_style("long-list--empty")
        text = self._empty if y == 0 and not self._count else ""
        return self._strip(Content(text), width, "long-list--empty") if text else Strip.blank(width, style.rich_style)

    def _drawn_line(self, index: int, width: int) -> Strip:
        component = "long-list--entry"
        if index == self.highlighted:
            component = "long-list--highlighted"
        elif index == self._hovered:
            component = "long-list--hover"
        key = (index, width, component + ("*" if self.has_focus else ""))
        strip = self._drawn.get(key)
        if strip is None:
            strip = self._strip(self._line(index), width, component).apply_meta({"entry": index})
            self._drawn[key] = strip
        return strip

    def _strip(self, text: Content, width: int, component: str) -> Strip:
        style = self.get_visual_style("long-list--entry", component)
        strips = Visual.to_strips(self, text.truncate(width, ellipsis=True), width, 1, style)
        return strips[0].extend_cell_length(width, style.rich_style) if strips else Strip.blank(width, style.rich_style)
