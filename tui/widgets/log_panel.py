"""The log of a run with a line that says how much there is, and one to search and to filter it."""

from __future__ import annotations

from array import array
from collections.abc import Iterable

from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.widgets import Input, Label, Static
from textual.worker import get_current_worker

from core.assistant.matching import BadPattern
from tui.widgets.log_lines import Search
from tui.widgets.log_view import LogView


class LogPanel(Vertical):
    """`/` searches, `f` filters; with ctrl+t what is typed is a regular expression."""

    DEFAULT_CSS = """
    LogPanel { height: 1fr; }
    LogPanel #log-title { height: 1; width: 1fr; text-wrap: nowrap; text-overflow: ellipsis; }
    LogPanel #prompt { height: 1; display: none; background: $panel; padding: 0 1; }
    LogPanel #prompt.-open { display: block; }
    LogPanel #prompt-what { width: auto; color: $text-accent; }
    LogPanel #prompt-hint { width: auto; max-width: 60%; color: $text-muted; }
    LogPanel #prompt-hint.-wrong { color: $text-error; }
    LogPanel #words { width: 1fr; background: $panel; }
    """
    BINDINGS = [
        Binding("slash", "ask('search')", "Search", key_display="/", tooltip="Search the log", id="search-log"),
        Binding("f", "ask('filter')", "Filter", tooltip="Show only lines of the log that hold something", id="filter-log"),
        Binding("n", "next(1)", "Next match", tooltip="The next line that holds what is searched for", show=False, id="next-match"),
        Binding("N", "next(-1)", "Match before", tooltip="The line before that holds it", show=False, id="match-before"),
        Binding("ctrl+t", "toggle_pattern", "Regular expression", tooltip="Plain words or a pattern", show=False, id="pattern"),
        Binding("escape", "undo", "All lines", tooltip="End filter and search", show=False, id="all-lines"),
    ]

    def __init__(self, id: str | None = None) -> None:
        super().__init__(id=id)
        self._asking = "search"
        self._is_pattern = False
        self._problem = ""
        self._wanted: Search | None = None
        """What is looked for now; what an earlier look finds comes too late."""

    def compose(self) -> ComposeResult:
        yield Static("", id="log-title")
        yield LogView(id="lines")
        with Horizontal(id="prompt"):
            yield Label("", id="prompt-what")
            yield Input(id="words", compact=True, select_on_focus=True)
            yield Label("", id="prompt-hint", markup=False)

    def on_mount(self) -> None:
        self._tell()

    @property
    def view(self) -> LogView:
        return self.query_one(LogView)

    @property
    def is_idle(self) -> bool:
        """Whether nobody is reading or searching it."""
        return self.view.following and self.view.search is None and self.view.filter is None and not self._is_open

    def add(self, lines: Iterable[str]) -> None:
        """Take over new lines."""
        try:
            self.view.add(lines)
        except BadPattern as error:
            self._give_up(str(error))

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Escape is the screen's when there is nothing to undo."""
        if not self.is_mounted or action not in ("undo", "next", "toggle_pattern"):
            return True
        if action == "toggle_pattern":
            return self._is_open
        return self.view.search is not None or (action == "undo" and (self._is_open or self.view.filter is not None))

    @property
    def _is_open(self) -> bool:
        return self.query_one("#prompt").has_class("-open")

    def action_ask(self, what: str) -> None:
        self._asking = what
        now = self.view.search if what == "search" else self.view.filter
        self.query_one("#prompt").add_class("-open")
        words = self.query_one("#words", Input)
        with self.prevent(Input.Changed):
            words.value = now.text if now is not None else ""
        words.focus()
        self._hint("")

    def action_toggle_pattern(self) -> None:
        self._is_pattern = not self._is_pattern
        self._hint("")
        self._look()

    def action_next(self, way: int) -> None:
        self.view.next_match(way)

    def action_undo(self) -> None:
        """One thing at a time: what is being typed, else the search, else the filter."""
        self._wanted = None
        if self._is_open:
            self._close()
            self._apply(self._asking, None, array("Q"))
        elif self.view.search is not None:
            self._apply("search", None, array("Q"))
        else:
            self._apply("filter", None, array("Q"))

    def _close(self) -> None:
        self.query_one("#prompt").remove_class("-open")
        self.view.focus()

    @on(Input.Submitted)
    def _submitted(self, event: Input.Submitted) -> None:
        event.stop()
        self._close()

    @on(Input.Changed)
    def _typed(self, event: Input.Changed) -> None:
        event.stop()
        self._look()

    def _look(self) -> None:
        """Search for what is typed now, beside the screen's work."""
        text, self._wanted = self.query_one("#words", Input).value, None
        if not text:
            self._apply(self._asking, None, array("Q"))
            return
        try:
            search = Search(text, self._is_pattern)
        except BadPattern as error:
            self._hint(str(error).rpartition("cannot be read: ")[2], wrong=True)
            return
        self._wanted = search
        self._find(self._asking, search)

    @work(thread=True, exclusive=True, exit_on_error=False, group="log-search")
    def _find(self, what: str, search: Search) -> None:
        worker, found, lines = get_current_worker(), array("Q"), self.view.lines
        end = len(lines)
        try:
            for number in search.in_lines(lines, 0, end):
                found.append(number)
                if worker.is_cancelled:
                    return
        except BadPattern as error:
            self.app.call_from_thread(self._give_up, str(error))
            return
        if not worker.is_cancelled:
            self.app.call_from_thread(self._found, what, search, found, end)

    def _found(self, what: str, search: Search, found: array[int], seen: int) -> None:
        if search is self._wanted:
            self._apply(what, search, found, seen)

    def _apply(self, what: str, search: Search | None, found: array[int], seen: int = 0) -> None:
        """Show what was found among the `seen` lines; those that came meanwhile are looked at now."""
        if search is not None:
            found.extend(search.in_lines(self.view.lines, seen, len(self.view.lines)))
        self._problem = ""
        if what == "search":
            self.view.look_for(search, found)
        else:
            self.view.show_only(search, found)
        self._hint("nothing found" if search is not None and not found else "")
        self.refresh_bindings()

    def _give_up(self, why: str) -> None:
        self.view.show_only(None)
        self.view.look_for(None)
        self._problem = why
        self._hint(why, wrong=True)
        self._tell()

    def _hint(self, text: str, wrong: bool = False) -> None:
        kind = "regular expression" if self._is_pattern else "words"
        hint = self.query_one("#prompt-hint", Label)
        hint.set_class(wrong, "-wrong")
        hint.update(text or f"{kind}, ctrl+t for {'words' if self._is_pattern else 'a regular expression'}")
        self.query_one("#prompt-what", Label).update(f"{self._asking} ")

    @on(LogView.Changed)
    def _tell(self) -> None:
        """How many lines there are and which are shown."""
        view = self.view
        parts = [(f"log  {len(view.lines):,} line{'' if len(view.lines) == 1 else 's'}", "$muted")]
        if view.filter is not None:
            parts.append((f"  ·  {view.count:,} with {view.filter}", "$text-accent"))
        if view.search is not None:
            at, count = view.standing
            place = f"{at:,} of {count:,}" if count else "not there"
            parts.append((f"  ·  {view.search}: {place}", "$text-accent"))
        if self._problem:
            parts.append((f"  ·  {self._problem}", "$text-error"))
        if not view.following:
            new = f"{view.new:,} new line{'' if view.new == 1 else 's'}" if view.new else "not following"
            parts.append((f"  ·  {new}, end follows", "$text-warning"))
        self.query_one("#log-title", Static).update(Content.assemble(*parts))
