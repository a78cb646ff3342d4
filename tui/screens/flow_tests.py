"""A flow over the whole screen: the steps that no test reaches, its YAML, and a test that would reach them, to be written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Horizontal, ScrollableContainer
from textual.content import Content
from textual.screen import Screen
from textual.widgets import Footer, Label, OptionList, Static
from textual.widgets.option_list import Option
from textual.worker import get_current_worker

from core.e2e.reaching import Place
from core.e2e.skeleton import Skeleton, write_beside
from core.errors import CalmtuneError
from core.evaluation.tests_to_write import TestsToWrite
from core.wizard.answers import SESSION
from core.wizard.session import Session
from tui.editor import edit
from tui.safe_text import one_line
from tui.screens.dialogs import HelpDialog
from tui.widgets.source import source
from tui.widgets.top_bar import TopBar

_HELP = """\
Each step on the left is one that no passing test reaches. The test beside it gets there: it was played with the values it names. \
Put what a user would say in place of each <…>, and keep the values. Writing it makes a new file beside your tests, and never \
replaces one; then run the coverage review again."""


class FlowScreen(Screen[None]):
    """Shows tests to write for one flow."""

    DEFAULT_CSS = """
    FlowScreen #parts { height: 1fr; padding: 1 2; }
    FlowScreen OptionList {
        border: none; padding: 0; background: transparent; width: 28; height: 1fr; text-wrap: nowrap; text-overflow: ellipsis;
    }
    FlowScreen OptionList:focus { border: none; background-tint: $foreground 0%; }
    FlowScreen .part { width: 1fr; height: 1fr; padding: 0 0 0 2; border-left: vkey $panel; }
    FlowScreen #test-part { width: 5fr; }
    FlowScreen #yaml-part { width: 4fr; }
    FlowScreen .part Static { width: auto; height: auto; }
    FlowScreen #told { height: auto; width: 1fr; padding: 0 2; color: $text-muted; }
    FlowScreen.-narrow #parts { layout: vertical; padding: 0 1; }
    FlowScreen.-narrow OptionList { width: 1fr; height: auto; max-height: 5; }
    FlowScreen.-narrow #test-part, FlowScreen.-narrow #yaml-part { width: 1fr; border-left: none; border-top: solid $panel; padding: 0; }
    FlowScreen.-narrow #told { padding: 0 1; }
    FlowScreen.-narrow #yaml-part, FlowScreen.-narrow.-yaml #test-part { display: none; }
    FlowScreen.-narrow.-yaml #yaml-part { display: block; }
    """
    BINDINGS = [
        Binding("w", "write", "Write test", tooltip="Write the test into a new file beside the tests", id="write-test"),
        Binding("e", "edit", "Edit", tooltip="Write it if need be, and open it in $EDITOR", id="edit-test"),
        Binding("y", "yaml", "YAML", tooltip="The flow's YAML or the test, in narrow terminals", id="yaml"),
        Binding("escape,q", "dismiss", "Back", tooltip="Back to the step", key_display="esc", id="close-flow"),
        Binding("f1", "help", "Help", tooltip="What is shown, and the keys", id="help"),
    ]

    def __init__(self, session: Session, flow: Mapping[str, Any]) -> None:
        """`flow` is its row in the summary of the coverage review."""
        super().__init__()
        self.session, self._flow = session, flow
        self._to_write: TestsToWrite | None = None
        self._choices: list[list[Place]] = []
        self._found: Skeleton | None = None
        self._written: dict[str, Path] = {}

    def compose(self) -> ComposeResult:
        yield TopBar()
        with Horizontal(id="parts"):
            yield OptionList(id="steps")
            with ScrollableContainer(classes="part", id="yaml-part", can_focus=True):
                yield Static("", id="flow-yaml")
            with ScrollableContainer(classes="part", id="test-part", can_focus=True):
                yield Static("", id="test")
        yield Label("", id="told", markup=False)
        yield Footer(compact=True, show_command_palette=False)

    def on_mount(self) -> None:
        bar = self.query_one(TopBar)
        bar.where = f"{self.session.id} · {one_line(self._flow['flow'], 60)}"
        bar.state = f"{self._flow['coverage']:.0%} of {self._flow['steps']} steps"
        self.query_one("#steps").focus()
        self.query_one("#steps").loading = True
        self._read()

    # Finding

    @work(thread=True, exit_on_error=False, group="tests")
    def _read(self) -> None:
        """The assistant as it is now; aside, since it may be large."""
        given = self.session.model(SESSION)
        try:
            to_write = TestsToWrite(Path(given.assistant), given.tests, given.patterns)
            places = to_write.uncovered(to_write.flow(self._flow["flow"]), self._flow["lines"])
        except (CalmtuneError, OSError) as error:
            self.app.call_from_thread(self._tell, str(error), "$text-error")
            return
        self.app.call_from_thread(self._have, to_write, places)

    def _have(self, to_write: TestsToWrite, places: Sequence[Place]) -> None:
        steps = self.query_one("#steps", OptionList)
        steps.loading = False
        self._to_write = to_write
        self._choices = [list(places)] if len(places) > 1 else []
        self._choices += [[place] for place in places]
        for at, choice in enumerate(self._choices):
            text = f"all {len(choice)} steps" if len(choice) > 1 else one_line(to_write.words(choice[0]), 200)
            steps.add_option(Option(Content(text), id=str(at)))
        self._draw_yaml([])
        steps.display = self.query_one("#test-part").display = bool(self._choices)
        self.set_class(not self._choices, "-yaml")
        if self._choices:
            steps.highlighted = 0
        elif self._flow["lines"]:
            self._tell("the flow has changed since the review ran: run it again to see which steps are not reached", "$text-warning")
        else:
            self.query_one("#yaml-part").focus()
            self._tell("passing tests reach every step of this flow")

    @on(OptionList.OptionHighlighted, "#steps")
    def _choose(self, event: OptionList.OptionHighlighted) -> None:
        places = self._choices[int(str(event.option.id))]
        self._found = None
        self._draw_yaml(places)
        self._search(places)

    @work(thread=True, exclusive=True, exit_on_error=False, group="search")
    def _search(self, places: Sequence[Place]) -> None:
        worker, to_write = get_current_worker(), self._to_write
        assert to_write is not None
        try:
            found = to_write.skeleton(places)
        except CalmtuneError as error:
            if not worker.is_cancelled:
                self.app.call_from_thread(self._tell, str(error), "$text-error")
            return
        if not worker.is_cancelled:
            self.app.call_from_thread(self._show, found)

    # What is seen

    def _show(self, found: Skeleton) -> None:
        self._found = found
        test = self.query_one("#test", Static)
        test.update(source(found.text, "yaml", 1, found.text.count("\n"), ()) if found.text else Content(""))
        self.query_one("#test-part").scroll_home(animate=False)
        told = ""
        if found.unreachable and self._to_write is not None:
            steps = ", ".join(one_line(self._to_write.words(place)) for place in found.unreachable)
            told = f"no conversation was found that gets to {steps}; is there a condition that never holds?"
        if (written := self._written.get(found.text)) is not None:
            told = f"written to {written}"
        self._tell(told, "$text-warning" if found.unreachable else "$text-muted")
        self.refresh_bindings()

    def _draw_yaml(self, places: Sequence[Place]) -> None:
        """The flow as written, the lines of the chosen steps marked."""
        assert self._to_write is not None
        flow = self._to_write.assistant.flows.get(self._flow["flow"])
        if flow is None:
            return
        chosen = [flow.step(step).lines for _, step in places]
        path = self._to_write.assistant.root / flow.lines.file
        try:
            text = path.read_text(encoding="utf-8", errors="replace")
        except OSError as error:
            self._tell(f"{path} cannot be read: {error.strerror}", "$text-error")
            return
        marked = {line for lines in chosen for line in range(lines.first, lines.last + 1)}
        self.query_one("#flow-yaml", Static).update(source(text, "yaml", flow.lines.first, flow.lines.last, marked, dedent=True))
        first = min(marked, default=flow.lines.first) - flow.lines.first
        self.call_after_refresh(self.query_one("#yaml-part").scroll_to, y=max(0, first - 3), animate=False)

    def _tell(self, text: str, colour: str = "$text-muted") -> None:
        self.query_one("#steps").loading = False
        self.query_one("#told", Label).update(Content.styled(one_line(text), colour))

    # What is done

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Grey what cannot be done now."""
        if action in ("write", "edit"):
            return True if self._found is not None and self._found.text else None
        if action == "yaml":
            return self.has_class("-narrow")
        return True

    def action_yaml(self) -> None:
        self.toggle_class("-yaml")

    def action_write(self) -> None:
        if (path := self._write()) is not None:
            self._tell(f"written to {path}; fill in what stands in <…>, then run the review again", "$text-success")

    def action_edit(self) -> None:
        if (path := self._write()) is not None:
            edit(self.app, path)
            self._tell(f"written to {path}; run the review again when it is filled in", "$text-success")

    def _write(self) -> Path | None:
        """The file of the test in view, written when it is not yet."""
        if self._found is None or not self._found.text or self._to_write is None:
            return None
        if self._found.text not in self._written:
            try:
                self._written[self._found.text] = write_beside(self._to_write.folder, self._found.file, self._found.text)
            except OSError as error:
                self._tell(f"the test could not be written: {error}", "$text-error")
                return None
        return self._written[self._found.text]

    def action_help(self) -> None:
        keys = [
            (shown.binding.key_display or shown.binding.key, shown.binding.tooltip)
            for shown in self.active_bindings.values()
            if shown.binding.tooltip
        ]
        self.app.push_screen(HelpDialog("Tests to write", _HELP, keys))
