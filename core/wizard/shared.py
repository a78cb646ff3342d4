"""Answers that belong to the session as a whole, asked before the first step."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from core.dialogue.embedding import DEFAULT_MODEL


class SharedAnswers(BaseModel):
    """Which assistant, which tests, how its commands are found."""

    model_config = ConfigDict(extra="forbid")

    assistant: Path = Field(title="Assistant", description="Folder of the assistant (config.yml, domain, data).")
    tests: str | None = Field(
        default=None,
        title="Tests",
        description="File, folder or file.yml::name with the end-to-end tests; found in the assistant's folder when empty.",
    )
    commands: str = Field(
        default="auto",
        title="Command source",
        description="infer (no language model), llm (the one the assistant is configured with) or a recording (file); "
        "auto takes llm where one can be reached, else infer.",
    )
    dialect: Literal["auto", "v1", "v2", "v3"] = Field(
        default="auto",
        title="Command language",
        description="Form of the commands the model writes; auto follows the command generator in config.yml.",
    )
    patterns: Literal["auto", "newest", "3.14", "3.13"] = Field(
        default="auto",
        title="Conversation repair",
        description="Version of the default patterns: newest (3.15 and later), 3.14, or 3.13 and those before; "
        "auto follows what the tests and the domain mention.",
        json_schema_extra={"advanced": True},
    )
    engine: Literal["auto", "own", "rasa"] = Field(
        default="auto",
        title="Engine",
        description="What runs the assistant: own (calmtune's runtime) or rasa (your `rasa` command with its licence in RASA_LICENSE; "
        "commands then come from the model the assistant names). auto takes rasa where both are there and commands need no runtime "
        "of calmtune's.",
    )
    engine_minutes: float = Field(
        default=720,
        gt=0,
        title="Time limit of rasa",
        description="One run of the `rasa` command is ended after this long.",
        json_schema_extra={"unit": "minutes", "cosmetic": True, "advanced": True},
    )
    flow_retrieval: Literal["off", "on"] = Field(
        default="off",
        title="Flow retrieval",
        description="off: prompts list every flow. on: only the flows that fit a message best, as many as config.yml says (20), found by "
        "an embedding model on this machine. The connection step makes config.yml say the same.",
        json_schema_extra={"advanced": True},
    )
    embedding_model: str = Field(
        default=DEFAULT_MODEL,
        title="Embedding model",
        description="For flow retrieval: a sentence-transformers model, as a folder or a name on the hub.",
        json_schema_extra={"advanced": True},
    )
    seed: int = Field(default=42, ge=0, title="Seed", description="For the split, the shuffles and the training.")
