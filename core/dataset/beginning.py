"""How much of their prompts rows have in common from the beginning: the share that is computed once and not for every row.

Training folds rows into a tree of shared beginnings, servers keep them in a cache. A template with what changes (conversation, time) before
what stays (instructions, flows) makes both several times dearer.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Literal

ENOUGH = 0.5
"""Share below which the template is worth changing: more than half of the work is then repeated for every row."""
_PAIRS = 2000
"""Pairs looked at; the mean is then within about a percent."""


def common_length(one: str, other: str) -> int:
    """Characters two texts have in common from the beginning."""
    low, high = 0, min(len(one), len(other))
    while low < high:  # comparing slices is far quicker than comparing characters
        middle = (low + high + 1) // 2
        if one[low:middle] == other[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low


def shared_beginning(prompts: Sequence[str], seed: int = 42) -> float:
    """Mean share (0 to 1) of a prompt that another row's begins with as well, over random pairs; 1 for fewer than two prompts.

    Measured in characters, against the longer prompt of each pair.
    """
    if len(prompts) < 2:
        return 1.0
    chance = random.Random(seed)
    pairs = [chance.sample(range(len(prompts)), 2) for _ in range(_PAIRS)]
    shares = [_share(prompts[one], prompts[other]) for one, other in pairs]
    return sum(shares) / len(shares)


def _share(one: str, other: str) -> float:
    longer = max(len(one), len(other))
    return common_length(one, other) / longer if longer else 1.0


def about_beginning(share: float, retrieval: bool) -> tuple[Literal["info", "warning"], str]:
    """(level, sentence): the share, and what to do when it is low. `retrieval`: each prompt lists the flows that fit its message."""
    said = f"prompts have {100 * share:.0f} % in common from the beginning"
    if share >= ENOUGH:
        return "info", f"{said}: training and servers compute that once"
    advice = "put flows and instructions first in the prompt template, the conversation and the message last, no time before the end"
    if retrieval:
        advice += "; flow retrieval makes beginnings differ too, flow_retrieval: off lists the same flows everywhere"
    return "warning", f"{said}, so that training and serving compute most of each prompt again: {advice}"
