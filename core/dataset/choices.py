"""What can be chosen about the preparation of rows, by the words of the answers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

OutputFormat = Literal["instruction", "conversational"]

Equality = Literal["strict", "names"]
"""strict: the same commands with the same values. names: values of free text (slot types text, any, list) may be cut
differently; those of a closed type may not, since another value there is another meaning."""

Register = Literal["mixed", "formal", "casual"]
Length = Literal["mixed", "short", "long"]
Typos = Literal["few", "none", "many"]


@dataclass(frozen=True)
class Manner:
    """How the people talk whose wordings are asked for."""

    register: Register = "mixed"
    length: Length = "mixed"
    typos: Typos = "few"
    languages: tuple[str, ...] = ()
    """Names of languages to spread the wordings over; () for that of each message."""
