"""How different the wordings are: numbers that tell a rephraser that varies from one that repeats itself."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import combinations
from typing import Any

from core.dataset.conversation import AnnotatedConversation
from core.dataset.text import normalised, similarity


def distinct(texts: Iterable[str], n: int) -> float:
    """Distinct-n (Li et al., 2016): the share of different word n-grams among all; 0 when there is none."""
    grams = [gram for text in texts for gram in _grams(normalised(text).split(), n)]
    return len(set(grams)) / len(grams) if grams else 0.0


def mean_distance(texts: Sequence[str]) -> float | None:
    """Mean over all pairs of 1 − the share of common trigrams; None with fewer than two texts."""
    distances = [1 - similarity(one, other) for one, other in combinations(texts, 2)]
    return sum(distances) / len(distances) if distances else None


def diversity_facts(conversations: Iterable[AnnotatedConversation]) -> dict[str, Any]:
    """Distinct-1 and -2 of all passing wordings, the mean distance within a message's, and the rejected by reason."""
    turns = [turn for conversation in conversations for turn in conversation.turns]
    wordings = [text for turn in turns for text in turn.passing]
    distances = [distance for turn in turns if (distance := mean_distance((turn.user, *turn.passing))) is not None]
    candidates = len(wordings) + sum(len(turn.rejected) for turn in turns)
    reasons = Counter(rejected.kind for turn in turns for rejected in turn.rejected)
    return {
        "distinct_1": round(distinct(wordings, 1), 4),
        "distinct_2": round(distinct(wordings, 2), 4),
        "mean_distance": round(sum(distances) / len(distances), 4) if distances else None,
        "rejected_share": {kind: round(count / candidates, 4) for kind, count in reasons.most_common()},
    }


def _grams(words: Sequence[str], n: int) -> list[tuple[str, ...]]:
    return [tuple(words[at : at + n]) for at in range(len(words) - n + 1)]
