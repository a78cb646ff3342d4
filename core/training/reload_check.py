"""Whether what was saved is what was trained: read back from disk, it must give the trained model's logits.

A merge that lost the adapter, a layer or the tie between embeddings looks like any other until it is asked something.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from datasets import Dataset
from peft import PeftModel
from report import log
from rows import FoldRows
from saving import ADAPTER, MODEL
from trainer import label_logits
from transformers import AutoModelForCausalLM

ROWS = 4
MOST_TOKENS = 4096
"""Rows behind so many tokens are left out; the first is always read."""
LARGEST_DIFFERENCE = {"float32": 2e-4, "bfloat16": 0.15, "4 bits": 0.5}
"""Of logits, relative to their spread, by what the model was trained in. float32 only adds up in another order: 2e-6 measured with 30
layers. bfloat16 has 8 bits: merged weights are rounded once more and sums in every layer, 0.02 measured with 30 layers and 0.07 with a
model of large random weights. 4 bits round every weight by some tenth while training, and what is saved goes with the weights that were
not rounded. Training moves logits by as much as their spread, so a lost adapter is beyond all three."""


class ReloadError(Exception):
    """Saved weights that are not the trained ones; a sentence."""


class ReloadCheck:
    """The logits of a trained model at the labels of a few rows, to be found again in what was saved."""

    def __init__(self, model: Any, rows: Dataset, attention: str, dtype: torch.dtype, four_bits: bool) -> None:
        """`model` is asked now, by all processes together, and need not be kept; `attention` is its own, for plain rows."""
        model.set_attn_implementation(attention)
        self._rows = _first(rows)
        self._mixed = dtype is torch.bfloat16
        self._trained_in = "4 bits" if four_bits else str(dtype).removeprefix("torch.")
        self._logits = _logits(model, self._rows, self._mixed)

    def passed_by(self, saved: Any) -> float | None:
        """How far the logits of a model are from the trained one's, relative to their spread; None when the trained one's are no numbers.

        Raises ReloadError when that is too far.
        """
        if not self._logits.isfinite().all():
            log("the trained model's logits are no numbers; what was saved cannot be compared with it")
            return None
        found = difference(_logits(saved, self._rows, self._mixed), self._logits)
        most = LARGEST_DIFFERENCE[self._trained_in]
        if not found <= most:
            raise ReloadError(
                f"the model that was saved is not the one that was trained: read back from disk, its logits differ by {found:.2g} of their "
                f"spread (at most {most:g} after training in {self._trained_in}); train again, and if this comes back, leave the other "
                "kind of artifact (merged or adapter)"
            )
        log(
            f"read back from disk, the saved model's logits differ by {found:.1e} of their spread from the trained one's"
        )
        return found


def load_saved(base: str, dtype: torch.dtype, device: torch.device | None) -> Any:
    """The model as it was saved here: whole, or the adapter on its base model. Without a `device` it is spread over all GPUs there are.

    It stays on the CPU where the device cannot hold it.
    """
    spread = {"device_map": "auto"} if device is None else {}
    model = AutoModelForCausalLM.from_pretrained(MODEL if MODEL.is_dir() else base, dtype=dtype, **spread)
    if not MODEL.is_dir():
        model = PeftModel.from_pretrained(model, ADAPTER)
    if device is None:
        return model
    try:
        return model.to(device)
    except torch.OutOfMemoryError:  # trained in 4 bits, it may be four times as large now
        log("the saved model does not fit the GPU as a whole; it is read back on the CPU, which takes longer")
        return model.to("cpu")


def difference(found: torch.Tensor, wanted: torch.Tensor) -> float:
    """Root mean square of the differences of two tables of logits [labels, vocabulary], relative to the spread within a label.

    What all logits of a label have in common is left out, since no probability depends on it.
    """
    apart, spread = (table - table.mean(-1, keepdim=True) for table in (found - wanted, wanted))
    if not apart.any():  # also where a model that diverged finds all tokens equally likely
        return 0.0
    return float((apart.square().mean() / spread.square().mean()).sqrt())


def _first(rows: Dataset) -> list[dict[str, Any]]:
    chosen: list[dict[str, Any]] = []
    for row in rows.select(range(min(ROWS, len(rows)))):
        if chosen and sum(len(one["input_ids"]) for one in chosen) + len(row["input_ids"]) > MOST_TOKENS:
            break
        chosen.append(row)
    return chosen


def _logits(model: Any, rows: Sequence[dict[str, Any]], mixed: bool) -> torch.Tensor:
    """At all labels of the rows, one row after the other, on the CPU [labels, vocabulary]."""
    model.eval()
    collate = FoldRows()
    with torch.no_grad():
        found = [label_logits(model, _on(model.device, collate([row])), None, mixed) for row in rows]
    return torch.cat([logits.cpu() for logits in found])


def _on(device: torch.device, batch: dict[str, Any]) -> dict[str, Any]:
    return {name: value.to(device) if isinstance(value, torch.Tensor) else value for name, value in batch.items()}
