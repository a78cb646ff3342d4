"""Which rephrasings are kept. Cheap reasons to drop one come first, then the command source is asked again.

A wording stands if, in its place, it is understood as the same commands: the completion of its row is that of the original. Without
a language model to ask only the cheap reasons apply; the run's record says so.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from core.dataset.conversation import AnnotatedConversation, AnnotatedTurn, Rejected, replay
from core.dataset.text import holds, normalised
from core.dialogue.cleanup import clean_up
from core.dialogue.command_text import render_all
from core.dialogue.commands import Command, SetSlot
from core.dialogue.engine import Engine
from core.dialogue.source import CommandSource, UserMessage
from core.dialogue.tracker import Tracker

Equality = Literal["strict", "names"]
"""strict: the same commands with the same values. names: values of free text (slot types text, any, list) may be cut differently;
those of a closed type may not, since another value there is another meaning."""


@dataclass(frozen=True)
class Understanding:
    """Asks a command source whether a wording is understood as the original was."""

    source: CommandSource
    engine: Engine
    equality: Equality = "names"

    async def objection(self, tracker: Tracker, message: UserMessage, commands: Sequence[Command]) -> str | None:
        """Why `message` will not do in the place of one understood as `commands`; None when it will. Raises ProviderError."""
        prediction = await self.source.predict(tracker, message)
        wanted = clean_up(commands, tracker, self.engine.index)
        got = clean_up(prediction.commands, tracker, self.engine.index)
        if self._meaning(wanted) == self._meaning(got):
            return None
        return f"is understood as {render_all(got, 'v2').replace(chr(10), '; ') or 'nothing'}"

    def _meaning(self, commands: Sequence[Command]) -> frozenset[object]:
        return frozenset(command.name if self._free(command) else command for command in commands)

    def _free(self, command: Command) -> bool:
        return (
            self.equality == "names"
            and isinstance(command, SetSlot)
            and self.engine.index.slots[command.name].type in ("text", "any", "list")
        )
