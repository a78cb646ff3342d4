"""Where an export goes: a folder, or a prefix in a bucket of S3, Google Cloud Storage or Azure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from core.errors import UsageError

Kind = Literal["folder", "s3", "gs", "az"]
SCHEMES: dict[str, Kind] = {"s3": "s3", "gs": "gs", "gcs": "gs", "az": "az", "abfs": "az", "abfss": "az"}
"""Scheme of an address → store. abfs is Azure's other name for the same containers."""
WAYS = "a folder, s3://bucket/prefix, gs://bucket/prefix or az://container/prefix"
_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,221}")
"""What a bucket's name is made of in all three stores; the longest are Google's."""
_UNUSUAL = re.compile(r"[?#*\[\]\\\x00-\x1f\x7f]")
"""Patterns, queries and control characters: some client takes each of them for something else than a letter of a key."""


@dataclass(frozen=True)
class Place:
    """A folder or a prefix in a bucket."""

    kind: Kind
    path: str
    """An absolute folder; in a bucket the prefix, without slashes at its ends, "" for the whole bucket."""
    bucket: str = ""
    """Bucket, or container of Azure; "" for a folder."""

    def __str__(self) -> str:
        if self.kind == "folder":
            return self.path
        return f"{self.kind}://{self.bucket}" + (f"/{self.path}" if self.path else "")


def parse_place(text: str) -> Place:
    """The place a person wrote; a folder is taken from the current one. Raises UsageError, which repeats nothing that may be a key."""
    if not text.strip() or "\0" in text:
        raise UsageError(f"where to? An export goes to {WAYS}")
    scheme, separator, rest = text.strip().partition("://")
    if not separator:
        return Place("folder", str(_absolute(text)))
    kind = SCHEMES.get(scheme.lower())
    if kind is None:
        raise UsageError(f"{_shown(scheme)} is no place to export to; give {WAYS}")
    bucket, _, prefix = rest.partition("/")
    if "@" in bucket:
        raise UsageError(f"{kind}:// takes a bucket's name only: accounts and keys come from the environment (see the README)")
    if not _BUCKET.fullmatch(bucket):
        raise UsageError(f"{kind}:// needs the name of a bucket behind it, as in {kind}://bucket/prefix")
    prefix = prefix.removesuffix("/")
    if prefix and (_UNUSUAL.search(prefix) or any(part in ("", ".", "..") for part in prefix.split("/"))):
        raise UsageError(
            f"the prefix in {kind}://{bucket} has an empty part, a . or .., or one of ? # * [ ] \\ in it, which clients read differently; "
            "choose another"
        )
    return Place(kind, prefix, bucket)


def _absolute(text: str) -> Path:
    try:
        return Path(text).expanduser().absolute()
    except RuntimeError as error:
        raise UsageError(f"{text}: there is no such home folder") from error


def _shown(scheme: str) -> str:
    return f"{scheme}://" if re.fullmatch(r"[A-Za-z][\w+.-]{0,20}", scheme) else "that"
