"""A file is either as it was or as it shall be, whatever dies meanwhile."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path


def write_atomically(path: Path, text: str, sync: bool = True) -> None:
    """Replace a file as a whole, or where a link leads; whoever else writes it at the same time does not get in between. Who may read it
    stays as it was. Without `sync`, a machine that loses power may lose the change. Raises OSError."""
    path = path.resolve()
    mode = path.stat().st_mode & 0o777 if path.exists() else 0o644
    with tempfile.NamedTemporaryFile("w", encoding="utf-8", dir=path.parent, prefix=f".{path.name}.", delete=False) as file:
        try:
            file.write(text)
            file.flush()
            if sync:
                os.fsync(file.fileno())
            os.chmod(file.name, mode)
            os.replace(file.name, path)
        except BaseException:
            Path(file.name).unlink(missing_ok=True)
            raise
