"""A home folder in which SkyPilot knows nothing but a rig."""

from __future__ import annotations

import contextlib
import csv
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import psutil
import pytest
import yaml

from provisioning.machine import free_port

TRIES = 3
"""On a busy machine its API server comes up later than SkyPilot waits for it, or its port was taken meanwhile."""


def write_catalog(home: Path, name: str, rows: Sequence[Mapping[str, object]]) -> None:
    """A table of SkyPilot's price catalog; only ever in a home of its own: in a person's it would stop being renewed."""
    path = home / ".sky" / "catalogs" / "v8" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as file:
        table = csv.DictWriter(file, list(rows[0]))
        table.writeheader()
        table.writerows(rows)


@contextlib.contextmanager
def sky_at_home(home: Path, cloud: str, config: Mapping[str, object], environment: Mapping[str, str]) -> Iterator[None]:
    """SkyPilot with that home and its own API server for as long as the block lasts; it must not be imported before."""
    (home / ".sky").mkdir(parents=True, exist_ok=True)
    (home / ".sky" / "config.yaml").write_text(yaml.safe_dump(dict(config)))
    program = str(Path(sys.executable).with_name("sky"))
    own = {"HOME": str(home), "SKYPILOT_DISABLE_USAGE_COLLECTION": "1", **environment}
    with pytest.MonkeyPatch.context() as patch:
        for name, value in own.items():
            patch.setenv(name, value)
        try:
            for _ in range(TRIES):
                patch.setenv("SKYPILOT_API_SERVER_LOCAL_PORT", str(free_port()))
                checked = subprocess.run([program, "check", cloud], capture_output=True, text=True, check=False)
                if checked.returncode == 0:
                    break
            assert checked.returncode == 0, checked.stdout + checked.stderr
            yield
        finally:
            subprocess.run([program, "api", "stop"], capture_output=True, check=False)
            _end_what_is_left(home)


def _end_what_is_left(home: Path) -> None:
    """The server's workers and controllers of services, whatever they call themselves, which a test that failed leaves behind."""
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if process.environ().get("HOME") == str(home) and process.exe() == os.path.realpath(sys.executable):
                process.kill()
