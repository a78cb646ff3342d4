"""The prepared rows one by one, over the whole screen: looked at, accepted, rejected, edited."""

from __future__ import annotations

from collections.abc import Callable

from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Horizontal, VerticalScroll
from textual.screen import Screen
from textual.widgets import Footer, Input, Label, Select, Static
from textual.worker import Worker, WorkerState, get_current_worker

from core.dataset.rows import Row, read_prompt
from core.errors import CalmtuneError
from core.wizard.recipe import REVIEWED
from core.wizard.row_review import RowReview
from core.wizard.session import Session
from tui.screens.dialogs import EditDialog, HelpDialog
from tui.screens.row_filter import VIEWS, RowFilter, Wanted, position
from tui.screens.row_texts import row_detail, row_line, row_prompt
from tui.widgets.long_list import LongList
from tui.widgets.top_bar import TopBar

_HELP = """\
Each row teaches the model to write its commands when it is shown its prompt. Reject what the test's author would not sign; \
accept a rejected wording that means the same after all; edit one that is nearly right. The message of a test itself is \
edited in the test.

A decision is on the disk as soon as the key is pressed, and counts for every row with the same wording in that place. The rows \
follow when the preparation runs again."""


class ReviewScreen(Screen[bool]):
    """Dismissed with True when the preparation shall run again."""

    CSS_PATH = "review.tcss"
    AUTO_FOCUS = ""
    BINDINGS = [
        Binding("a", "decide('accept')", "Accept", tooltip="Make a row of a rejected wording", id="accept"),
        Binding("r", "decide('reject')", "Reject", tooltip="Leave the row out", id="reject"),
        Binding("e", "edit", "Edit", tooltip="Word it otherwise; the commands stay", id="edit-row"),
        Binding("u", "undo", "Undo", tooltip="Take back what was decided about this row", id="undo"),
        Binding(
            "slash", "filter", "Filter", tooltip="Search messages, commands and tests", key_display="/", id="filter"
        ),
        Binding("v", "view", "View", tooltip="Rows, rejected wordings or decided ones", id="view"),
        Binding("p", "prompt", "Prompt", tooltip="Show or hide the prompt of the row", id="prompt"),
        Binding("escape", "back", "Back", tooltip="Back to the step", id="back-to-step"),
        Binding("f", "about", "Flow…", tooltip="Only rows about a flow, command or slot", id="about"),
        Binding("ctrl+r", "run", "Run", tooltip="Make the rows again with what was decided", id="run-again"),
        Binding("f1", "help", "Help", tooltip="What to do here, and the keys", show=False, id="help"),
    ]

    def __init__(self, session: Session) -> None:
        super().__init__()
        self.session = session
        self.review: RowReview | None = None
        self.shown: list[Row] = []
        self._filter: RowFilter | None = None
        self._with_prompt = False

    def compose(self) -> ComposeResult:
        yield TopBar()
        with Horizontal(id="row-filters"):
            yield Input(placeholder="message, command or test", id="filter", compact=True)
            yield Select([(VIEWS["rows"], "rows")], value="rows", allow_blank=False, id="view", compact=True)
            yield Select([("about anything", "")], value="", allow_blank=False, id="about", compact=True)
        with Horizontal(id="rows-and-row"):
            yield LongList("no row is like that", id="rows")
            with VerticalScroll(id="detail"):
                yield Static("", id="row")
                yield Static("", id="row-prompt")
        yield Label("", id="outlook", markup=False)
        yield Footer(compact=True, show_command_palette=False)

    def on_mount(self) -> None:
        self.query_one(TopBar).where = f"{self.session.id} · prepared rows"
        self.query_one("#outlook").display = False
        self.query_one(LongList).loading = True
        self._read()

    # Reading

    @work(thread=True, exit_on_error=False, group="rows")
    def _read(self) -> None:
        """Rows may be many: read aside, while the screen is up already."""
        review = RowReview(self.session, prompts=False)
        self.app.call_from_thread(self._have, review, RowFilter(review))

    @on(Worker.StateChanged)
    def _worker_changed(self, event: Worker.StateChanged) -> None:
        if event.state is WorkerState.ERROR and event.worker.group == "rows":
            self.app.notify(str(event.worker.error), title="The rows cannot be shown", severity="error", timeout=10)
            self.dismiss(False)

    def _have(self, review: RowReview, found: RowFilter) -> None:
        self.review, self._filter = review, found
        things = [(f"{name}  {count:,}", name) for name, count in found.things()]
        about = self.query_one("#about", Select)
        with about.prevent(Select.Changed):
            about.set_options([("about anything", ""), *things])
            about.value = ""
        self.query_one(LongList).loading = False
        self.query_one(LongList).focus()
        self._count_views()
        self._show()

    # What is seen

    @property
    def row(self) -> Row | None:
        """The row in view."""
        at = self.query_one(LongList).highlighted
        return self.shown[at] if at is not None and at < len(self.shown) else None

    def _count_views(self) -> None:
        """The views with their counts, which decisions change."""
        assert self._filter is not None
        view = self.query_one("#view", Select)
        chosen = view.value
        with view.prevent(Select.Changed):
            view.set_options([(f"{VIEWS[name]}  {count:,}", name) for name, count in self._filter.views()])
            view.value = chosen
            view.mutate_reactive(Select.value)  # type: ignore[misc]  # else the count of a view that stays would not change

    @on(Input.Changed, "#filter")
    @on(Select.Changed)
    def _show(self) -> None:
        """Show what the filters let through; the row in view stays when it is among it."""
        if self.review is None or self._filter is None:
            return
        before = self.row
        wanted = Wanted(
            str(self.query_one("#view", Select).value),
            str(self.query_one("#about", Select).value),
            self.query_one("#filter", Input).value,
        )
        self.shown = self._filter.found(wanted)
        marked = self.review.mark
        shown = self.shown
        self.query_one(LongList).show(
            len(shown), lambda at: row_line(shown[at], marked(shown[at])), position(shown, before)
        )
        self._show_outlook()

    @on(LongList.Highlighted)
    def _show_row(self) -> None:
        at = self.query_one(LongList).highlighted
        self.query_one(TopBar).state = f"{0 if at is None else at + 1:,} of {len(self.shown):,}"
        self._draw_row()
        self.query_one("#detail").scroll_home(animate=False)

    def _draw_row(self) -> None:
        row, review = self.row, self.review
        prompt = self.query_one("#row-prompt", Static)
        prompt.display = self._with_prompt and row is not None
        if row is None or review is None:
            self.query_one("#row", Static).update("")
            return
        self.query_one("#row", Static).update(row_detail(row, review.mark(row)))
        if self._with_prompt:
            try:
                prompt.update(row_prompt(read_prompt(review.folder, row)))
            except OSError as error:
                prompt.update(row_prompt(f"it cannot be read: {error.strerror}"))

    def _show_outlook(self) -> None:
        """What running again will do; in a session that may not be changed, why."""
        assert self.review is not None
        text = f"{outlook} ctrl+r runs it." if (outlook := self.review.outlook()) else ""
        if self.session.read_only:
            text = f"{self.session.notice or 'this session can only be looked at here'}; nothing can be decided"
        label = self.query_one("#outlook", Label)
        label.update(text)
        label.display = bool(text)
        self.refresh_bindings()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Grey what cannot be done now."""
        if action in ("decide", "edit", "undo", "run") and self.session.read_only:
            return None
        if action == "run":
            return bool(self.review is not None and self.review.pending)
        if action in ("decide", "edit", "undo", "prompt", "view", "about"):
            return self.review is not None
        return True

    # Deciding

    def action_decide(self, verdict: str) -> None:
        row = self.row
        if row is not None and self.review is not None:
            review = self.review
            self._change(lambda: review.decide([row], "accept" if verdict == "accept" else "reject"))

    @work
    async def action_edit(self) -> None:
        """Ask for other words."""
        row, review = self.row, self.review
        if row is None or review is None:
            return
        if reason := review.refusal(row, "edit"):
            self.notify(reason, severity="warning")
            return
        mark = review.mark(row)
        before = mark.text if mark is not None and mark.pending and mark.text else row.wording
        text = await self.app.push_screen_wait(
            EditDialog(row.original, row.commands, before, lambda text: review.refusal(row, "edit", text))
        )
        if text is not None:
            self._change(lambda: review.decide([row], "edit", text))

    def action_undo(self) -> None:
        row, review = self.row, self.review
        if row is not None and review is not None:
            self._change(lambda: review.undo([row]))

    def _change(self, change: Callable[[], None]) -> None:
        """Change a decision, then show it; a sentence when it cannot be."""
        try:
            change()
        except CalmtuneError as error:
            self.notify(str(error), severity="warning")
            return
        except OSError as error:
            self.notify(f"the decision could not be written: {error}", severity="error", timeout=10)
            return
        self.query_one(LongList).redraw()
        self._draw_row()
        self._count_views()
        self._show_outlook()
        self._look_for_earlier()

    @work(thread=True, exclusive=True, exit_on_error=False, group="earlier")
    def _look_for_earlier(self) -> None:
        """Taking decisions back may lead to an earlier run, whose rows are in force again at once."""
        worker, review = get_current_worker(), self.review
        folder = self.session.status(REVIEWED).folder
        if review is not None and folder not in (None, review.folder) and not worker.is_cancelled:
            self.app.call_from_thread(self._read)

    # Looking

    def action_prompt(self) -> None:
        self._with_prompt = not self._with_prompt
        self._draw_row()
        detail = self.query_one("#detail")
        if self._with_prompt:
            self.call_after_refresh(detail.scroll_to_widget, self.query_one("#row-prompt"), top=True, animate=False)
        else:
            detail.scroll_home(animate=False)

    def action_filter(self) -> None:
        self.query_one("#filter", Input).focus()

    def action_view(self) -> None:
        """The next view that has rows."""
        assert self._filter is not None
        view = self.query_one("#view", Select)
        names = [name for name, count in self._filter.views() if count]
        view.value = names[(names.index(str(view.value)) + 1) % len(names)] if view.value in names else names[0]

    def action_about(self) -> None:
        about = self.query_one("#about", Select)
        about.focus()
        about.action_show_overlay()

    @on(Input.Submitted, "#filter")
    def _to_the_rows(self) -> None:
        self.query_one(LongList).focus()

    def action_help(self) -> None:
        keys = [
            (shown.binding.key_display or shown.binding.key, shown.binding.tooltip)
            for shown in self.active_bindings.values()
            if shown.binding.tooltip
        ]
        self.app.push_screen(HelpDialog("Prepared rows", _HELP, keys))

    def action_run(self) -> None:
        self.dismiss(True)

    def action_back(self) -> None:
        """From the filter to the rows, from the rows to the step."""
        rows = self.query_one(LongList)
        if self.focused is not rows:
            rows.focus()
        else:
            self.dismiss(False)
