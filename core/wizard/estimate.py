"""What a step will spend on language models and of a machine's time, told before anything is spent."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable

from core.wizard.answers import SESSION
from core.wizard.jobs import JobKeeper
from core.wizard.recipe import STEP_IDS, step
from core.wizard.session import Answers, Session
from core.wizard.step import Context


@runtime_checkable
class Estimates(Protocol):
    """A step that may ask language models."""

    def estimate(self, context: Context) -> str:
        """Calls, tokens, dollars and minutes in words; "" when no model is asked. Raises what reading the answers and files raises."""
        ...


@runtime_checkable
class Plans(Protocol):
    """A step that may train."""

    def foretell(self, context: Context) -> str:
        """Rows, steps, tokens, minutes, dollars and memory in words; "" when nothing is trained or known. Asks no other machine."""
        ...


@runtime_checkable
class Serves(Protocol):
    """A step that serves the model."""

    def foretell_server(self, context: Context) -> str:
        """Which GPUs would be rented for it, and why; "" where none would. Asks no machine."""
        ...


LANGUAGE_MODELS = "language models"
TRAINING = "training"
SERVING = "serving"


def foretold(it: object, context: Context) -> dict[str, str]:
    """What a step will spend, by LANGUAGE_MODELS, TRAINING and SERVING; without what it spends nothing of.

    Raises what reading the answers and files raises.
    """
    found = {
        LANGUAGE_MODELS: it.estimate(context) if isinstance(it, Estimates) else "",
        TRAINING: it.foretell(context) if isinstance(it, Plans) else "",
        SERVING: it.foretell_server(context) if isinstance(it, Serves) else "",
    }
    return {what: said for what, said in found.items() if said}


def spending(
    session: Session, id: str, given: Mapping[str, Any] | None = None, answers: Answers | None = None
) -> dict[str, str]:
    """What a step that could run now would spend; empty for a step that spends nothing.

    Under the session's answers, or `answers` in their place; `given` are other answers of this step. Raises CalmtuneError when the
    answers or the assistant are wrong. Changes nothing.
    """
    it = step(id)
    answers = session.answers if answers is None else answers
    status = session.statuses(answers)[STEP_IDS.index(id)]
    if not isinstance(it, Estimates | Plans | Serves) or status.state in ("blocked", "running"):
        return {}
    own = answers if given is None else {**answers, id: given}
    context = Context(
        answers=session.model(id, own),
        shared=session.model(SESSION, answers),
        upstream=session.upstream(it, answers),
        folder=session.folder / "runs" / f"{id}-estimate",
        emit=lambda event: None,
        jobs=JobKeeper(session.journal, session.targets, session.id, id, status.key or ""),
    )
    return foretold(it, context)


def estimate(session: Session, id: str, given: Mapping[str, Any] | None = None) -> str:
    """Of `spending`, what language models will cost; "" when none is asked."""
    return spending(session, id, given).get(LANGUAGE_MODELS, "")
