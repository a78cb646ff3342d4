"""Whatever the flows and the commands: the engine neither breaks nor loops, and a tracker is always the fold of its events."""

from __future__ import annotations

from typing import Any

from hypothesis import HealthCheck, assume, event, given, settings
from hypothesis import strategies as st
from rigs.any_flows import ANSWERS, TURNS, assistants

from core.assistant.flows import END
from core.assistant.project import Assistant
from core.dialogue.actions import ActionAnswer, ActionUnavailable
from core.dialogue.commands import Command
from core.dialogue.engine import MOST_STEPS_IN_A_TURN, Engine
from core.dialogue.events import Event, StepVisited, Warned
from core.dialogue.source import UserMessage
from core.dialogue.tracker import Tracker
from core.dialogue.values import acceptable, coerce


class SomeActions:
    """Runs the actions that have an answer."""

    def run(self, name: str, tracker: Tracker) -> ActionAnswer:
        if name not in ANSWERS:
            raise ActionUnavailable(f"action {name} is nowhere")
        return ANSWERS[name]


def play(engine: Engine, tracker: Tracker, text: str, commands: tuple[Command, ...]) -> list[Event]:
    payload = engine.payload_commands(text)
    return engine.handle(tracker, UserMessage(text), commands if payload is None else payload)


def state(tracker: Tracker) -> Any:
    return repr((tracker.slots, tracker.stack, tracker.events))  # nan is not equal to itself


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.too_slow])
@given(assistants(), st.lists(TURNS, min_size=1, max_size=8), st.sampled_from(["newest", "3.14", "3.13"]))
def test_any_conversation_with_any_assistant(assistant: Assistant | None, turns: list[Any], patterns: Any) -> None:
    assume(assistant is not None)
    assert assistant is not None
    engine = Engine(assistant, SomeActions(), patterns, require_actions=False)
    tracker = engine.new_tracker()
    engine.start(tracker)
    for text, commands in turns:
        before, twin = state(tracker), tracker.fork()
        happened = play(engine, twin, text, commands)
        assert state(tracker) == before, "a fork changed what it was forked from"
        again = play(engine, tracker, text, commands)
        assert repr(again) == repr(happened)
        assert state(tracker) == state(twin)
        holds(engine, tracker, again)


def holds(engine: Engine, tracker: Tracker, happened: list[Event]) -> None:
    """What is true after every turn."""
    replayed = engine.new_tracker()
    replayed.apply_all(tracker.events)
    assert state(replayed) == state(tracker)
    for frame in tracker.stack:
        flow = engine.index.flows[frame.flow]
        assert frame.step == END or flow.step(frame.step)
    assert len({frame.id for frame in tracker.stack}) == len(tracker.stack)
    for name, value in tracker.slots.items():
        slot = engine.index.slots[name]
        assert acceptable(slot, value) or repr(coerce(slot, value)) == repr(value)
    asked = engine.index.asked_step(tracker.stack)
    if asked is not None:
        assert tracker.slots[asked.slot] is None, "a question is open although there is an answer"
    visits = sum(isinstance(one, StepVisited) for one in happened)
    assert visits <= MOST_STEPS_IN_A_TURN
    if any(isinstance(one, Warned) and "without listening" in one.message for one in happened):
        event("went in circles")
        assert tracker.stack == ()
