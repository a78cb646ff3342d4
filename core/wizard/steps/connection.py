"""Step 7: the assistant's configuration names the new model, and a first conversation shows that it answers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from pydantic import BaseModel, ConfigDict, Field

from core.wizard.shared import RETRIEVAL_ANSWERS, SharedAnswers
from core.wizard.step import Context, Outputs


class ConnectionAnswers(BaseModel):
    """Where the change is written."""

    model_config = ConfigDict(extra="forbid")

    in_place: bool = Field(
        False,
        title="Change the assistant",
        description="Write config.yml and endpoints.yml of the assistant itself (a backup stays beside them); "
        "otherwise only a changed copy is left in the session.",
    )


class ConnectionStep:
    """Patches the configuration and holds one conversation."""

    id: ClassVar[str] = "connection"
    version: ClassVar[int] = 2
    title: ClassVar[str] = "Connection"
    purpose: ClassVar[str] = "Point the assistant's configuration at the served model and hold a first conversation."
    upstream: ClassVar[tuple[str, ...]] = ("dataset", "deployment")
    shared: ClassVar[tuple[str, ...]] = ("tests", "patterns", *RETRIEVAL_ANSWERS)
    answers: ClassVar[type[BaseModel]] = ConnectionAnswers

    def reads(self, shared: SharedAnswers, answers: ConnectionAnswers) -> Sequence[Path]:
        return ()

    async def run(self, context: Context) -> Outputs:
        from core.wizard.work import connection

        return await connection.run(context)


STEP = ConnectionStep()
