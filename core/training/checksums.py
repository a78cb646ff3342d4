"""SHA-256 of files, in hexadecimal."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import zipfile


def checksum(path: Path | zipfile.Path) -> str:
    """Of one file, on disk or in an archive."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()  # type: ignore[arg-type]  # it reads any binary file


def checksums(folder: Path) -> dict[str, str]:
    """Of every file of a folder: path within it → SHA-256, sorted by path."""
    return {path.relative_to(folder).as_posix(): checksum(path) for path in sorted(folder.rglob("*")) if path.is_file()}
