"""The training program with its configuration and rows as one file that Python runs, here and anywhere else the same bytes:

    python training.pyz BASE_MODEL

fine-tunes the base model in that folder and leaves in the working folder what `program.py` lists; started there again, it goes on from its
last checkpoint. The machine needs the packages of requirements.txt beside this module, nothing else of calmtune. Two GPUs together:

    python -m torch.distributed.run --standalone --nproc_per_node 2 training.pyz BASE_MODEL

It is a zip with a __main__.py (PEP 441), never unpacked: config.json, train.jsonl, val.jsonl where there is one, and the modules. The same
inputs give the same bytes, so the SHA-256 of the file names what was run.
"""

from __future__ import annotations

import json
import os
import shutil
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from core.training.bundle import training_program
from core.training.checksums import checksum
from core.zip_member import zip_member

ARCHIVE = "training.pyz"


def write_archive(place: Path, config: Mapping[str, Any], train: Path, val: Path | None) -> str:
    """Write the archive of a run to `place`, whole or not at all; its SHA-256 in hexadecimal.

    `config` has the settings and the plan (see `program.py`), `train` and `val` are JSONL rows. Raises OSError when a file cannot be read
    or written.
    """
    files = {"__main__.py" if name == "program.py" else name: source for name, source in training_program().items()}
    files |= {"train.jsonl": train} | ({"val.jsonl": val} if val is not None else {})
    partial = place.with_name(f".{place.name}.partial")
    with zipfile.ZipFile(partial, "w") as archive:
        archive.writestr(zip_member("config.json"), json.dumps(config, indent=1, sort_keys=True))
        for name in sorted(files):
            member = zip_member(name)
            member.file_size = files[name].stat().st_size
            with files[name].open("rb") as source, archive.open(member, "w") as target:
                shutil.copyfileobj(source, target)
    os.replace(partial, place)
    return checksum(place)
