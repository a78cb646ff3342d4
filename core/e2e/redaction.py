"""Secrets out of texts: what a child process prints or writes may hold the licence and keys it was given."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

KEY = re.compile(
    r"\b(?:hf_[A-Za-z0-9]{8,}|sk-[A-Za-z0-9_-]{8,}|AKIA[A-Z0-9]{8,}|gh[pousr]_[A-Za-z0-9]{8,}|eyJ[\w-]{10,}\.[\w-]+\.[\w-]*)"
)
"""What looks like a key, whoever gave it."""
_SECRET_NAMES = re.compile(r"KEY|TOKEN|SECRET|PASSW|LICEN[CS]E|CREDENTIAL", re.IGNORECASE)
_SHORTEST = 8
"""Characters; shorter values ("true", "none") stand in ordinary texts too."""
_TEXTS = frozenset({".csv", ".json", ".jsonl", ".md", ".txt", ".yaml", ".yml"})


class Redactor:
    """Knows the secrets of an environment by the names of their variables; call it with a text to have them taken out."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        found: dict[str, str] = {}
        for name, value in environment.items():
            if _SECRET_NAMES.search(name):
                for line in map(
                    str.strip, value.splitlines()
                ):  # texts are looked at line by line, and a key may have several
                    if len(line) >= _SHORTEST:
                        found.setdefault(line, name)
        self._names = dict(sorted(found.items(), key=lambda entry: -len(entry[0])))  # a part of another comes later

    def __call__(self, text: str) -> str:
        """The text with each secret replaced by `[NAME]`."""
        for secret, name in self._names.items():
            text = text.replace(secret, f"[{name}]")
        return text

    def scrub(self, folder: Path) -> None:
        """Take the secrets out of all text files below a folder."""
        for path in folder.rglob("*"):
            if path.suffix in _TEXTS and path.is_file() and not path.is_symlink():
                before = path.read_bytes()
                after = before
                for secret, name in self._names.items():
                    after = after.replace(secret.encode(), f"[{name}]".encode())
                if after != before:
                    path.write_bytes(after)
