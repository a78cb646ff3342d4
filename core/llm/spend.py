"""What calls to a language model cost, counted before they are made."""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from importlib.resources import files
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from core.llm.rate import Limits
from core.llm.tokens import tokens
from core.tables import owners_table, parse_table

PRICES_VARIABLE = "CALMTUNE_PRICES"
"""Environment variable that names the owner's own price file."""

_INSTRUCTIONS = 400
"""Tokens of the rephrasing prompt without the conversation."""
_SHARE_OF_THE_BOT = 4
"""Tokens of a conversation for each token of the user's, whose messages also stand in the list to be rephrased."""
_NUMBERING = 4
"""Tokens around a wording."""
_COMMANDS = 12
"""Tokens of an answer in the command language."""
HISTORY_TOKENS = 120
"""What a conversation adds to a prompt by the middle of a test."""
_SECONDS_A_CALL = 2.0
"""Of a hosted model, to answer one call."""


@dataclass(frozen=True)
class Usage:
    """Calls and tokens, expected or made."""

    calls: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            self.calls + other.calls,
            self.prompt_tokens + other.prompt_tokens,
            self.completion_tokens + other.completion_tokens,
        )

    def __mul__(self, times: int) -> Usage:
        return Usage(self.calls * times, self.prompt_tokens * times, self.completion_tokens * times)


def total(usages: Iterable[Usage]) -> Usage:
    return reduce(Usage.__add__, usages, Usage())


class Price(BaseModel):
    """Of one model, in US dollars per million tokens."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    input: float = Field(ge=0)
    output: float = Field(ge=0)

    def of(self, usage: Usage) -> float:
        """US dollars."""
        return (usage.prompt_tokens * self.input + usage.completion_tokens * self.output) / 1e6


class PriceTable(BaseModel):
    """Prices of models, and the day they were looked up."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    as_of: datetime.date
    models: Mapping[str, Price] = Field(default_factory=dict)

    def price(self, model: str) -> Price | None:
        """The price of a model, by its name or the longest known beginning of it; None when it is not known."""
        name = model.rpartition("/")[2]
        known = [entry for entry in self.models if name == entry or name.startswith(f"{entry}-20")]
        return self.models[max(known, key=len)] if known else None


def read_prices(owner: Path | None = None, hosted: bool = True) -> PriceTable:
    """The shipped table, overlaid with the owner's file (argument, else CALMTUNE_PRICES).

    Without `hosted` only the owner's entries: what a server at an address of its own costs, nobody else knows. Raises ProblemsError.
    """
    shipped = parse_table(PriceTable, (files("core.llm") / "prices.yml").read_text(encoding="utf-8"), "prices.yml")
    if not hosted:
        shipped = PriceTable(as_of=shipped.as_of)
    own = owners_table(PriceTable, owner, PRICES_VARIABLE, "price file")
    return shipped if own is None else PriceTable(as_of=own.as_of, models={**shipped.models, **own.models})


def rephrasing_usage(tests: Sequence[Sequence[str]], rephrasings: int, model: str = "") -> Usage:
    """What asking for wordings takes: a call a test. `tests` holds the messages to be rephrased of each test."""
    asked = [messages for messages in tests if messages and rephrasings]
    said = sum(tokens(message, model) for messages in asked for message in messages)
    wordings = rephrasings * (said + _NUMBERING * sum(map(len, asked)))
    return Usage(len(asked), len(asked) * _INSTRUCTIONS + _SHARE_OF_THE_BOT * said, wordings)


def validation_usage(tests: Sequence[Sequence[str]], rephrasings: int, prompt_tokens: int) -> Usage:
    """What checking wordings takes: a call each, with a prompt of so many tokens."""
    return turn_usage(rephrasings * sum(map(len, tests)), prompt_tokens)


def turn_usage(turns: int, prompt_tokens: int) -> Usage:
    """What asking for the commands of so many messages takes."""
    return Usage(1, prompt_tokens, _COMMANDS) * turns


def minutes(usage: Usage, at_once: int, limits: Limits) -> float:
    """How long calls take: so many at once, and no more a minute than the limits allow."""
    bounds = [usage.calls * _SECONDS_A_CALL / at_once / 60]
    if limits.requests_per_minute:
        bounds.append(usage.calls / limits.requests_per_minute)
    if limits.tokens_per_minute:
        bounds.append((usage.prompt_tokens + usage.completion_tokens) / limits.tokens_per_minute)
    return max(bounds)


def in_words(usage: Usage, price: Price | None, as_of: datetime.date) -> str:
    """ "680 calls, about 1.2 million tokens in and 0.1 million out: about $3.20 (prices of 2025-09-01)"."""
    read, written = _count(usage.prompt_tokens), _count(usage.completion_tokens)
    text = f"{usage.calls:,} calls, about {read} tokens in and {written} out"
    if price is None:
        return f"{text}; the price of this model is not known (set {PRICES_VARIABLE} to a file with it)"
    return f"{text}: about ${price.of(usage):,.2f} (prices of {as_of})"


def _count(number: int) -> str:
    return f"{number / 1e6:.1f} million" if number >= 1_000_000 else f"{number:,}"
