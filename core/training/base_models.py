"""The list of base models: shipped, dated, and overlaid with the owner's."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from core.tables import owners_table, parse_table
from core.training.model_facts import ModelFacts, facts_from, folder_at_hand, read_config

MODELS_VARIABLE = "CALMTUNE_MODELS"
"""Environment variable that names the owner's own list."""


class ListedModel(BaseModel):
    """One base model as the list has it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    parameters: float = Field(gt=0)
    """Billions."""
    licence: str
    gated: bool
    """Whether its licence must be accepted on the hub before it can be downloaded."""
    context: int = Field(gt=0)
    """Tokens."""
    attention: Literal["full", "sliding", "hybrid"]
    """hybrid: linear attention or recurrence in some layers, so no shared prefixes."""
    note: str = ""
    config: Mapping[str, Any] | None = None
    """What a plan reads of its config.json; None when it is not known."""

    @property
    def shares(self) -> bool:
        return self.attention != "hybrid"


class ModelList(BaseModel):
    """Base models by their names on the hub, and the day they were looked up."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    as_of: datetime.date
    models: Mapping[str, ListedModel] = Field(default_factory=dict)

    def facts(self) -> list[ModelFacts]:
        """Of all models whose shape is known."""
        found = [facts_from(name, model.config) for name, model in self.models.items() if model.config]
        return [facts for facts in found if isinstance(facts, ModelFacts)]


@dataclass(frozen=True)
class Found:
    """A base model's facts, and where they were read."""

    facts: ModelFacts | None
    why: str
    """Where they are from, or why there are none."""
    folder: Path | None = None
    """Where its config.json and maybe its tokenizer lie on this machine."""


def read_models(owner: Path | None = None) -> ModelList:
    """The shipped list, overlaid with the owner's file (argument, else CALMTUNE_MODELS). Raises ProblemsError."""
    shipped = _shipped()
    own = owners_table(ModelList, owner, MODELS_VARIABLE, "list of models")
    return shipped if own is None else ModelList(as_of=own.as_of, models={**shipped.models, **own.models})


def find(name: str) -> Found:
    """The facts of a base model: from its own config.json where that is at hand, else from the list. Raises ProblemsError."""
    folder = folder_at_hand(name)
    if folder is not None:
        facts = facts_from(name, read_config(folder))
        return Found(facts, "its config.json", folder) if isinstance(facts, ModelFacts) else Found(None, facts, folder)
    listed = read_models()
    model = listed.models.get(name)
    if model is None or model.config is None:
        return Found(None, f"the shape of {name} is not known before it is downloaded")
    facts = facts_from(name, model.config)
    return Found(facts, f"calmtune's list of {listed.as_of}") if isinstance(facts, ModelFacts) else Found(None, facts)


def listed_parameters(name: str) -> int | None:
    """How many a base model has by the list; None for one that is not there. Raises ProblemsError."""
    listed = read_models().models.get(name)
    return round(listed.parameters * 1e9) if listed else None


def parameters_of(name: str) -> int | None:
    """How many a base model has; None when that is not known before it is downloaded. Raises ProblemsError."""
    facts = find(name).facts
    return facts.parameters if facts is not None else listed_parameters(name)


@cache
def _shipped() -> ModelList:
    text = (files("core.training") / "base_models.yml").read_text(encoding="utf-8")
    return parse_table(ModelList, text, "base_models.yml")

