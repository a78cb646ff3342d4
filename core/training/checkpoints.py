"""The trained weights of the best validation, kept while a run goes on.

The trainer's own "best model" would delete the last checkpoint whenever a run is stopped; so the best weights stand beside it, without
the optimizer's state.
"""

from __future__ import annotations

import json
import math
import os
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from across_nodes import bring
from report import leads, wait_for_all
from transformers import TrainerCallback
from weights import load_weights, save_weights, trained_weights

FOLDER = Path("checkpoints")
_STANDING = "standing.json"
_WEIGHTS = "weights.safetensors"


@dataclass(frozen=True)
class Standing:
    """What validation said at one step."""

    step: int
    exact_match: float
    """Share of validation rows written exactly, 0 to 1."""
    loss: float
    rows: int
    """Validation rows that were measured."""

    def better_than(self, other: Standing) -> bool:
        """More rows written exactly, or about as many (within a standard deviation of such a count) with a lower loss.

        Without that the luck of some rows would take weights from before the learning rate came down.
        """
        apart = self.rows * (self.exact_match - other.exact_match)
        share = (self.exact_match + other.exact_match) / 2
        if abs(apart) > math.sqrt(self.rows * share * (1 - share)):
            return apart > 0
        return self._loss < other._loss

    def __str__(self) -> str:
        return f"{100 * self.exact_match:.1f} % of validation rows exactly, loss {self.loss:.3f}"

    @property
    def _loss(self) -> float:
        return self.loss if math.isfinite(self.loss) else math.inf


class BestWeights(TrainerCallback):
    """Keeps the trained weights of the best validation so far, through stops and kills; of equals the earliest."""

    def __init__(self, rows: int, folder: Path = FOLDER / "best") -> None:
        """`rows` is how many validation rows are measured."""
        self._rows, self._folder = rows, folder
        kept = [_read(path) for path in folder.glob(f"*/{_STANDING}")]
        self.standing: Standing | None = max(kept, key=lambda standing: standing.step, default=None)

    def on_evaluate(self, args: Any, state: Any, control: Any, model: Any, metrics: dict[str, float], **_: Any) -> None:
        standing = Standing(state.global_step, metrics["eval_exact_match"], metrics["eval_loss"], self._rows)
        # Steps done again after a resume were judged before.
        if self.standing and (standing.step <= self.standing.step or not standing.better_than(self.standing)):
            return
        self.standing = standing
        weights = trained_weights(model)
        if not leads():
            return
        place = self._place(standing)
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir(parents=True)
        save_weights(weights, place / _WEIGHTS)
        partial = place / f".{_STANDING}"
        partial.write_text(json.dumps(asdict(standing)), encoding="utf-8")
        os.replace(partial, place / _STANDING)
        for other in self._folder.iterdir():
            if other != place:
                shutil.rmtree(other, ignore_errors=True)

    def load_into(self, model: Any) -> None:
        """Give the model the weights that are kept."""
        assert self.standing is not None
        wait_for_all()  # the process that leads may still be writing them
        bring(self._folder)
        load_weights(self._place(self.standing) / _WEIGHTS, model)

    def _place(self, standing: Standing) -> Path:
        return self._folder / f"step-{standing.step}"


def why(chosen: Standing | None, history: Sequence[dict[str, Any]], last: int) -> str:
    """In a sentence, which step's weights are taken and why. `history` is the trainer's log, `last` the last step."""
    if chosen is None:
        return f"step {last}, the last, is taken: there are no validation rows"
    if chosen.step == last:
        return f"step {last}, the last, is taken: {chosen}"
    entries = [entry for entry in history if "eval_loss" in entry and entry["step"] == last]
    others = [Standing(last, entry["eval_exact_match"], entry["eval_loss"], chosen.rows) for entry in entries]
    return f"step {chosen.step} is taken: {chosen}" + "".join(f"; the last, {last}: {other}" for other in others[-1:])


def _read(path: Path) -> Standing:
    return Standing(**json.loads(path.read_text(encoding="utf-8")))
