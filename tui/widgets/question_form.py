"""A form over the questions of a step: compact fields, and beside them what the focused one means."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from textual import events, on
from textual.app import ComposeResult
from textual.containers import Horizontal, VerticalScroll
from textual.content import Content
from textual.message import Message
from textual.widget import Widget
from textual.widgets import Checkbox, Collapsible, Input, Label, Select, Static

from core.wizard.answers import Question
from tui.safe_text import safe

_Field = Input | Select[str] | Checkbox
_EMPTY = re.compile(r"\bempty (?:for|takes) ([^.;:,]+)", re.I)
"""Where the help of a question says what no answer means."""


class Flag(Checkbox):
    """A checkbox that says in words whether it is set: its mark differs in nothing but the colour."""

    def __init__(self, value: bool, id: str) -> None:
        super().__init__(_word(value), value, id=id, compact=True)

    def watch_value(self) -> None:
        super().watch_value()
        self.label = _word(self.value)


class QuestionForm(Horizontal):
    """One line a question, the rarely changed ones folded away. `values` holds what differs from the defaults."""

    DEFAULT_CSS = """
    QuestionForm { height: 1fr; }
    QuestionForm #fields { width: 1fr; padding: 0 1 0 0; }
    QuestionForm .row { height: 1; margin: 0 0 1 0; }
    QuestionForm .question { width: 24; color: $text-muted; }
    QuestionForm .row:focus-within .question { color: $text-accent; text-style: bold; }
    QuestionForm .field { width: 1fr; max-width: 64; background: $surface; }
    QuestionForm .field:focus-within, QuestionForm .field:focus { background: $panel; }
    QuestionForm Checkbox { border: none; padding: 0; background: transparent; width: auto; height: 1; }
    QuestionForm Collapsible { background: transparent; border-top: none; padding: 0; margin: 0; }
    QuestionForm Collapsible Contents { padding: 1 0 0 0; }
    QuestionForm CollapsibleTitle { padding: 0; color: $text-muted; }
    QuestionForm #help { width: 36; height: auto; padding: 0 2; border-left: vkey $panel; color: $text-muted; }
    QuestionForm #form-error { color: $text-error; height: auto; width: 1fr; margin: 0 0 1 0; display: none; }
    """

    @dataclass
    class Changed(Message):
        """Some answer differs from what it was."""

        form: QuestionForm

    def __init__(self, questions: Sequence[Question], given: Mapping[str, Any], id: str | None = None) -> None:
        super().__init__(id=id)
        self._questions, self._given = questions, given
        self.section = questions[0].section if questions else ""
        """Whose answers these are; "" once they are taken over."""
        self._fields: dict[str, _Field] = {}
        """Of questions that are not folded away, or were not at some time."""
        self._told = self.values

    def compose(self) -> ComposeResult:
        with VerticalScroll(id="fields", can_focus=False):
            yield Label("", id="form-error", markup=False)
            yield from (self._row(question) for question in self._questions if not question.advanced)
            if advanced := [question for question in self._questions if question.advanced]:
                given = sum(question.field in self._given for question in advanced)
                yield Collapsible(title=f"{len(advanced)} more, seldom changed{f', {given} of them answered' * bool(given)}")
        yield Static("", id="help")

    def on_mount(self) -> None:
        first = next((question.field for question in self._questions if not question.advanced), "")
        self.query(f"#field-{first}").focus()

    @on(Collapsible.Expanded)
    async def _unfold(self, event: Collapsible.Expanded) -> None:
        """The rows behind the fold, when they are first asked for: there may be twice as many as before it."""
        contents = event.collapsible.query_one(Collapsible.Contents)
        if not contents.children:
            await contents.mount_all(self._row(question) for question in self._questions if question.advanced)

    def _row(self, question: Question) -> Widget:
        label = Label(question.title, classes="question", markup=False)
        return Horizontal(label, self._field(question), classes="row")

    def _field(self, question: Question) -> _Field:
        field = self._fields[question.field] = self._make_field(question)
        return field

    def _make_field(self, question: Question) -> _Field:
        value = self._given.get(question.field, question.default)
        name = f"field-{question.field}"
        if question.kind == "flag":
            return Flag(bool(value), name)
        if question.kind == "choice":
            choices = [(choice, choice) for choice in question.choices]
            return Select(choices, value=str(value), allow_blank=False, id=name, classes="field", compact=True)
        text = "" if value is None else str(value)
        return Input(text, placeholder=meaning_of_empty(question), id=name, classes="field", compact=True)

    @property
    def values(self) -> dict[str, Any]:
        """Answers that are not the default's; texts where numbers are asked are left to the checks."""
        found: dict[str, Any] = {}
        for question in self._questions:
            field = self._fields.get(question.field)
            if field is None:  # folded away, and so not changed
                value: Any = self._given.get(question.field, question.default)
            else:
                value = _typed(field.value, question) if isinstance(field, Input) else field.value
            if value != question.default:
                found[question.field] = value
        return found

    def show_error(self, text: str) -> None:
        """Above the fields, what is wrong with an answer; nothing takes it away."""
        for label in self.query("#form-error").results(Label):  # none while the form comes or goes
            label.update(safe(text))
            label.display = bool(text)

    @on(events.DescendantFocus)
    def _explain(self) -> None:
        if (question := self.focused_question) is not None:
            self.query_one("#help", Static).update(explanation(question))

    @property
    def focused_question(self) -> Question | None:
        """The question whose field has the focus."""
        focused = self.screen.focused
        field = (focused.id or "").removeprefix("field-") if focused is not None else ""
        return next((question for question in self._questions if question.field == field), None)

    @on(Input.Changed)
    @on(Select.Changed)
    @on(Checkbox.Changed)
    def _changed(self) -> None:
        """Fields also tell what they hold when they come."""
        if (values := self.values) != self._told:
            self._told = values
            self.post_message(self.Changed(self))


def _word(value: bool) -> str:
    return "yes" if value else "no"


def meaning_of_empty(question: Question) -> str:
    """What it means that a question is not answered, in the words of its help."""
    if said := _EMPTY.search(question.help):
        return said[1]
    return "as effort or preset says" if question.section == "training" and "empty" not in question.help.lower() else "left empty"


def explanation(question: Question) -> Content:
    """What a question means, its unit, range and default."""
    facts = []
    if question.unit:
        facts.append(f"unit: {question.unit}")
    if question.minimum is not None or question.maximum is not None:
        low = "" if question.minimum is None else f"from {question.minimum:g} "
        high = "" if question.maximum is None else f"to {question.maximum:g}"
        facts.append(f"range: {low}{high}".rstrip())
    default = _word(question.default) if question.kind == "flag" else question.default
    facts.append(f"default: {meaning_of_empty(question) if default in (None, '') else default}")
    if question.cosmetic:
        facts.append("changes no result")
    return Content.assemble(
        (question.title, "bold $text-accent"), "\n", (question.help, ""), "\n\n", ("\n".join(facts), "$faint")
    )


def _typed(text: str, question: Question) -> Any:
    text = text.strip()
    if not text:
        return None if question.default is None else question.default
    if question.kind in ("integer", "number"):
        try:
            return int(text) if question.kind == "integer" else float(text)
        except ValueError:
            return text
    return text
