"""Step 3: fine-tune a base model on the training rows."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator

from core.training.base_model import DEMO_MODEL
from core.training.base_models import parameters_of
from core.training.effort import SMALL
from core.wizard.shared import SharedAnswers
from core.wizard.step import Context, Outputs
from provisioning.place_names import LOCAL, PLACE_PATTERN, SKY, cloud_of

METRICS = "metrics.jsonl"
"""What the run measured, one JSON object a line: step, and values by name."""
PRESET_OFF = "none"


class TrainingAnswers(BaseModel):
    """Base model and how it is trained; what is left empty follows the preset, and without one the effort."""

    model_config = ConfigDict(extra="forbid", protected_namespaces=())

    base_model: str = Field(
        DEMO_MODEL, title="Base model", description="Folder of a model, or its name on the hub (safetensors only)."
    )
    effort: Literal["draft", "standard", "thorough"] = Field(
        "standard",
        title="Effort",
        description="How hard training tries: epochs, rank, learning rate and validations follow from it and from the model's size. "
        "draft to see whether all is well, thorough when the last per cent counts.",
    )
    preset: Literal["none", "small-cpu", "recipe-2024", "recipe-2025"] = Field(
        "none",
        title="Preset",
        description="Fixed settings instead of the effort's: small-cpu for some hundred million parameters without a GPU; recipe-2025 "
        "for 8B on an A100.",
        json_schema_extra={"advanced": True},
    )
    method: Literal["auto", "lora", "qlora", "full"] = Field(
        "auto",
        title="Method",
        description="What is trained: lora an adapter, qlora an adapter to weights in 4 bits (needs a GPU), full all weights, which takes "
        "16 to 18 bytes of memory each. auto is lora, or qlora where memory needs it.",
        json_schema_extra={"advanced": True},
    )
    epochs: float | None = Field(None, gt=0, le=100, title="Epochs", description="Passes over the rows.")
    learning_rate: float | None = Field(None, gt=0, lt=1, title="Learning rate", description="Highest learning rate.")
    lora_rank: int | None = Field(None, ge=1, le=512, title="LoRA rank", description="Rank of the adapter.")
    rows_per_step: int | None = Field(
        None,
        ge=1,
        le=1024,
        title="Rows a step",
        description="Rows of one optimizer step.",
        json_schema_extra={"unit": "rows"},
    )
    dtype: Literal["auto", "float32", "bfloat16"] = Field(
        "auto",
        title="Precision",
        description="auto takes what this machine computes faster.",
        json_schema_extra={"advanced": True},
    )
    artifact: Literal["auto", "merged", "adapter"] = Field(
        "auto",
        title="Artifact",
        description="merged: the whole model, ready for any server. adapter: only what training added, some hundredth of it; it needs the "
        "base model wherever it is served. auto: merged when training runs on this machine, adapter when it must travel from another.",
        json_schema_extra={"advanced": True},
    )
    command_match_min: float = Field(
        0.5,
        ge=0,
        le=1,
        title="Rows written exactly",
        description="Share of validation rows for which the model must write exactly the expected commands before tests are run with it: "
        "a model that gets half of its messages wrong passes hardly any test.",
        json_schema_extra={"advanced": True},
    )
    limit_minutes: float = Field(
        720, gt=0, title="Time limit", description="Training is stopped after this long.",
        json_schema_extra={"unit": "minutes", "cosmetic": True, "advanced": True},
    )  # fmt: skip
    machine: str = Field(
        LOCAL,
        pattern=PLACE_PATTERN,
        title="Machine",
        description="local for this one; ssh: and a host of the SSH configuration (ssh:gpu, ssh:me@gpu.example); sky for the cheapest "
        "machine that SkyPilot can rent, sky:aws and the like for one cloud's.",
        json_schema_extra={"cosmetic": True},
    )
    gpus: int | None = Field(
        None,
        ge=0,
        le=8,
        title="GPUs",
        description="How many train together, which the machine must have: they share out the rows of a step, and weights that one of "
        "them does not hold. Empty asks for one on another machine when the preset is a recipe or the model has half a billion parameters "
        "or more.",
        json_schema_extra={"cosmetic": True, "advanced": True},
    )
    nodes: int = Field(
        1,
        ge=1,
        le=16,
        title="Nodes",
        description="How many machines train together, each with so many GPUs; for machines SkyPilot rents. They share out what GPUs of "
        "one machine do, more slowly, and cost as many times as much an hour.",
        json_schema_extra={"cosmetic": True, "advanced": True},
    )
    machine_usd_per_hour: float | None = Field(
        None,
        ge=0,
        title="Price of the machine",
        description="What an hour of the machine that trains costs you, all nodes together, for the plan. Empty when unknown.",
        json_schema_extra={"unit": "US dollars an hour", "cosmetic": True, "advanced": True},
    )
    python: str = Field(
        "", title="Python", description="Interpreter on the machine with torch, transformers, trl and peft; empty for the one calmtune "
        "runs in, and on another machine for an environment that is made there once.",
        json_schema_extra={"cosmetic": True, "advanced": True},
    )  # fmt: skip

    @field_validator("nodes")
    @classmethod
    def _rented(cls, nodes: int, info: ValidationInfo) -> int:
        machine = str(info.data.get("machine", SKY))
        if nodes > 1 and machine.partition(":")[0] != SKY:
            raise ValueError(f"Several nodes are rented by SkyPilot alone, and training.machine is {machine}; answer sky or sky:aws there")
        if nodes > 1 and cloud_of(machine.partition(":")[2]) == "kubernetes":
            raise ValueError("Further nodes on Kubernetes cannot be reached over SSH; take one node, or another cloud")
        return nodes

    @property
    def processes(self) -> int:
        """That train together."""
        return max(1, self.gpus_needed) * self.nodes

    @property
    def gpus_needed(self) -> int:
        """GPUs of each node without which training must not begin."""
        if self.gpus is not None:
            return self.gpus
        if self.machine == LOCAL:
            return 0
        if self.preset != PRESET_OFF:
            return int(self.preset.startswith("recipe"))
        return int((parameters_of(self.base_model) or 0) >= SMALL)

    @property
    def artifact_kind(self) -> str:
        """merged or adapter; training all weights leaves no adapter."""
        if self.method == "full":
            return "merged"
        if self.artifact != "auto":
            return self.artifact
        return "merged" if self.machine == LOCAL else "adapter"

    @property
    def kind(self) -> str:
        """What is trained, for sentences."""
        return f"training {self.base_model}" if self.preset == PRESET_OFF else f"the preset {self.preset}"


class TrainingStep:
    """Runs the training program as a job and keeps the model."""

    id: ClassVar[str] = "training"
    version: ClassVar[int] = 3
    title: ClassVar[str] = "Fine-tuning"
    purpose: ClassVar[str] = "Fine-tune a small base model on the training rows and watch its loss."
    upstream: ClassVar[tuple[str, ...]] = ("dataset",)
    shared: ClassVar[tuple[str, ...]] = ("seed",)
    answers: ClassVar[type[BaseModel]] = TrainingAnswers

    def reads(self, shared: SharedAnswers, answers: TrainingAnswers) -> Sequence[Path]:
        return ()

    def foretell(self, context: Context) -> str:
        """The plan in words."""
        from core.wizard.work import training

        return training.foretell(context)

    async def run(self, context: Context) -> Outputs:
        from core.wizard.work import training

        return await training.run(context)


STEP = TrainingStep()
