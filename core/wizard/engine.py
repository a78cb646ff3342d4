"""Which of the two engines runs the assistant: calmtune's own runtime, or the owner's `rasa` command."""

from __future__ import annotations

from core.e2e.rasa import Rasa, unavailable
from core.errors import UsageError
from core.wizard.events import Log, Notice
from core.wizard.shared import SharedAnswers
from core.wizard.step import Context


async def rasa_of(context: Context) -> Rasa | None:
    """The `rasa` command when it is the engine, None for our own runtime; the choice and its reason are told as a notice.

    Raises UsageError when it was asked for and cannot be used.
    """
    shared: SharedAnswers = context.shared
    reason = _against(shared)
    if reason is None:
        try:
            rasa = await Rasa.find(lambda line: context.emit(Log(line)), 60 * shared.engine_minutes)
        except UsageError as error:
            if shared.engine == "rasa":
                raise
            reason = str(error)
        else:
            version = ".".join(map(str, rasa.version))
            context.emit(Notice("info", f"engine: the rasa command, version {version}"))
            return rasa
    context.emit(Notice("info", f"engine: calmtune's own runtime, since {reason}"))
    return None


def _against(shared: SharedAnswers) -> str | None:
    """Why the command is not even tried."""
    if shared.engine == "rasa":
        return None
    if shared.engine == "own":
        return "the answers say so"
    if shared.commands not in ("auto", "llm"):
        return f"commands come from {shared.commands}"
    return unavailable()
