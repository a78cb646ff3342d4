"""Step 5: the final model, trained on training and validation rows together with the same settings."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field

from core.wizard.shared import RETRIEVAL_ANSWERS, SharedAnswers
from core.wizard.step import Context, Outputs


class ProductionAnswers(BaseModel):
    """Whether to retrain."""

    model_config = ConfigDict(extra="forbid")

    retrain: bool = Field(
        True,
        title="Retrain on everything",
        description="Train the final model on training and validation rows; without it the model of step 3 is the final one. "
        "The golden tests are learnt by neither, and judge it.",
    )
    quantised: Literal["none", "int8", "int4"] = Field(
        "none",
        title="Quantised copy",
        description="A smaller copy, made with llm-compressor, that must pass the same tests and is deployed in the model's place: "
        "int8 (W8A8) serves many at once faster, int4 (W4A16) takes least memory and answers one at a time fastest.",
        json_schema_extra={"advanced": True},
    )
    quantise_python: str = Field(
        "",
        title="Python that quantises",
        description="Interpreter with llm-compressor on the machine that trains; empty for an environment that is made there once.",
        json_schema_extra={"cosmetic": True, "advanced": True},
    )


class ProductionStep:
    """Trains once more on all rows and evaluates again."""

    id: ClassVar[str] = "production"
    version: ClassVar[int] = 2
    title: ClassVar[str] = "Production model"
    purpose: ClassVar[str] = (
        "Train the final model on training and validation rows together and evaluate it on tests that no model has seen."
    )
    upstream: ClassVar[tuple[str, ...]] = ("dataset", "training", "evaluation")
    shared: ClassVar[tuple[str, ...]] = ("seed", "patterns", "engine", *RETRIEVAL_ANSWERS)
    answers: ClassVar[type[BaseModel]] = ProductionAnswers

    def reads(self, shared: SharedAnswers, answers: ProductionAnswers) -> Sequence[Path]:
        return (shared.assistant,)

    def estimate(self, context: Context) -> str:
        """What the comparison with the strong model will take, in words; "" without one."""
        from core.wizard.work import production

        return production.estimate(context)

    def foretell(self, context: Context) -> str:
        """The plan of training again, in words; "" without it."""
        from core.wizard.work import production

        return production.foretell(context)

    async def run(self, context: Context) -> Outputs:
        from core.wizard.work import production

        return await production.run(context)


STEP = ProductionStep()
