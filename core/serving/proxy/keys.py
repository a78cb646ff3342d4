"""Keys of a published server: one for each client, so that each can be told from the others and taken back alone."""

from __future__ import annotations

import hashlib
import hmac
import os
import re
import stat
from collections.abc import Iterable, Mapping
from pathlib import Path

from core.errors import UsageError

VARIABLE = "CALMTUNE_PROXY_KEYS"
SERVER_KEY_VARIABLE = "CALMTUNE_SERVER_KEY"
"""Tells a proxy that runs as a job the model server's own key, which clients never hold."""
SHORTEST = 20
"""Characters of a key that is not guessed."""
DIGEST = "sha256:"
"""Begins what may stand in a key's place where keys are written down: its SHA-256 in hexadecimal."""
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,60}")
_HOW = "write name=key for each client, one a line or with commas between; `openssl rand -hex 32` makes a key"


class Keys:
    """Who may ask. Only digests of the keys are kept."""

    def __init__(self, named: Mapping[str, str]) -> None:
        """`named`: client's name → key, or what `digested` makes of it."""
        self._digests = {name: bytes.fromhex(digested(key).removeprefix(DIGEST)) for name, key in named.items()}

    def owner(self, authorizations: Iterable[str]) -> str | None:
        """Whose key a request brings in its Authorization headers; None for none, a wrong one, or several."""
        given = list(authorizations)
        scheme, _, key = given[0].partition(" ") if len(given) == 1 else ("", "", "")
        offered = _digest(key.strip())
        # All are compared, each in constant time, so that the time tells nothing.
        owners = [name for name, digest in self._digests.items() if hmac.compare_digest(digest, offered)]
        return owners[0] if owners and scheme.lower() == "bearer" else None


def is_digest(key: str) -> bool:
    """Whether this stands for a key that is not told."""
    return key.startswith(DIGEST)


def digested(key: str) -> str:
    """What may be written down of a key: who reads it cannot make requests."""
    return key.lower() if is_digest(key) else DIGEST + _digest(key).hex()


def read_keys(text: str, where: str) -> dict[str, str]:
    """Name → key, or its digest, from text; `where` it is from is named in the UsageError that is raised for what is none."""
    found: dict[str, str] = {}
    for part in re.split(r"[\n,]", re.sub(r"^\s*#.*$", "", text, flags=re.MULTILINE)):
        if not part.strip():
            continue
        name, sign, key = (piece.strip() for piece in part.strip().partition("="))
        if not sign or not _NAME.fullmatch(name):
            raise UsageError(f"{where} has an entry that is no name=key; {_HOW}")
        if name in found:
            raise UsageError(f"{where} has two keys for {name}; give each client a name of its own")
        if is_digest(key) and not re.fullmatch(r"[0-9A-Fa-f]{64}", key.removeprefix(DIGEST)):
            raise UsageError(f"{where}: the SHA-256 of {name}'s key has 64 hexadecimal digits behind {DIGEST}")
        if len(key) < SHORTEST or not key.isascii() or re.search(r"\s", key):
            raise UsageError(
                f"{where}: the key of {name} must have {SHORTEST} or more ASCII characters without blanks; {_HOW}"
            )
        if digested(key) in map(digested, found.values()):
            raise UsageError(f"{where}: {name} has the key of another client; give each a key of its own")
        found[name] = key
    if not found:
        raise UsageError(f"{where} has no keys; {_HOW}")
    return found


def keys_in_file(path: Path) -> dict[str, str]:
    """Raises UsageError when others may read the file, or it holds no keys."""
    try:
        mode = path.stat().st_mode
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"the keys in {path} cannot be read: {getattr(error, 'strerror', None) or error}") from error
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise UsageError(f"others may read the keys in {path}; chmod 600 {path}, and change the keys if they were seen")
    return read_keys(text, str(path))


def keys_in_environment() -> dict[str, str] | None:
    """None where the variable is not set. Raises UsageError when it holds no keys."""
    text = os.environ.get(VARIABLE)
    return read_keys(text, VARIABLE) if text is not None else None


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode(errors="replace")).digest()
