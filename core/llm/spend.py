"""What calls to a language model cost: counted before they are made, added up while they are."""

from __future__ import annotations

import datetime
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import reduce
from importlib.resources import files
from pathlib import Path

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from core.errors import Problem, ProblemsError

PRICES_VARIABLE = "CALMTUNE_PRICES"
"""Environment variable that names the owner's own price file."""

_CHARACTERS_PER_TOKEN = 4
"""Of English prose and JSON; other languages have fewer, so counts for them are low."""


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


def tokens(text: str) -> int:
    """Tokens of a text, roughly: a quarter of its characters."""
    return -(-len(text) // _CHARACTERS_PER_TOKEN)


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


def read_prices(owner: Path | None = None) -> PriceTable:
    """The shipped table, overlaid with the owner's file (argument, else CALMTUNE_PRICES). Raises ProblemsError."""
    shipped = _table((files("core.llm") / "prices.yml").read_text(encoding="utf-8"), "prices.yml")
    if owner is None and os.environ.get(PRICES_VARIABLE):
        owner = Path(os.environ[PRICES_VARIABLE])
    if owner is None:
        return shipped
    try:
        own = _table(owner.read_text(encoding="utf-8"), str(owner))
    except OSError as error:
        raise ProblemsError([Problem(str(owner), 0, f"the price file cannot be read ({error.strerror})")]) from None
    return PriceTable(as_of=own.as_of, models={**shipped.models, **own.models})


def _table(text: str, file: str) -> PriceTable:
    try:
        return PriceTable.model_validate(yaml.safe_load(text))
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 0
        raise ProblemsError([Problem(file, line, f"this is not YAML: {error.problem}")]) from None
    except ValidationError as error:
        raise ProblemsError(
            Problem(file, 0, f"{'.'.join(map(str, part['loc']))}: {part['msg']}") for part in error.errors()
        ) from None


@dataclass
class Meter:
    """Adds up what a run of one model uses."""

    price: Price | None
    """None when the model's price is not known (or it costs nothing)."""
    used: Usage = field(default_factory=Usage)

    def add(self, prompt_tokens: int, completion_tokens: int) -> None:
        """Count one call."""
        self.used += Usage(1, prompt_tokens, completion_tokens)

    @property
    def usd(self) -> float | None:
        """Spent so far, None when the price is not known."""
        return self.price.of(self.used) if self.price else None


def in_words(usage: Usage, price: Price | None, as_of: datetime.date) -> str:
    """ "680 calls, about 1.2 million tokens in and 0.1 million out: about $3.20 (prices of 2025-09-01)"."""
    read, written = _count(usage.prompt_tokens), _count(usage.completion_tokens)
    text = f"{usage.calls:,} calls, about {read} tokens in and {written} out"
    if price is None:
        return f"{text}; the price of this model is not known (set {PRICES_VARIABLE} to a file with it)"
    return f"{text}: about ${price.of(usage):,.2f} (prices of {as_of})"


def _count(number: int) -> str:
    return f"{number / 1e6:.1f} million" if number >= 1_000_000 else f"{number:,}"
