"""Deployment: where the model answers, and what each file to take away is for."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from textual.containers import VerticalScroll
from textual.content import Content
from textual.widget import Widget
from textual.widgets import Static

from core.serving.manifests.folder import FOLDER, PURPOSES
from core.wizard.step import Outputs
from tui.results.panel import ResultPanel, facts


class DeploymentResult(ResultPanel):
    """Endpoint and files."""

    needs = ("endpoint", "engine", "model")

    def body(self) -> Iterator[Widget]:
        with VerticalScroll(classes="scroll"):
            yield Static(facts(self.outputs.summary), classes="facts")
            yield Static(files_to_take_away(self.outputs, self.folder))


def files_to_take_away(outputs: Outputs, folder: Path) -> Content:
    """The folder, and a line for each file with what it is for."""
    names = [Path(path).name for path in outputs.files.values()]
    lines = [Content.assemble(("to serve it elsewhere, in ", "$muted"), str(folder / FOLDER))]
    lines += [Content.assemble(f"  {name:<28}", (PURPOSES.get(name, ""), "$muted")) for name in names]
    return Content("\n").join(lines)
