"""Fine-tuning: the curve once more, still or played again, what it says, what was trained."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from textual.containers import VerticalScroll
from textual.content import Content
from textual.widget import Widget
from textual.widgets import Static

from core.training.metrics import read_curves
from core.training.plan import adapter_in_words, artifact_in_words
from core.wizard.step import Gate
from tui.results.panel import ResultPanel, facts, files
from tui.safe_text import one_line, safe
from tui.widgets.replay import Replay


class TrainingResult(ResultPanel):
    """The chart of the whole run over the facts."""

    DEFAULT_CSS = """
    TrainingResult Replay { height: 1fr; min-height: 9; }
    TrainingResult .scroll { height: 6; margin: 1 0 0 0; }
    """

    brief = True
    needs = ("base_model", "rows", "steps", "settings", "unique_token_ratio")

    def body(self) -> Iterator[Widget]:
        yield Replay(read_curves(self.path("metrics")), str(self.outputs.summary.get("diagnosis", "")), id="replay")
        with VerticalScroll(classes="scroll"):
            yield Static(self._facts(self.outputs.summary), classes="facts")
            yield Static(Content("\n").join(about(gate) for gate in self.outputs.gates if gate.passed), classes="facts")
            yield Static(files(self.outputs, self.folder))

    def _facts(self, summary: Mapping[str, Any]) -> Content:
        settings = summary["settings"]
        return facts(
            {
                "base model": summary["base_model"],
                "rows": f"{summary['rows']:,}, {settings['rows_per_step']} a step, {summary['steps']} steps",
                "adapter": adapter_in_words(settings),
                "leaves": artifact_in_words(summary.get("artifact", "merged")),
                "shared prefixes": f"each prompt token computed once instead of {summary['unique_token_ratio']} times",
            }
        )


def about(gate: Gate) -> Content:
    """What was asked of a gate that passed, and what else was seen."""
    seen = f"\n  {safe(gate.detail)}" if gate.detail else ""
    return Content.assemble((one_line(gate.name), "bold"), (f"  asked {one_line(gate.required)}{seen}", "$muted"))
