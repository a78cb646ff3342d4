"""The prompt: what a language model is shown for one user message. The same object serves annotation, training and serving.

Static first: task, flows, slots and commands stand at the beginning and are the same for every message (as long as no guard opens or
closes a flow), the state and the conversation come last. Training computes a shared beginning once, servers cache it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from core.assistant.flows import CollectStep, Flow
from core.assistant.project import Assistant
from core.assistant.settings import Dialect
from core.dialogue.cleanup import startable
from core.dialogue.command_text import OFFERED, render
from core.dialogue.commands import (
    CancelFlow,
    ChitChat,
    Clarify,
    Command,
    HumanHandoff,
    RepeatMessage,
    SearchAndReply,
    SetSlot,
    SkipQuestion,
    StartFlow,
)
from core.dialogue.flow_index import FlowIndex
from core.dialogue.own_template import OwnTemplate, allowed_values
from core.dialogue.retrieval import FlowRetriever
from core.dialogue.stack import top_user_frame
from core.dialogue.tracker import Tracker

_TEMPLATES = Path(__file__).parent / "templates"
TURN = _TEMPLATES / "turn.jinja2"
"""What follows the shared part: state and conversation."""
_EXAMPLES: dict[type, Command] = {
    StartFlow: StartFlow("FLOW"),
    SetSlot: SetSlot("SLOT", "VALUE"),
    CancelFlow: CancelFlow(),
    Clarify: Clarify(("FLOW", "FLOW")),
    SkipQuestion: SkipQuestion(),
    SearchAndReply: SearchAndReply(),
    ChitChat: ChitChat(),
    HumanHandoff: HumanHandoff(),
    RepeatMessage: RepeatMessage(),
}
_USES = {
    StartFlow: "the user wants what the flow does",
    SetSlot: "the user gives a value",
    CancelFlow: "the user wants to stop the flow",
    Clarify: "several flows are meant equally well",
    SkipQuestion: "the user will not answer the question",
    SearchAndReply: "a question about facts",
    ChitChat: "small talk or another topic",
    HumanHandoff: "the user wants a person",
    RepeatMessage: "the user did not hear the last message",
}


class PromptRenderer:
    """Renders prompts for one assistant (with its default patterns, as the engine holds it)."""

    def __init__(
        self,
        assistant: Assistant,
        dialect: Dialect,
        template: Path | None = None,
        history_turns: int | None = None,
        index: FlowIndex | None = None,
        clock: Callable[[], datetime] = datetime.now,
        retriever: FlowRetriever | None = None,
    ) -> None:
        """`template`: the owner's own Jinja file, with the documented variables; `history_turns`: earlier user messages to show,
        with the bot's answers (None for all, 0 for only what the bot said last). `clock` tells the time to assistants that
        `include_date_time`; `retriever` chooses the flows to list (None lists all). Raises UsageError for a template with mistakes."""
        self.dialect = dialect
        self.history_turns = history_turns
        self._index = index or FlowIndex(assistant)
        self._retriever = retriever
        self._clock = clock if assistant.settings.include_date_time else None
        self._own = OwnTemplate(template, assistant.root) if template is not None else None
        environment = Environment(
            loader=FileSystemLoader(_TEMPLATES), undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
        )
        self._shared, self._turn = environment.get_template("shared.jinja2"), environment.get_template(TURN.name)
        self._commands = [{"text": render(_EXAMPLES[kind], dialect), "use": _USES[kind]} for kind in OFFERED[dialect]]
        self._shared_part = lru_cache(maxsize=256)(self._render_shared)

    def render(self, tracker: Tracker, message: str) -> str:
        """The prompt for a message, given the conversation before it.

        Raises UsageError when the owner's template fails, and what the embedder of a retriever raises.
        """
        flows = tuple(
            flow.id for flow in self._index.assistant.business_flows if startable(flow.id, tracker, self._index)
        )
        if self._retriever is not None:
            flows = self._retriever.chosen(flows, tracker, message)
        if self._own is not None:
            return self._own.render(self._variables(tracker, message, flows))
        return self._shared_part(flows) + self._turn.render(**self._state(tracker), message=message)

    async def rendered(self, tracker: Tracker, message: str) -> str:
        """As `render`; the event loop goes on while an embedding model works."""
        if self._retriever is None or not self._retriever.embeds:
            return self.render(tracker, message)
        return await asyncio.to_thread(self.render, tracker, message)

    def _render_shared(self, flows: tuple[str, ...]) -> str:
        return self._shared.render(
            flows=[self._index.described(self._index.flows[flow]) for flow in flows], commands=self._commands
        )

    def shared_parts(self) -> tuple[str, dict[str, str], str]:
        """The shared part taken apart: what stands before the flows, the text of each flow by its id, what stands after them."""
        blank = {"id": "\0", "description": "", "slots": []}
        head, tail = self._shared.render(flows=[blank], commands=self._commands).split("- \0: \n")
        flows = {
            flow.id: self._render_shared((flow.id,))[len(head) : -len(tail)]
            for flow in self._index.assistant.business_flows
            if not flow.never_startable
        }
        return head, flows, tail

    def _state(self, tracker: Tracker) -> dict[str, Any]:
        frame = top_user_frame(tracker.stack)
        asked = self._index.asked_step(tracker.stack)
        filled = []
        if frame is not None:
            names = self._index.fillable(tracker.stack)
            filled = [
                (step.slot, tracker.slots[step.slot])
                for step in self._collects(frame.flow, tracker)
                if step.slot in names and tracker.slots[step.slot] is not None
            ]
        now = self._now(tracker)
        return {
            "today": f"{now:%A, %Y-%m-%d}" if now else None,
            "active_flow": frame.flow if frame else None,
            "asked": asked.slot if asked else None,
            "filled": [{"name": name, "value": value} for name, value in dict(filled).items()],
            "history": self._history(tracker),
        }

    def _collects(self, flow: str, tracker: Tracker) -> list[CollectStep]:
        """Collect steps of the active flow and of the flows that called it, callers first."""
        steps: list[CollectStep] = []
        for frame in reversed(tracker.stack):
            if not frame.is_pattern:
                steps = [*self._index.assistant.collects_of(frame.flow), *steps]
                if frame.kind != "call":
                    break
        return steps

    def _now(self, tracker: Tracker) -> datetime | None:
        """The time a test pretends it is, else that of the clock; None unless the assistant's prompts tell the time."""
        if self._clock is None:
            return None
        mocked = tracker.slots.get("mocked_datetime")
        return datetime.fromisoformat(str(mocked)) if mocked else self._clock()

    def _history(self, tracker: Tracker) -> list[tuple[str, str]]:
        if self.history_turns != 0:
            return tracker.transcript(self.history_turns)
        lines = tracker.transcript()
        return lines[-1:] if lines and lines[-1][0] == "AI" else []

    def _variables(self, tracker: Tracker, message: str, flows: tuple[str, ...]) -> dict[str, Any]:
        """What an owner's template is given: core/dialogue/own_template.py names and explains it."""
        frame, asked = top_user_frame(tracker.stack), self._index.asked_step(tracker.stack)
        slot = self._index.slots[asked.slot] if asked else None
        history = [*tracker.transcript(), ("USER", message)]
        return {
            "available_flows": [self._offered(self._index.flows[flow]) for flow in flows],
            "current_conversation": "\n".join(f"{who}: {text}" for who, text in history),
            "flow_slots": self._flow_slots(frame.flow, tracker) if frame else [],
            "current_flow": frame.flow if frame else None,
            "current_slot": asked.slot if asked else None,
            "current_slot_description": asked.description if asked else None,
            "current_slot_type": slot.type if slot else None,
            "current_slot_allowed_values": allowed_values(slot) if slot else None,
            "user_message": message,
            "is_repeat_command_enabled": True,
            "current_datetime": self._now(tracker),
            "active_agent": None,
            "completed_agents": [],
        }

    def _offered(self, flow: Flow) -> dict[str, Any]:
        described = self._index.described(flow)
        slots = [
            {**slot, "allowed_values": allowed_values(self._index.slots[slot["name"]])} for slot in described["slots"]
        ]
        return {**described, "slots": slots}

    def _flow_slots(self, flow: str, tracker: Tracker) -> list[dict[str, Any]]:
        slots = {}
        for step in self._collects(flow, tracker):
            slot = self._index.slots[step.slot]
            slots[step.slot] = {
                "name": step.slot,
                "value": "undefined" if tracker.slots[step.slot] is None else tracker.slots[step.slot],
                "type": slot.type,
                "description": step.description,
                "allowed_values": allowed_values(slot),
            }
        return list(slots.values())
