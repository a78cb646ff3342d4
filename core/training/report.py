"""What a run tells whoever follows it: events, one JSON object a line, appended to $CALMTUNE_EVENTS."""

from __future__ import annotations

import json
import os
import resource
import signal
import sys
import time
from types import FrameType
from typing import Any

import torch
from transformers import TrainerCallback

TOLD = ("loss", "eval_loss", "eval_exact_match", "eval_token_accuracy", "learning_rate", "grad_norm", "epoch")
"""The trainer's figures that become metric events."""


def processes() -> int:
    """Processes that train together, as torchrun and accelerate say."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def leads() -> bool:
    """True in the process that speaks and writes for all."""
    return os.environ.get("RANK", "0") == "0"


def wait_for_all() -> None:
    """Go on when all processes have come here."""
    if processes() > 1:
        torch.distributed.barrier()


def peak_memory() -> int:
    """Most bytes in use so far: of the GPU where there is one, else of this process."""
    if torch.cuda.is_available():
        return int(torch.cuda.max_memory_allocated())
    unit = 1 if sys.platform == "darwin" else 1024
    return unit * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def emit(kind: str, **body: Any) -> None:
    """Append one event; whole lines only, so that readers may follow."""
    if not leads():
        return
    line = json.dumps({"type": kind, "time": time.time(), **body}) + "\n"
    with open(os.environ.get("CALMTUNE_EVENTS", "events.jsonl"), "ab") as file:
        file.write(line.encode())


def log(text: str) -> None:
    if leads():
        print(text, flush=True)
    emit("log", line=text)


class Report(TrainerCallback):
    """Progress and metrics as events, and a clean stop on SIGTERM."""

    def __init__(self, trainer: Any) -> None:
        self._trainer = trainer
        self._began = time.monotonic()
        self._asked = self.stopped = False
        signal.signal(signal.SIGTERM, self._stop)

    def _stop(self, number: int, frame: FrameType | None) -> None:
        self._asked = True

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        spent = time.monotonic() - self._began
        left = spent / max(1, state.global_step - self._first) * (state.max_steps - state.global_step)
        emit("progress", done=state.global_step, total=state.max_steps, unit="steps", eta_seconds=left)
        if self._stopped_anywhere():
            control.should_save = control.should_training_stop = True

    def _stopped_anywhere(self) -> bool:
        """The same answer in all processes, which would otherwise wait for one another."""
        asked = self._asked  # a signal that comes from here on is seen the next time
        if processes() > 1:
            flag = torch.tensor(int(asked), device=self._trainer.args.device)
            torch.distributed.all_reduce(flag, torch.distributed.ReduceOp.MAX)
            asked = bool(flag)
        self.stopped = self.stopped or asked
        return self.stopped

    def on_train_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self._stopped_anywhere()

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self._began, self._first = time.monotonic(), state.global_step
        self._tokens_before = self._trainer.plain_tokens, self._trainer.unique_tokens

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **_: Any) -> None:
        values = {name: value for name, value in (logs or {}).items() if name in TOLD}
        if not values or "train_runtime" in (logs or {}):
            return
        spent = max(1e-9, time.monotonic() - self._began)
        if "loss" in values:
            plain, unique = self._trainer.plain_tokens, self._trainer.unique_tokens
            values["tokens_per_second"] = processes() * (plain - self._tokens_before[0]) / spent
            values["unique_tokens_per_second"] = processes() * (unique - self._tokens_before[1]) / spent
            values["unique_token_ratio"] = self._trainer.plain_tokens / max(1, self._trainer.unique_tokens)
            values["memory_gb"] = peak_memory() / 1e9
        emit("metric", step=state.global_step, values=values)
