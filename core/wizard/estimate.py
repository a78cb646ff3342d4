"""What a step will spend on language models, told before anything is spent."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable

from core.wizard.answers import SESSION
from core.wizard.jobs import JobKeeper
from core.wizard.recipe import step
from core.wizard.session import Session
from core.wizard.step import Context


@runtime_checkable
class Estimates(Protocol):
    """A step that may ask language models."""

    def estimate(self, context: Context) -> str:
        """Calls, tokens, dollars and minutes in words; "" when no model is asked. Raises what reading the answers and files raises."""
        ...


def estimate(session: Session, id: str, given: Mapping[str, Any] | None = None) -> str:
    """The estimate of a step that could run now, under its present answers or those `given`; "" for a step that spends nothing.

    Raises CalmtuneError when the answers or the assistant are wrong. Changes nothing.
    """
    it = step(id)
    status = session.status(id)
    if not isinstance(it, Estimates) or status.state in ("blocked", "running"):
        return ""
    answers = session.answers if given is None else {**session.answers, id: given}
    context = Context(
        answers=session.model(id, answers),
        shared=session.model(SESSION),
        upstream=session.upstream(it),
        folder=session.folder / "runs" / f"{id}-estimate",
        emit=lambda event: None,
        jobs=JobKeeper(session.journal, session.targets, session.id, id, status.key or ""),
    )
    return it.estimate(context)
