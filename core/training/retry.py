"""A step that did not fit the GPU's memory is tried once more with half the rows at a time; the rows of an optimizer step stay the same."""

from __future__ import annotations

import json
import os
import re
import sys
from pathlib import Path
from typing import Any

import torch
from out_of_memory import smaller
from report import log, processes

FILE = Path("retry.json")
_UNITS = {"KiB": 2**10, "MiB": 2**20, "GiB": 2**30}


def planned(config: dict[str, Any]) -> dict[str, Any]:
    """The plan of a configuration ({} without one), as an earlier try changed it."""
    changed = json.loads(FILE.read_text(encoding="utf-8")) if FILE.exists() else {}
    return {**(config.get("plan") or {}), **changed}


def try_smaller(config: dict[str, Any], error: torch.OutOfMemoryError) -> None:
    """Start this program again, in the same process so that all memory is free. Returns, having said why, when that is no use."""
    plan = planned(config)
    rows = plan.get("micro_rows") or config["settings"]["rows_per_step"]
    half, said = smaller(rows, plan.get("micro_tokens") or 0, *_sizes(error))
    if half is None:
        log(said)
    elif FILE.exists() or processes() > 1:
        log(f"{said.partition(';')[0]}; take fewer rows a step, a smaller model or a machine with more memory")
    else:
        log(said)
        FILE.write_text(json.dumps({"micro_rows": half, "micro_tokens": 0}), encoding="utf-8")
        sys.stdout.flush()
        os.execv(sys.executable, [sys.executable, *sys.argv])


def _sizes(error: torch.OutOfMemoryError) -> tuple[float, float]:
    """Bytes (needed, available); 0 where they are not known."""
    if not torch.cuda.is_available():
        return 0, 0
    tried = re.search(r"Tried to allocate ([\d.]+) ([KMG]iB)", str(error))
    more = float(tried[1]) * _UNITS[tried[2]] if tried else 0.0
    return torch.cuda.max_memory_allocated() + more, torch.cuda.get_device_properties().total_memory
