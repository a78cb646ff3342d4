"""What a step found: its gates, its facts, its files."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rich.text import Text
from textual.app import ComposeResult
from textual.containers import VerticalScroll
from textual.widgets import DataTable, Label, Static

from core.wizard.step import Outputs

MOST_ROWS_OF_A_LIST = 12


class ResultPanel(VerticalScroll):
    """The outcome of a finished step."""

    DEFAULT_CSS = """
    ResultPanel { height: 1fr; }
    ResultPanel .heading { margin: 1 0 0 0; text-style: bold; }
    ResultPanel #verdict { padding: 0 1; margin: 1 0; width: auto; }
    ResultPanel #verdict.passed { background: $success-muted; color: $text-success; }
    ResultPanel #verdict.failed { background: $error-muted; color: $text-error; }
    ResultPanel DataTable { height: auto; }
    """

    def __init__(self, outputs: Outputs, folder: Path, id: str | None = None) -> None:
        super().__init__(id=id)
        self._outputs, self._folder = outputs, folder

    def compose(self) -> ComposeResult:
        passed = self._outputs.passed
        yield Label("✓ passed" if passed else "✗ gate failed", id="verdict", classes="passed" if passed else "failed")
        if self._outputs.gates:
            yield DataTable(id="gates", cursor_type="none", zebra_stripes=True)
        yield Label("Facts", classes="heading")
        for name, text in readable(self._outputs.summary):
            yield Static(Text.assemble((f"{name}  ", "bold"), text), classes="fact")
        yield Label("Files", classes="heading")
        yield Static(Text(str(self._folder)))
        for name, path in self._outputs.files.items():
            yield Static(Text(f"  {name}: {path}"))

    def on_mount(self) -> None:
        if self._outputs.gates:
            table = self.query_one("#gates", DataTable)
            table.add_columns("", "Gate", "Measured", "Required")
            for gate in self._outputs.gates:
                mark = Text("✓ passed", "green") if gate.passed else Text("✗ failed", "red")
                table.add_row(mark, Text(gate.name), Text(gate.measured), Text(gate.required))


def readable(summary: Any) -> Iterator[tuple[str, str]]:
    """(name, text) lines of a summary; lists are counted, long ones cut with a note."""
    for name, value in summary.items():
        label = name.replace("_", " ")
        if isinstance(value, list):
            yield label, f"{len(value)}"
            for item in value[:MOST_ROWS_OF_A_LIST]:
                yield "", "  " + _one_line(item)
            if len(value) > MOST_ROWS_OF_A_LIST:
                yield "", f"  … and {len(value) - MOST_ROWS_OF_A_LIST} more"
        elif isinstance(value, dict):
            yield label, ", ".join(f"{key} {_one_line(item)}" for key, item in value.items())
        else:
            yield label, _one_line(value)


def _one_line(value: Any) -> str:
    if isinstance(value, dict):
        return "  ".join(f"{key}: {_one_line(item)}" for key, item in value.items() if item not in (None, [], ""))
    if isinstance(value, float):
        return f"{value:.4g}"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
