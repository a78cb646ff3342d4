"""When a run that went wrong still left good weights: by table, through the step, and with a run that really was stopped early."""

from __future__ import annotations

import json
import math

import pytest

from core.training.diagnosis import Diagnosis, diagnose
from core.training.metrics import Curves, curves_of
from core.training.rollback import judge_rollback
from core.wizard.events import Notice
from tests import tiny_model
from tests.rigs.curves import curves_like
from tests.unit.test_training import events, train
from tests.unit.test_training_choice import WORSENING, contradicting
from tests.unit.test_training_step import OneJob, trained

nan = math.nan
FALLING = [3.0 * 0.97**step for step in range(101)]
DIVERGED = [*FALLING[:60], *(8.0 for _ in range(60, 101))]


def curves(validation, train=FALLING) -> Curves:
    return Curves(train=list(enumerate(train, 1)), validation=list(validation.items()))


TURNS = {20: 1.5, 40: 0.8, 60: 0.82, 80: 1.2, 100: 1.6}
NEVER = {20: 2.9, 40: 2.85, 60: 3.0, 80: 3.4, 100: 4.0}
JUMPS = {20: 1.5, 40: 0.8, 60: 0.7, 80: 7.0, 100: 8.0}
LITTLE = {20: 2.5, 40: 2.2, 60: 2.1, 80: 7.0, 100: 8.0}
LOST = {20: 1.5, 40: 0.8, 60: nan, 80: nan}


@pytest.mark.parametrize(
    ("state", "found", "step", "last", "good", "said"),
    [
        ("overfitting", curves(TURNS), 40, 100, True, "rolled back: the weights of step 40 are taken (validation loss 0.800, 3.000 at"),
        ("overfitting", curves(TURNS), 60, 100, True, "rolled back: the weights of step 60"),
        ("overfitting", curves(TURNS), 20, 100, True, "rolled back: the weights of step 20"),
        ("overfitting", curves(TURNS), 80, 100, False, "(validation loss 1.200, 0.800 at best), when it had risen already"),
        ("overfitting", curves(TURNS), 100, 100, False, "no earlier validation was better"),
        ("overfitting", curves(TURNS), 41, 100, False, "no earlier validation was better"),
        ("overfitting", curves({}), 40, 100, False, "no earlier validation was better"),
        ("overfitting", curves(NEVER), 40, 100, False, "3.000 at the beginning), which had not learnt 10% of that"),
        ("overfitting", curves(TURNS, []), 40, 100, False, "the loss was no number by then"),
        ("overfitting", curves(TURNS, [nan]), 40, 100, False, "the loss was no number by then"),
        ("diverged", curves(JUMPS, DIVERGED), 60, 100, True, "rolled back: the weights of step 60"),
        ("diverged", curves(JUMPS, DIVERGED), 40, 100, True, "rolled back: the weights of step 40"),
        ("diverged", curves({**JUMPS, 80: 0.7}, DIVERGED), 80, 100, False, "when training loss had risen already"),
        ("diverged", curves(JUMPS, DIVERGED), 80, 100, False, "when it had risen already"),
        ("diverged", curves(LITTLE, DIVERGED), 60, 100, False, "which had not learnt 50% of that"),
        ("overfitting", curves(LITTLE), 60, 100, True, "rolled back: the weights of step 60"),
        ("diverged", curves(LOST, [*FALLING[:50], nan]), 40, 80, True, "rolled back: the weights of step 40"),
        ("diverged", curves(LOST, [*FALLING[:50], nan]), 60, 80, False, "the loss was no number by then"),
        ("diverged", curves({20: 1.5, 40: 0.8, 60: 0.7}, [*FALLING[:50], nan]), 60, 80, False, "training loss had risen already"),
        ("broken labels", curves(TURNS), 40, 100, False, "labels that teach nothing leave no good weights"),
    ],
)  # fmt: skip
def test_weights_from_before_are_good_if_they_had_learnt(state, found, step, last, good, said):
    judged = judge_rollback(Diagnosis(state, "it rose"), found, step, last)
    assert judged.good is good
    assert said in judged.sentence
    assert judged.sentence.startswith("rolled back: " if good else "not rolled back: ")


class RolledBack(OneJob):
    """Leaves the weights of the lowest validation loss, or of the last validation."""

    def __init__(self, state: str, best: bool = True) -> None:
        super().__init__(state)
        found, _ = curves_like(state, 1)
        point = found.best if best else found.validation[-1]
        assert point is not None
        self.step, self.steps = point[0], found.train[-1][0]

    async def fetch(self, job, paths, into):
        await super().fetch(job, paths, into)
        body = json.loads((into / "manifest.json").read_text())
        (into / "manifest.json").write_text(json.dumps(body | {"steps": self.steps, "chosen": {"step": self.step, "why": "best"}}))


async def test_the_recipe_goes_on_with_a_warning(tmp_path, monkeypatch):
    jobs = RolledBack("overfitting")
    outputs, told = await trained(tmp_path, "overfitting", monkeypatch, jobs=jobs)
    (gate,) = outputs.gates
    assert gate.passed
    assert gate.measured == outputs.summary["diagnosis"]
    assert gate.measured.startswith("overfitting: validation loss rose from ")
    assert gate.detail.startswith(f"rolled back: the weights of step {jobs.step} are taken ")
    warning = told[-1]
    assert isinstance(warning, Notice)
    assert warning.level == "warning"
    assert f"the weights of step {jobs.step} are taken" in warning.text
    assert "or add rephrasings" in warning.text, "what to change"


@pytest.mark.parametrize("state", ["overfitting", "diverged"])
async def test_it_does_not_with_weights_that_are_no_better(tmp_path, monkeypatch, state):
    outputs, told = await trained(tmp_path, state, monkeypatch, jobs=RolledBack(state, best=False))
    (gate,) = outputs.gates
    assert not gate.passed
    assert gate.detail.startswith("not rolled back: ")
    assert len([event for event in told if isinstance(event, Notice)]) == 1, "the live one only"


def test_a_run_that_is_stopped_early_is_rolled_back(tmp_path):
    eager = tiny_model.make(tmp_path / "model", spread=0.5)
    done = train(tmp_path / "job", eager, *contradicting(), **WORSENING | {"early_stop": True})
    assert done.returncode == 0, done.stderr[-2000:]
    assert ", overfitting: validation loss rose from " in done.stdout
    manifest = json.loads((tmp_path / "job" / "manifest.json").read_text())
    measured = curves_of(events(tmp_path / "job"))
    found = diagnose(measured)
    assert found.state == "overfitting"
    chosen, steps = manifest["chosen"]["step"], manifest["steps"]
    judged = judge_rollback(found, measured, chosen, steps)
    assert judged.good, judged.sentence
    assert chosen == measured.best[0] < steps < 100
    later = [step for step, _ in measured.validation if chosen < step < steps]
    assert not judge_rollback(found, measured, later[-1], steps).good
