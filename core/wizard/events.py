"""What a running step reports. Fronts subscribe; none of them holds logic of the recipe.

`event_lines.py` makes lines and their schema of these declarations; the docstrings under the fields are the schema's descriptions.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

from pydantic import ConfigDict, Field, WithJsonSchema


class Described:
    """A declaration whose fields are described by the docstrings under them; numbers that are none become null in JSON."""

    __slots__ = ()
    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(use_attribute_docstrings=True, ser_json_inf_nan="null")


@dataclass(frozen=True, slots=True)
class Progress(Described):
    """How far a step is."""

    done: float
    total: float
    unit: str
    """Plural noun: tests, rows, steps, conversations."""
    eta_seconds: float | None = None
    label: str = ""
    """What is being worked on, e.g. "training", "validation tests"."""


@dataclass(frozen=True, slots=True)
class Log(Described):
    """A line of what a step does."""

    line: str


@dataclass(frozen=True, slots=True)
class Metric(Described):
    """A point on a curve."""

    step: Annotated[int, Field(serialization_alias="training_step")]
    """Optimizer step, from 1."""
    values: Annotated[
        Mapping[str, float], WithJsonSchema({"type": "object", "additionalProperties": {"type": ["number", "null"]}})
    ]
    """loss, eval_loss, learning_rate, tokens_per_second, …"""


@dataclass(frozen=True, slots=True)
class Cost(Described):
    """What language models cost."""

    usd: float
    """Spent so far by this step."""


@dataclass(frozen=True, slots=True)
class Notice(Described):
    """Something to know."""

    level: Literal["info", "warning", "error"]
    text: str


@dataclass(frozen=True, slots=True)
class MachineCost(Described):
    """What rented machines cost, told now and then while they are there."""

    usd: float
    """All machines of the session so far."""
    usd_per_hour: float
    """Those that run now."""
    budget: float | None = None
    """US dollars at which they are ended."""


StepEvent = Progress | Log | Metric | Cost | MachineCost | Notice
