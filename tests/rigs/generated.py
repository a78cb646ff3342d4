"""Projects of any size: flows of a service desk, tests over them, and a recording of the tests' commands.

Flows differ in their words, ask for a reference, an amount (refused below one) and a speed or, for large amounts, call a shared flow that
asks for a word, and let the user confirm. Tests of five turns take every way through them; a fifth goes astray (cancels, corrects,
chats, asks what was said).
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any


def _words(text: str) -> list[str]:
    return text.split()


VERBS = _words(
    "open close renew cancel transfer block extend report insure check order return replace upgrade book pay move share print export"
)
THINGS = _words(
    "card account loan policy ticket parcel invoice voucher licence contract deposit lease meter router garage permit room locker"
    " subscription mandate claim badge pass coupon certificate"
)
PLACES = _words(
    "home office abroad online branch airport station school clinic shop farm port hotel campus studio depot island museum library mine"
)
CALLERS = 9
"""Flows that share a called one."""
TESTS_IN_A_FILE, FLOWS_IN_A_FILE = 50, 10


@dataclass(frozen=True)
class Topic:
    """What one generated flow is about."""

    verb: str
    thing: str
    place: str
    helper: str
    """The flow it calls for large amounts."""

    @property
    def id(self) -> str:
        return f"{self.verb}_{self.thing}_{self.place}"

    @property
    def words(self) -> str:
        return f"{self.verb} the {self.place} {self.thing}"


def topics(flows: int) -> tuple[list[Topic], list[str]]:
    """What `flows` flows are about: topics and the ids of the flows they call (at least one of each)."""
    helpers = [f"verify_{number}" for number in range(max(1, flows // (CALLERS + 1)))]
    names = product(PLACES, THINGS, VERBS)
    found = [
        Topic(verb, thing, place, helpers[at % len(helpers)])
        for at, (place, thing, verb) in zip(range(flows - len(helpers)), names, strict=False)
    ]
    return found, helpers


def write_project(root: Path, flows: int, tests: int) -> Path:
    """Write an assistant with its tests into `root`; returns the recording of their commands."""
    found, helpers = topics(flows)
    _write(root / "config.yml", {"language": "en", "pipeline": [{"name": "CompactLLMCommandGenerator"}]})
    bodies = [*map(_flow, found), *map(_helper, helpers)]
    for at in range(0, len(bodies), FLOWS_IN_A_FILE):
        _write(root / "data" / f"flows_{at:05}.yml", {"flows": dict(bodies[at : at + FLOWS_IN_A_FILE])})
    _write(root / "domain.yml", _domain(found, helpers))
    played = [_conversation(number, found) for number in range(tests)]
    for at in range(0, tests, TESTS_IN_A_FILE):
        cases = [_case(at + number, turns) for number, turns in enumerate(played[at : at + TESTS_IN_A_FILE])]
        _write(root / "e2e_tests" / _file(at), {"test_cases": cases})
    recording = root / "commands.yml"
    _write(recording, {"conversations": [_recorded(number, turns) for number, turns in enumerate(played)]})
    return recording


# The assistant


def _flow(topic: Topic) -> tuple[str, dict[str, Any]]:
    id = topic.id
    return id, {
        "description": f"{topic.words} of a customer, with a reference and an amount",
        "steps": [
            {"collect": f"{id}_reference", "description": f"reference of the {topic.thing}"},
            {
                "collect": f"{id}_amount",
                "description": f"amount in euros to {topic.verb}",
                "rejections": [{"if": f"slots.{id}_amount < 1", "utter": "utter_bad_amount"}],
                "next": [
                    {"if": f"slots.{id}_amount > 500", "then": [{"call": topic.helper, "next": "confirm"}]},
                    {"else": "speed"},
                ],
            },
            {"id": "speed", "collect": f"{id}_speed"},
            {
                "id": "confirm",
                "collect": f"{id}_confirmed",
                "ask_before_filling": True,
                "next": [
                    {"if": f"not slots.{id}_confirmed", "then": [{"action": f"utter_{id}_dropped", "next": "END"}]},
                    {"else": "done"},
                ],
            },
            {"id": "done", "action": f"utter_{id}_done"},
        ],
    }


def _helper(id: str) -> tuple[str, dict[str, Any]]:
    steps = [{"collect": f"{id}_word", "description": "the secret word of the customer"}]
    return id, {"description": f"{id} verifies who the customer is", "if": False, "steps": steps}


def _domain(found: list[Topic], helpers: list[str]) -> dict[str, Any]:
    slots: dict[str, Any] = {f"{helper}_word": {"type": "text"} for helper in helpers}
    responses = {
        "utter_bad_amount": [{"text": "At least one euro."}],
        **{f"utter_ask_{helper}_word": [{"text": "What is your secret word?"}] for helper in helpers},
    }
    for topic in found:
        id = topic.id
        slots |= {
            f"{id}_reference": {"type": "text"},
            f"{id}_amount": {"type": "float"},
            f"{id}_speed": {"type": "categorical", "values": ["express", "standard"]},
            f"{id}_confirmed": {"type": "bool"},
        }
        responses |= {
            f"utter_ask_{id}_reference": [{"text": f"Which reference has the {topic.thing}?"}],
            f"utter_ask_{id}_amount": [{"text": f"For {{{id}_reference}}: how many euros?"}],
            f"utter_ask_{id}_speed": [{"text": "Express or standard?"}],
            f"utter_ask_{id}_confirmed": [{"text": f"Shall I {topic.words}?"}],
            f"utter_{id}_done": [{"text": f"I shall {topic.words}."}],
            f"utter_{id}_dropped": [{"text": f"I do not {topic.words}."}],
        }
    return {"slots": slots, "responses": responses}


# The conversations: (message, commands, what must follow)

Turns = list[tuple[str, list[str], dict[str, Any]]]


def _conversation(number: int, found: list[Topic]) -> Turns:
    topic, other = found[number % len(found)], found[(number + 1) % len(found)]
    id, reference, amount = topic.id, f"{topic.thing[:2].upper()}-{1000 + number % 9000}", 20 + number % 400
    opening: Turns = [
        (f"I would like to {topic.words}", [f"start flow {id}"], {"flow": id, "utter": f"utter_ask_{id}_reference"}),
        (f"it is {reference}", [f"set slot {id}_reference {reference}"], _set(id, "reference", reference, "amount")),
    ]
    money = (f"{amount} euros", [f"set slot {id}_amount {amount}"], _set(id, "amount", amount, "speed"))
    quick = ("express please", [f"set slot {id}_speed express"], _set(id, "speed", "express", "confirmed"))
    agreed = ("yes", [f"set slot {id}_confirmed True"], {**_set(id, "confirmed", True), "utter": f"utter_{id}_done"})
    kind = (number // len(found)) % 10
    if kind in (1, 4):
        large = (f"{amount + 600} euros", [f"set slot {id}_amount {amount + 600}"])
        asked = {**_set(id, "amount", amount + 600), "utter": f"utter_ask_{topic.helper}_word"}
        word = {**_set(topic.helper, "word", "Bluebird"), "utter": f"utter_ask_{id}_confirmed"}
        said = ("my secret word is Bluebird", [f"set slot {topic.helper}_word Bluebird"], word)
        return [*opening, (*large, asked), said, agreed]
    if kind in (2, 5):
        refused = {**_set(id, "confirmed", False), "utter": f"utter_{id}_dropped"}
        return [*opening, money, quick, ("no", [f"set slot {id}_confirmed False"], refused)]
    if kind == 3:
        again = {"flow": other.id, "utter": f"utter_ask_{other.id}_reference"}
        stopped = ("never mind, cancel that", ["cancel flow"], {"utter": "utter_flow_cancelled_rasa"})
        return [*opening, money, stopped, (f"I want to {other.words}", [f"start flow {other.id}"], again)]
    if kind == 6:
        changed = {**_set(id, "amount", amount + 50, "speed"), "also": "utter_corrected_previous_input"}
        correction = (f"sorry, I meant {amount + 50} euros", [f"set slot {id}_amount {amount + 50}"], changed)
        return [*opening, money, correction, quick]
    if kind == 7:
        chat = ("hello, nice weather today", ["offtopic reply"], {"utter": "utter_cannot_handle"})
        return [*opening, chat, money, quick]
    if kind == 8:
        repeat = ("what did you say? repeat that", ["repeat message"], {"utter": f"utter_ask_{id}_amount"})
        return [*opening, repeat, money, quick]
    if kind == 9:
        options = {"offers": [id, other.id], "utter": "utter_clarification_options_rasa"}
        vague = (f"I need help with the {topic.thing}", [f"disambiguate flows {id} {other.id}"], options)
        return [vague, *opening, money, quick]
    return [*opening, money, quick, agreed]


def _set(owner: str, slot: str, value: object, asked: str = "") -> dict[str, Any]:
    return {"slot": (f"{owner}_{slot}", value), **({"utter": f"utter_ask_{owner}_{asked}"} if asked else {})}


def _file(number: int) -> str:
    return f"tests_{number // TESTS_IN_A_FILE:04}.yml"


def _case(number: int, turns: Turns) -> dict[str, Any]:
    """A test: every other one with assertions, the rest with classic steps."""
    steps = [step for text, _, follows in turns for step in _steps(text, follows, asserted=number % 2 == 1)]
    return {"test_case": f"test {number}", "steps": steps}


def _steps(text: str, follows: dict[str, Any], asserted: bool) -> Iterator[dict[str, Any]]:
    said = [follows[key] for key in ("also", "utter") if key in follows]
    if not asserted:
        yield {"user": text}
        if "slot" in follows:
            yield {"slot_was_set": [{follows["slot"][0]: follows["slot"][1]}]}
        yield from ({"utter": name} for name in said)
        return
    assertions: list[dict[str, Any]] = [{"bot_uttered": {"utter_name": name}} for name in said]
    if "flow" in follows:
        assertions.insert(0, {"flow_started": {"operator": "all", "flow_ids": [follows["flow"]]}})
    if "slot" in follows:
        assertions.insert(0, {"slot_was_set": [{"name": follows["slot"][0], "value": follows["slot"][1]}]})
    if "offers" in follows:
        assertions.insert(0, {"pattern_clarification_contains": follows["offers"]})
    yield {"user": text, "assertions": assertions}


def _recorded(number: int, turns: Turns) -> dict[str, Any]:
    steps: list[dict[str, Any]] = []
    for text, commands, follows in turns:
        steps += [{"user": text, "llm_commands": commands}, {"utter": follows["utter"]}]
    return {"original_test_case": f"e2e_tests/{_file(number)}::test {number}", "steps": steps}


def _write(path: Path, content: Any) -> None:
    """As YAML in block style, which is how people write it, without the cost of a general dumper."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(_block(content)) + "\n", encoding="utf-8")


def _block(value: Any) -> Iterator[str]:
    entries = value.items() if isinstance(value, dict) else enumerate(value)
    for key, inner in entries:
        head = "-" if isinstance(value, list) else f"{key}:"
        if not isinstance(inner, (dict, list)):
            yield f"{head} {json.dumps(inner, ensure_ascii=False)}"
        elif isinstance(value, list):
            lines = list(_block(inner))
            yield f"- {lines[0]}"
            yield from (f"  {line}" for line in lines[1:])
        else:
            yield head
            yield from (f"  {line}" for line in _block(inner))
