"""What a run tells whoever follows it: events, one JSON object a line, appended to $CALMTUNE_EVENTS."""

from __future__ import annotations

import json
import os
import signal
import time
from types import FrameType
from typing import Any

from transformers import TrainerCallback

TOLD = ("loss", "eval_loss", "eval_exact_match", "eval_token_accuracy", "learning_rate", "grad_norm", "epoch")
"""The trainer's figures that become metric events."""


def emit(kind: str, **body: Any) -> None:
    """Append one event; whole lines only, so that readers may follow."""
    line = json.dumps({"type": kind, "time": time.time(), **body}) + "\n"
    with open(os.environ.get("CALMTUNE_EVENTS", "events.jsonl"), "ab") as file:
        file.write(line.encode())


def log(text: str) -> None:
    print(text, flush=True)
    emit("log", line=text)


class Report(TrainerCallback):
    """Progress and metrics as events, and a clean stop on SIGTERM."""

    def __init__(self, trainer: Any) -> None:
        self._trainer = trainer
        self._began = time.monotonic()
        self.stopped = False
        signal.signal(signal.SIGTERM, self._stop)

    def _stop(self, number: int, frame: FrameType | None) -> None:
        self.stopped = True

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        spent = time.monotonic() - self._began
        left = spent / max(1, state.global_step - self._first) * (state.max_steps - state.global_step)
        emit("progress", done=state.global_step, total=state.max_steps, unit="steps", eta_seconds=left)
        if self.stopped:
            control.should_save = control.should_training_stop = True

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self._began, self._first = time.monotonic(), state.global_step

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **_: Any) -> None:
        values = {name: value for name, value in (logs or {}).items() if name in TOLD}
        if not values or "train_runtime" in (logs or {}):
            return
        spent = max(1e-9, time.monotonic() - self._began)
        if "loss" in values:
            values["tokens_per_second"] = self._trainer.plain_tokens / spent
            values["unique_token_ratio"] = self._trainer.plain_tokens / max(1, self._trainer.unique_tokens)
        emit("metric", step=state.global_step, values=values)
