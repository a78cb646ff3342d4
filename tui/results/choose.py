"""Which panel shows which step's result."""

from __future__ import annotations

from importlib import import_module

from core.wizard.recipe import REVIEWED
from core.wizard.session import Session, StepStatus
from tui.results.panel import ResultPanel

_PANELS = {
    "coverage": "CoverageResult",
    "dataset": "DatasetResult",
    "training": "TrainingResult",
    "evaluation": "EvaluationResult",
    "production": "EvaluationResult",
    "deployment": "DeploymentResult",
    "connection": "ConnectionResult",
}


def status_to_show(session: Session, status: StepStatus) -> StepStatus | None:
    """What a result panel can show of a step: its outcome, or that of earlier rows which wait for decisions to be applied."""
    if status.done:
        return status
    if status.step != REVIEWED:
        return None
    from core.wizard.row_review import waiting_rows

    return waiting_rows(session, status)


def result_panel(session: Session, status: StepStatus) -> ResultPanel:
    """The panel of a finished step."""
    name = _PANELS[status.step]
    module = import_module(f"tui.results.{name.removesuffix('Result').lower()}")  # each loads much that the others do not need
    panel: type[ResultPanel] = getattr(module, name)
    summary = status.outputs.summary if status.outputs else {}
    if not all(name in summary for name in panel.needs):
        panel = ResultPanel
    return panel(session, status, id="result")
