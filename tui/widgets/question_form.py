"""A form over the questions of a step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.widgets import Input, Label, Select, Static, Switch

from core.wizard.answers import Question


class QuestionForm(VerticalScroll):
    """One row a question. `values` holds what differs from the defaults, as the session wants it."""

    DEFAULT_CSS = """
    QuestionForm { height: 1fr; }
    QuestionForm .row { height: auto; margin: 0 0 1 0; }
    QuestionForm .question { width: 30; padding: 1 1 0 0; }
    QuestionForm .field { width: 1fr; height: auto; max-width: 80; }
    QuestionForm .help { color: $text-muted; padding: 0 1; }
    QuestionForm #form-error { color: $text-error; height: auto; }
    .-narrow QuestionForm .question { width: 18; }
    """

    def __init__(self, questions: Sequence[Question], given: Mapping[str, Any], id: str | None = None) -> None:
        super().__init__(id=id)
        self._questions, self._given = questions, given

    def compose(self) -> ComposeResult:
        yield Label("", id="form-error", markup=False)
        for question in self._questions:
            with Horizontal(classes="row"):
                yield Label(question.title, classes="question", markup=False)
                with Vertical(classes="field"):
                    yield self._field(question)
                    yield Static(_help(question), classes="help", markup=False)

    def _field(self, question: Question) -> Input | Select[str] | Switch:
        value = self._given.get(question.field, question.default)
        name = f"field-{question.field}"
        if question.kind == "flag":
            return Switch(bool(value), id=name)
        if question.kind == "choice":
            return Select(
                [(choice, choice) for choice in question.choices], value=str(value), allow_blank=False, id=name
            )
        return Input("" if value is None else str(value), placeholder="default" if value is None else "", id=name)

    @property
    def values(self) -> dict[str, Any]:
        """Answers that are not the default's; texts where numbers are asked are left to the checks."""
        found: dict[str, Any] = {}
        for question in self._questions:
            widget = self.query_one(f"#field-{question.field}")
            value: Any = widget.value if isinstance(widget, (Switch, Select)) else _typed(widget.value, question)  # type: ignore[attr-defined]
            if value != question.default:
                found[question.field] = value
        return found

    def show_error(self, text: str) -> None:
        self.query_one("#form-error", Label).update(text)


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


def _help(question: Question) -> str:
    unit = f" ({question.unit})" if question.unit else ""
    return question.help + unit
