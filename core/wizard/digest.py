"""Digests of what steps read and write."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from core.training.checksums import checksum

_LEFT_OUT = frozenset({"__pycache__", "models", "node_modules", "results"})
_WRITTEN_BESIDE = frozenset({"answers.yml", "answers.schema.json", "calmtune-export", "e2e_coverage_results"})
"""What our commands write into the folder they are started in, which may be an assistant's: no part of it."""
_LARGE = 10_000_000
"""Bytes from which the digest of a file is remembered by its inode, size and time."""


def canonical(value: Any) -> str:
    """One text for equal values."""
    return json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"), default=str)


def of_value(value: Any) -> str:
    return hashlib.sha256(canonical(value).encode()).hexdigest()


def of_file(path: Path) -> str:
    """SHA-256 of a file's bytes. Large files, such as weights, are read again only when they changed."""
    stat = path.stat()
    return (_of_bytes if stat.st_size < _LARGE else _remembered)(path, stat.st_ino, stat.st_size, stat.st_mtime_ns)


def _of_bytes(path: Path, *_: int) -> str:
    return checksum(path)


_remembered = lru_cache(maxsize=1000)(_of_bytes)


def of_path(path: Path) -> str:
    """SHA-256 of a file, or of a folder's files with their relative paths; what is hidden or generated is left out."""
    if path.is_file():
        return of_file(path)
    if not path.exists():
        return "absent"
    beside = _WRITTEN_BESIDE if (path / "config.yml").is_file() else frozenset()
    return of_value({file.relative_to(path).as_posix(): of_file(file) for file in _files(path, _LEFT_OUT | beside)})


def of_paths(paths: Iterable[Path]) -> dict[str, str]:
    return {path.as_posix(): of_path(path) for path in paths}


def of_outputs(folder: Path, files: Mapping[str, str]) -> str:
    """Digest of a step's output files by name and content."""
    return of_value({name: of_path(folder / path) for name, path in files.items()})


def _files(folder: Path, left_out: frozenset[str] = _LEFT_OUT) -> list[Path]:
    found = []
    for path in sorted(folder.iterdir()):
        if path.name.startswith(".") or path.name in left_out:
            continue
        if path.is_dir():
            found += _files(path)
        elif path.is_file():
            found.append(path)
    return found
