"""An embedder without a model: texts are near when they have words in common."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from zlib import crc32


class Words:
    """Counts words in 4096 places; remembers what it was asked."""

    def __init__(self, digest: str = "a" * 64) -> None:
        self.name, self.digest = "words", digest
        self.asked: list[list[str]] = []

    def embed(self, texts: Sequence[str]) -> list[list[float]]:
        self.asked.append(list(texts))
        return [_vector(text) for text in texts]


def _vector(text: str) -> list[float]:
    counts = [0.0] * 4096
    for word in re.findall(r"\w+", text.lower()):
        counts[crc32(word.encode()) % 4096] += 1
    length = math.sqrt(sum(count * count for count in counts)) or 1.0
    return [count / length for count in counts]
