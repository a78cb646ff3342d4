"""Running custom actions: stubs of a test file, an action server over HTTP, an actions module in a child process."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from core.dialogue.tracker import Tracker
from core.errors import CalmtuneError


@dataclass(frozen=True)
class ActionAnswer:
    """What an action server answers: raw events (`{"event": "slot", "name": …, "value": …}`) and responses."""

    events: tuple[Mapping[str, Any], ...] = ()
    responses: tuple[Mapping[str, Any], ...] = ()


class ActionUnavailable(CalmtuneError):
    """Nobody here can run this action; the message names it and says what to do."""


class ActionFailed(CalmtuneError):
    """The action ran and failed, was rejected or timed out; the message names it."""


class Actions(Protocol):
    """Something that runs custom actions."""

    def run(self, name: str, tracker: Tracker) -> ActionAnswer:
        """Run one action. Blocks. Raises ActionUnavailable or ActionFailed."""
        ...


class StubActions:
    """Answers written in a test file. Where anything is stubbed, everything must be."""

    def __init__(self, answers: Mapping[str, ActionAnswer]) -> None:
        self._answers = answers

    def run(self, name: str, tracker: Tracker) -> ActionAnswer:
        answer = self._answers.get(name)
        if answer is None:
            known = ", ".join(sorted(self._answers)) or "nothing"
            raise ActionUnavailable(f"action {name} is not stubbed (stubbed: {known}); add it to stub_custom_actions")
        return answer
