"""Hypothesis strategies: any small assistant, and anything a source or a user may send it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml
from hypothesis import strategies as st

from core.assistant.domain_reader import DomainReader
from core.assistant.flow_reader import read_flows
from core.assistant.project import Assistant
from core.assistant.settings import Settings
from core.assistant.source import Reader, parse_yaml
from core.assistant.validate import validate
from core.dialogue.actions import ActionAnswer
from core.dialogue.commands import (
    CancelFlow,
    CannotHandle,
    ChitChat,
    Clarify,
    Command,
    HumanHandoff,
    InternalError,
    RepeatMessage,
    Restart,
    SearchAndReply,
    SessionStart,
    SetSlot,
    SkipQuestion,
    StartFlow,
    TriggerIntent,
)

SLOTS: dict[str, dict[str, Any]] = {
    "word": {"type": "text", "mappings": [{"type": "from_llm"}, {"type": "from_entity", "entity": "word"}]},
    "number": {"type": "float", "initial_value": 5},
    "truth": {"type": "bool"},
    "kind": {"type": "categorical", "values": ["small", "Large", 3]},
    "thing": {"type": "any", "mappings": [{"type": "controlled"}]},
    "things": {"type": "list", "mappings": [{"type": "controlled"}]},
    "checked": {
        "type": "float",
        "validation": {"rejections": [{"if": "slots.checked > 10", "utter": "utter_too_much"}]},
    },
    "__class__": {"type": "text"},
    "items": {"type": "text"},
}
ASKED = [name for name, body in SLOTS.items() if body["type"] != "list"]
RESPONSES = {
    "utter_too_much": [{"text": "{checked} is too much"}],
    "utter_jinja": [{"text": "{{ slots.items }} {{ slots.word|upper }}", "metadata": {"template": "jinja"}}],
    "utter_some": [{"text": "large", "condition": "slots.number > 100"}, {"text": "{word} {nothing}"}],
    "utter_never": [{"text": "never", "condition": "slots.number = 'x'"}],
    **{f"utter_ask_{name}": [{"text": f"{name}?"}] for name in ASKED},
}
ANSWERS = {
    "action_set": ActionAnswer(({"event": "slot", "name": "number", "value": "many"},)),
    "action_reset": ActionAnswer(({"event": "reset_slots"}, {"event": "action"}), ({"text": "done"},)),
    "action_say": ActionAnswer((), ({"response": "utter_some", "word": "x"}, {"response": "utter_nowhere"})),
    "validate_word": ActionAnswer(({"event": "slot", "name": "word", "value": None},)),
}
CONDITIONS = st.sampled_from(
    [
        "slots.truth",
        "not slots.truth",
        "slots.number > 5",
        "slots.kind = 'small'",
        "slots.word matches '^a'",
        "true",
        "slots.word is null",
        "slots.things contains 'a'",
        "slots.{{context.collect}} is null",
        "(",
        "slots.__class__",
    ]
)
FLOWS = [f"f{number}" for number in range(5)]
VALUES = st.none() | st.booleans() | st.floats() | st.integers(-20, 2000) | st.text(max_size=6)
VALUES |= st.sampled_from(["small", "LARGE", "yes", "no", "12,5", "1e3", "nan", "a\nb", "{{ 7 }}", "{word}"])


@st.composite
def assistants(draw: st.DrawFn) -> Assistant | None:
    """An assistant of a few flows as a reader makes it; None where checks refuse it."""
    ids = FLOWS[: draw(st.integers(1, len(FLOWS)))]
    flows = {id: draw(_flow(ids, at)) for at, id in enumerate(ids)}
    if draw(st.booleans()):
        flows["pattern_chitchat"] = {"description": "chat", "steps": [{"action": "utter_some"}]}
    if draw(st.booleans()):
        flows["pattern_completed"] = {"description": "done", "steps": [{"noop": True, "next": "END"}]}
    problems: list[Any] = []
    content = parse_yaml(yaml.safe_dump({"flows": flows}, sort_keys=False), "flows.yml")
    domain = DomainReader(problems)
    whole = {"slots": SLOTS, "responses": RESPONSES, "actions": [*ANSWERS, "action_unknown"]}
    domain.add(parse_yaml(yaml.safe_dump(whole, sort_keys=False), "domain.yml"), "domain.yml")
    read = {flow.id: flow for flow in read_flows(content, Reader("flows.yml", problems))}
    problems += validate(read, domain.domain)
    if any(problem.severity == "error" and "cannot be read" not in problem.message for problem in problems):
        return None
    return Assistant(Path(), read, domain.domain, Settings())


@st.composite
def _flow(draw: st.DrawFn, ids: list[str], at: int) -> dict[str, Any]:
    """The first two flows may link, to any flow; each may call those after it."""
    count = draw(st.integers(1, 5))
    called = ids[max(at + 1, 2) :]
    steps = [draw(_step(called, ids if at < 2 else [], number, count)) for number in range(count)]
    flow: dict[str, Any] = {"description": f"about {ids[at]}", "steps": steps}
    if draw(st.integers(0, 5)) == 0:
        flow["if"] = draw(CONDITIONS)
    if draw(st.integers(0, 5)) == 0:
        flow["nlu_trigger"] = [{"intent": "greet"}]
    if draw(st.integers(0, 3)) == 0:
        flow["persisted_slots"] = [step["collect"] for step in steps if "collect" in step][:1]
    if draw(st.integers(0, 3)) == 0:
        flow["run_pattern_completed"] = False
    return flow


@st.composite
def _step(draw: st.DrawFn, called: list[str], linked: list[str], number: int, count: int) -> dict[str, Any]:
    step: dict[str, Any] = {"id": f"s{number}"}
    kind = draw(st.sampled_from(["collect", "collect", "collect", "action", "set_slots", "noop", "call", "link"]))
    if kind == "link" and number + 1 == count and linked:
        return {**step, "link": draw(st.sampled_from([*linked, "pattern_human_handoff"]))}
    if kind == "call" and called:
        step["call"] = draw(st.sampled_from(called))
    elif kind == "set_slots":
        step["set_slots"] = [{draw(st.sampled_from(ASKED)): draw(st.sampled_from([None, "a", 7, True, "12"]))}]
    elif kind == "collect":
        step["collect"] = draw(st.sampled_from(ASKED))
        step["ask_before_filling"] = draw(st.booleans())
        if draw(st.integers(0, 3)) == 0:
            step["force_slot_filling"] = True
        if draw(st.integers(0, 3)) == 0:
            step["rejections"] = [{"if": draw(CONDITIONS), "utter": "utter_too_much"}]
    elif kind == "action":
        step["action"] = draw(
            st.sampled_from(
                [
                    *RESPONSES,
                    "action_set",
                    "action_reset",
                    "action_say",
                    "action_unknown",
                    "action_listen",
                    "action_restart",
                    "action_clean_stack",
                    "action_cancel_flow",
                    "action_repeat_bot_messages",
                    "action_trigger_search",
                    "action_cancel_interrupted_flows",
                    "action_continue_interrupted_flow",
                    "action_correct_flow_slot",
                    "action_run_slot_rejections",
                    "action_session_start",
                    "utter_{{ 1 / 0 }}",
                ]
            )
        )
    else:
        step["noop"] = True
    targets = st.sampled_from([f"s{other}" for other in range(count)] + ["END"])
    way = draw(st.integers(0, 3))
    if way == 0 or "noop" in step:
        step["next"] = draw(st.sampled_from([*(f"s{later}" for later in range(number + 1, count)), "END"]))
    elif way == 1:  # this may go back; checks refuse what then never stops
        step["next"] = [{"if": draw(CONDITIONS), "then": draw(targets)}, {"else": draw(targets)}]
    return step


NAMES = st.sampled_from([*FLOWS, "pattern_completed", "pattern_chitchat", "nowhere", ""])
SLOT_NAMES = st.sampled_from([*SLOTS, "continue_conversation", "csat_score", "interrupted_flow_to_continue", "nowhere"])
COMMANDS: st.SearchStrategy[Command] = st.one_of(
    st.builds(StartFlow, NAMES),
    st.builds(SetSlot, SLOT_NAMES, VALUES),
    st.builds(SetSlot, SLOT_NAMES, VALUES),
    st.builds(Clarify, st.lists(NAMES, max_size=4).map(tuple)),
    st.builds(CannotHandle, st.sampled_from(["cannot_handle_default", "cannot_handle_chitchat", "x"])),
    st.builds(InternalError, st.sampled_from(["rasa_internal_error_default", "x"])),
    st.builds(TriggerIntent, st.sampled_from(["greet", "session_start", "x"]), st.just((("word", "here"),))),
    st.sampled_from([CancelFlow(), SkipQuestion(), SearchAndReply(), ChitChat(), HumanHandoff(), RepeatMessage()]),
    st.sampled_from([CancelFlow(), Restart(), SessionStart()]),
)
PAYLOADS = ["/SetSlots(word=a, number=x, truth=yes)", "/greet", '/greet{"word": "b"}', "/restart", "/session_start"]
TURNS = st.tuples(st.sampled_from(["hello", "", "a b c", *PAYLOADS]), st.lists(COMMANDS, max_size=4).map(tuple))
