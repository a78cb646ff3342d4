"""Answers that belong to the session as a whole, asked before the first step."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from core.dialogue.embedding import DEFAULT_MODEL

RETRIEVAL_ANSWERS = ("flow_retrieval", "embedding_model")
"""Answers that decide about prompts: part of the key of every step that renders any."""


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
    cloud_gpus: str = Field(
        default="A100, A100-80GB, H100, L40S",
        pattern=r"^\s*[\w.-]+(\s*,\s*[\w.-]+)*\s*$",
        title="GPUs to rent",
        description="Types of GPU any of which will do, SkyPilot's names with commas between; of those that hold the model the cheapest "
        "to be had is rented. For places named sky.",
        json_schema_extra={"cosmetic": True, "advanced": True},
    )
    cloud_spot: bool = Field(
        default=False,
        title="Spot machines",
        description="Rent machines that the cloud may take back at any time, for a part of the price; what was trained goes on from its "
        "last checkpoint on another one.",
        json_schema_extra={"cosmetic": True, "advanced": True},
    )
    cloud_usd_per_hour: float | None = Field(
        default=None,
        gt=0,
        title="Highest price an hour",
        description="Machines that cost more, all nodes together, are not rented.",
        json_schema_extra={"unit": "US dollars an hour", "cosmetic": True, "advanced": True},
    )
    cloud_budget_usd: float | None = Field(
        default=None,
        gt=0,
        title="Budget for machines",
        description="When the session's rented machines have cost so much, the job is stopped and the machine ended.",
        json_schema_extra={"unit": "US dollars", "cosmetic": True, "advanced": True},
    )
    cloud_idle_minutes: int = Field(
        default=60,
        ge=1,
        le=1440,
        title="Idle minutes",
        description="A rented machine without a job ends itself after so long, also when this machine is off; what was not fetched by then "
        "is lost.",
        json_schema_extra={"unit": "minutes", "cosmetic": True, "advanced": True},
    )


def model_files(shared: SharedAnswers) -> list[Path]:
    """The folder of the embedding model, where it is one and is used."""
    folder = Path(shared.embedding_model).expanduser()
    return [folder] if shared.flow_retrieval == "on" and folder.is_dir() else []
