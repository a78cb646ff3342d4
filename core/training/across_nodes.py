"""Files of the process that leads, for processes of other machines, whose folders are others."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

from report import leads, processes, wait_for_all
from torch.distributed import broadcast_object_list

_PIECE = 1 << 26


def nodes() -> int:
    """Machines that train together, as torchrun says."""
    return int(processes()) // int(os.environ.get("LOCAL_WORLD_SIZE", processes()))


def bring(folder: Path) -> None:
    """Make a folder on all machines what it is where the process that leads has it. All processes must call it together."""
    if nodes() == 1:
        return
    wait_for_all()  # somebody may still be writing
    names = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()) if leads() else []
    takes = os.environ["GROUP_RANK"] != "0" and os.environ["LOCAL_RANK"] == "0"  # one process writes for its machine
    if takes:
        shutil.rmtree(folder, ignore_errors=True)
    for name in _told(names):
        _bring(folder / name, takes)
    wait_for_all()


def _bring(path: Path, takes: bool) -> None:
    if takes:
        path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("rb" if leads() else "wb") if leads() or takes else open(os.devnull, "wb") as file:
        while piece := _told(file.read(_PIECE) if leads() else b""):
            if takes:
                file.write(piece)


def _told(value: Any) -> Any:
    """What the process that leads has."""
    told = [value]
    broadcast_object_list(told)
    return told[0]
