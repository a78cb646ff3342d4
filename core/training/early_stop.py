"""The live diagnosis of a run: told when its state changes, and the end of a run that has gone wrong or has been asked to end."""

from __future__ import annotations

import os
from typing import Any

from report import emit, log
from transformers import TrainerCallback

from core.training.diagnosis import Diagnosis, diagnose
from core.training.metrics import Curves

FINISH = "CALMTUNE_FINISH"
"""Environment variable with which a run that is started again ends after one more step and keeps its weights."""


class EarlyStop(TrainerCallback):
    """Judges every log; `enabled` lets it stop the run. `stopped_by` is the diagnosis that did; `curves` are all logs."""

    def __init__(self, enabled: bool) -> None:
        self._enabled = enabled
        self.curves = Curves()
        self._state = "too few points"
        self.stopped_by: Diagnosis | None = None

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        for entry in state.log_history:  # what a resumed run measured before
            self.curves.add({"step": entry["step"], "values": entry})
        if self.curves.train:
            self._state = diagnose(self.curves, finished=False, planned=state.max_steps).state

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if os.environ.get(FINISH) and state.global_step < state.max_steps:
            log(f"training ends at step {state.global_step} of {state.max_steps}, as asked; the best weights so far are kept")
            control.should_training_stop = True

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **_: Any) -> None:
        self.curves.add({"step": state.global_step, "values": logs or {}})
        found = diagnose(self.curves, finished=False, planned=state.max_steps)
        if found.state != self._state:
            emit("diagnosis", step=state.global_step, state=found.state, sentence=found.sentence, good=found.good)
            self._state = found.state
        if self._enabled and not found.good and self.stopped_by is None and state.global_step < state.max_steps:
            log(f"training stops at step {state.global_step} of {state.max_steps}, {found}")
            self.stopped_by = found
            control.should_training_stop = True
