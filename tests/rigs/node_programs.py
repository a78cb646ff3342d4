"""What a rig's nodes have instead of the internet, from which SkyPilot fetches uv and a Python: two programs on their PATH that answer."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import pytest


def write_programs(folder: Path, cache: str) -> None:
    """`curl`, `uv`, `python` and `transformers` in a new folder, which may lie elsewhere on the node; what uv has
    fetched once it finds again in `cache`, a folder of the node.

    `python` is an interpreter for jobs that has the packages of the one running here. Skips the test where uv is missing.
    """
    folder.mkdir()
    uv = shutil.which("uv", path=f"{Path(sys.executable).parent}:{os.environ.get('PATH', '')}")
    if uv is None:
        pytest.skip("uv is not installed here (pip install uv)")
    shutil.copy(uv, folder / "uv.real")
    python = shutil.which("python3", path="/usr/bin:/usr/local/bin") or sys.executable
    here = 'here=$(dirname "$(readlink -f "$0")")\n'
    _program(
        folder / "uv",
        f'{here}a=(); for x in "$@"; do [ "$x" = 3.10 ] && x={python}; a+=("$x"); done\n'
        "export UV_PYTHON_DOWNLOADS=never SSL_CERT_FILE=${SSL_CERT_FILE:-/etc/ssl/certs/ca-certificates.crt} UV_SYSTEM_CERTS=1\n"
        f"export UV_CACHE_DIR={cache}\n"
        'exec "$here/uv.real" "${a[@]}"\n',
    )
    _program(
        folder / "curl",
        f'{here}for x in "$@"; do case "$x" in *astral.sh/uv/install.sh*)\n'
        '  echo "mkdir -p \\"\\$UV_INSTALL_DIR\\" && ln -sf $here/uv \\"\\$UV_INSTALL_DIR/uv\\""; exit 0;; esac; done\n'
        'exec /usr/bin/curl "$@"\n',
    )
    packages = ":".join(path for path in sys.path if path.endswith("site-packages"))
    with_packages = f"PYTHONPATH={packages} exec {python}"  # this interpreter itself may lie where the node's user may not look
    _program(folder / "python", f'{with_packages} "$@"\n')
    _program(folder / "transformers", f'{with_packages} -c "from transformers.cli.transformers import main; main()" "$@"\n')


def _program(path: Path, script: str) -> None:
    path.write_text(f"#!/bin/bash\n{script}")
    path.chmod(0o755)
