"""Which panel shows which step's result."""

from __future__ import annotations

from core.wizard.row_review import STEP as REVIEWED
from core.wizard.row_review import waiting_rows
from core.wizard.session import Session, StepStatus
from tui.results.connection import ConnectionResult
from tui.results.coverage import CoverageResult
from tui.results.dataset import DatasetResult
from tui.results.deployment import DeploymentResult
from tui.results.evaluation import EvaluationResult
from tui.results.panel import ResultPanel
from tui.results.training import TrainingResult

_PANELS: dict[str, type[ResultPanel]] = {
    "coverage": CoverageResult,
    "dataset": DatasetResult,
    "training": TrainingResult,
    "evaluation": EvaluationResult,
    "production": EvaluationResult,
    "deployment": DeploymentResult,
    "connection": ConnectionResult,
}


def status_to_show(session: Session, status: StepStatus) -> StepStatus | None:
    """What a result panel can show of a step: its outcome, or that of earlier rows which wait for decisions to be applied."""
    if status.done:
        return status
    return waiting_rows(session, status) if status.step == REVIEWED else None


def result_panel(session: Session, status: StepStatus) -> ResultPanel:
    """The panel of a finished step."""
    panel = _PANELS.get(status.step, ResultPanel)
    summary = status.outputs.summary if status.outputs else {}
    if not all(name in summary for name in panel.needs):
        panel = ResultPanel
    return panel(session, status, id="result")
