"""What a user may have meant: values read from a message, and how well a message fits a flow. No language model involved.

Costs lie between 0 (certain) and 1 (a guess); the search in `infer.py` adds them up.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from core.assistant.domain import Slot
from core.dialogue.values import acceptable, coerce

_WORD = re.compile(r"[^\W_]+(?:['’.,:/@+-][^\W_]+)*")
_NUMBER = re.compile(r"-?\d+(?:[.,]\d+)*")
_QUOTED = re.compile(r"[\"“”„«]([^\"“”„«»]+)[\"“”»]|'([^']+)'")
_LEAD_IN = frozenset(
    [
        "is",
        "are",
        "to",
        "at",
        "in",
        "on",
        "for",
        "from",
        "of",
        "with",
        "by",
        "as",
        "be",
        "it's",
        "its",
        "it",
        "that's",
        "make",
        "want",
        "need",
        "like",
        "call",
        "called",
        "named",
        "named",
        "about",
        "please",
    ]
)
_NUMBER_WORDS = (
    {
        word: number
        for number, word in enumerate(
            [
                "zero",
                "one",
                "two",
                "three",
                "four",
                "five",
                "six",
                "seven",
                "eight",
                "nine",
                "ten",
                "eleven",
                "twelve",
                "thirteen",
                "fourteen",
                "fifteen",
                "sixteen",
                "seventeen",
                "eighteen",
                "nineteen",
                "twenty",
            ]
        )
    }
    | {
        word: 10 * tens
        for tens, word in enumerate(["thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"], 3)
    }
    | {
        "hundred": 100,
        "thousand": 1000,
    }
)
_YES = frozenset(
    [
        "yes",
        "yeah",
        "yep",
        "yup",
        "y",
        "sure",
        "ok",
        "okay",
        "correct",
        "right",
        "confirm",
        "confirmed",
        "affirmative",
        "absolutely",
        "definitely",
        "certainly",
        "agreed",
        "true",
        "please",
        "do",
        "go",
        "ahead",
        "proceed",
        "fine",
        "good",
        "perfect",
        "exactly",
        "indeed",
        "course",
    ]
)
_NO = frozenset(
    [
        "no",
        "nope",
        "nah",
        "n",
        "not",
        "don't",
        "dont",
        "never",
        "negative",
        "wrong",
        "incorrect",
        "false",
        "decline",
        "neither",
    ]
)
_STOP_WORDS = frozenset(
    [
        "a",
        "an",
        "the",
        "i",
        "i'd",
        "i'll",
        "i'm",
        "you",
        "me",
        "my",
        "we",
        "our",
        "it",
        "is",
        "are",
        "to",
        "of",
        "in",
        "on",
        "at",
        "for",
        "and",
        "or",
        "with",
        "want",
        "would",
        "like",
        "can",
        "could",
        "please",
        "need",
        "this",
        "that",
        "do",
        "does",
        "have",
        "has",
        "get",
        "user",
        "users",
        "flow",
        "lets",
        "let",
        "their",
        "them",
        "they",
        "when",
        "about",
        "from",
        "be",
        "will",
        "how",
        "what",
    ]
)


@dataclass(frozen=True)
class Candidate:
    """A value a slot may have been given."""

    value: Any
    cost: float


def words(text: str) -> list[str]:
    """The words of a text, lower case, inner punctuation kept (3.5, e-mail, o'clock)."""
    return [word.casefold() for word in _WORD.findall(text)]


@lru_cache(maxsize=8192)
def stems(text: str) -> frozenset[str]:
    """Content words cut to their beginnings, so that "booking" meets "booked"."""
    return frozenset(_stem(word) for word in words(text.replace("_", " ").replace("-", " ")) if word not in _STOP_WORDS)


def _stem(word: str) -> str:
    for ending in ("ing", "ed", "es", "s"):
        if word.endswith(ending) and len(word) - len(ending) >= 3:
            return word[: -len(ending)]
    return word


def similarity(message: str, description: str) -> float:
    """Share of a message's content words that a description also has, 0 to 1."""
    said = stems(message)
    return len(said & stems(description)) / len(said) if said else 0.0


def values(slot: Slot, message: str, expected: Sequence[Any] = (), later_texts: Iterable[str] = ()) -> list[Candidate]:
    """Values the message may give a slot, cheapest first.

    `expected`: values the test's own checks name for the slot; `later_texts`: messages the bot is expected to send, which may
    repeat a value of a text slot.
    """
    found: dict[Any, float] = {}

    def offer(value: Any, cost: float) -> None:
        value = coerce(slot, value)
        if value is not None and acceptable(slot, value):
            key = (type(value).__name__, value) if not isinstance(value, list) else str(value)
            found[key] = min(cost, found.get(key, cost))
            originals[key] = value

    originals: dict[Any, Any] = {}
    for value in expected:
        offer(value, 0.0 if str(value).casefold() in message.casefold() else 0.1)
    if slot.type == "bool":
        for value, cost in _booleans(message):
            offer(value, cost)
    elif slot.type == "categorical":
        for value in slot.values:
            offer(value, _categorical_cost(str(value), message))
    elif slot.type == "float":
        for value in numbers(message):
            offer(value, 0.1)
    elif slot.type in ("text", "any"):
        for value, cost in _spans(message, tuple(later_texts)):
            offer(value, cost)
    return sorted(
        (Candidate(originals[key], cost) for key, cost in found.items()), key=lambda candidate: candidate.cost
    )


def evident(slot: Slot, message: str) -> list[Candidate]:
    """Only values that the words themselves show for a slot of this type; nothing for free text."""
    if slot.type not in ("categorical", "float"):
        return []
    return [candidate for candidate in values(slot, message) if candidate.cost <= 0.2]


def numbers(message: str) -> list[float]:
    """Numbers in digits or English words, in order."""
    found = [float(match.replace(",", "")) for match in _NUMBER.findall(message) if match.count(".") <= 1]
    return found + [float(_NUMBER_WORDS[word]) for word in words(message) if word in _NUMBER_WORDS]


def _booleans(message: str) -> Iterator[tuple[bool, float]]:
    said = set(words(message))
    yes, no = bool(said & _YES), bool(said & _NO)
    yield True, 0.0 if yes and not no else 0.2 if yes else 0.5 if not no else 0.8
    yield False, 0.0 if no and not yes else 0.2 if no else 0.5 if not yes else 0.8


def _categorical_cost(value: str, message: str) -> float:
    parts = value.casefold().replace("_", " ").replace("-", " ")
    if re.search(rf"\b{re.escape(parts)}\b", message.casefold()) or value.casefold() in words(message):
        return 0.0
    meant, said = stems(value), stems(message)
    return 0.2 if meant and meant <= said else 0.4 if meant & said else 0.7


def _spans(message: str, later_texts: tuple[str, ...]) -> Iterator[tuple[str, float]]:
    text = message.strip()
    bare = text.rstrip(" .!?,;")
    tokens = [(match.start(), match.end()) for match in _WORD.finditer(text)]
    for later in later_texts:
        for span in _shared_spans(text, tokens, later):
            yield span, 0.02
    for match in _QUOTED.finditer(text):
        yield (match[1] or match[2]).strip(), 0.05
    if bare:
        answer_only = len(tokens) <= 4 and not any(text[start:end].casefold() in _LEAD_IN for start, end in tokens)
        yield bare, 0.1 if answer_only else 0.35
    for start, end in _capitalised_runs(text, tokens):
        yield text[start:end], 0.15
    for start, end in tokens:
        if any(character.isdigit() for character in text[start:end]):
            yield text[start:end], 0.2
    for index, (start, end) in enumerate(tokens[:-1]):
        if text[start:end].casefold() in _LEAD_IN:
            yield text[tokens[index + 1][0] :].rstrip(" .!?,;"), 0.3
            yield re.split(r"[,;.!?](?:\s|$)", text[tokens[index + 1][0] :])[0].strip(), 0.3
    for start, end in tokens:
        if text[start:end].casefold() not in _STOP_WORDS:
            yield text[start:end], 0.45


def _shared_spans(text: str, tokens: list[tuple[int, int]], later: str) -> Iterator[str]:
    """The longest runs of words that the bot will repeat, if they say something."""
    folded = later.casefold()
    for length in range(min(6, len(tokens)), 0, -1):
        spans = [text[tokens[at][0] : tokens[at + length - 1][1]] for at in range(len(tokens) - length + 1)]
        shared = [span for span in spans if span.casefold() in folded and stems(span)]
        if shared:
            yield from shared
            return


def _capitalised_runs(text: str, tokens: list[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    run: tuple[int, int] | None = None
    for index, (start, end) in enumerate(tokens):
        capital = (
            text[start].isupper()
            and not (index == 0 and len(tokens) > 2)
            and text[start:end] not in ("I", "I'd", "I'm", "I'll")
        )
        if capital:
            run = (run[0], end) if run and not text[run[1] : start].strip() else (start, end)
            if index + 1 < len(tokens):
                continue
        if run:
            yield run
            run = None
