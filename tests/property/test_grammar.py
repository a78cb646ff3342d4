"""The grammar of an assistant's commands holds what training rows hold, and nothing an engine could not use."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from core import demo
from core.assistant.domain import Domain, Slot
from core.assistant.flows import CollectStep, Flow
from core.assistant.lines import Lines
from core.assistant.project import Assistant, load_assistant
from core.assistant.repair import with_default_patterns
from core.assistant.settings import Dialect, Settings
from core.dialogue.command_text import PLAIN, parse, render_all
from core.dialogue.commands import Clarify, Command, InternalError, SetSlot, StartFlow
from core.dialogue.values import acceptable, coerce
from core.e2e.recording import read_recording
from core.serving.grammar import LONGEST_VALUE, MOST_COMMANDS, MOST_OPTIONS, grammar, longest_value, request_extra
from tests.rigs.any_flows import assistants
from tests.rigs.generated import write_project
from tests.rigs.language import Language

HERE = Lines("any.yml", 1, 1)
dialects = st.sampled_from(["v1", "v2", "v3"])
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=30) | st.sampled_from(
    [
        "",
        " ",
        '"',
        "'a",
        'say "hi"',
        "a\\b",
        "a\nb",
        "f(x)",
        ")",
        "none",
        "?",
        "\u2028",
        "\x85",
        "a\u00a0",
        "größe",
        "😀",
        "]^-[",
    ]
)
names = texts.filter(lambda text: text and not text.startswith("pattern_"))


def allowed(command: Command, assistant: Assistant) -> bool:
    """Whether an engine could use a command at some time, told without the grammar."""
    startable = {flow.id for flow in assistant.business_flows if not flow.never_startable}
    if isinstance(command, StartFlow):
        return command.flow in startable
    if isinstance(command, Clarify):
        return len(command.flows) <= MOST_OPTIONS and set(command.flows) <= startable
    if isinstance(command, SetSlot):
        asked = {step.slot for flow in assistant.flows.values() for step in flow.collects()}
        slot = assistant.domain.slots.get(command.name)
        if slot is None or slot.name not in asked or not slot.from_llm or len(str(command.value)) > LONGEST_VALUE:
            return False
        free = slot.type not in ("bool", "categorical")
        return free or command.value == "other" != slot.type or acceptable(slot, coerce(slot, command.value))
    return type(command) in PLAIN["v2"]


def usable(assistant: Assistant) -> st.SearchStrategy[Command]:
    """Commands of an assistant that an engine could use."""
    flows = [flow.id for flow in assistant.business_flows if not flow.never_startable]
    asked = {step.slot for flow in assistant.flows.values() for step in flow.collects()}
    slots = [slot for slot in assistant.domain.slots.values() if slot.name in asked and slot.from_llm]
    plain = st.sampled_from([kind() for kind in PLAIN["v2"]])
    return st.one_of(
        plain,
        *([st.builds(StartFlow, st.sampled_from(flows))] if flows else []),
        st.builds(Clarify, st.lists(st.sampled_from(flows or [""]), max_size=len(flows) and MOST_OPTIONS).map(tuple)),
        *(st.builds(SetSlot, st.just(slot.name), values(slot)) for slot in slots),
    )


def values(slot: Slot) -> st.SearchStrategy[object]:
    if slot.type == "bool":
        return st.booleans() | st.sampled_from(["true", "False", "yes", "No", "Y", "n", "1", "0"])
    if slot.type == "categorical":
        known = st.sampled_from([*slot.values, "other"])
        return known | known.map(str) | st.sampled_from(slot.values).map(in_other_case)
    if slot.type == "float":
        return st.floats(-1e9, 1e9) | st.integers(0, 10**9) | st.sampled_from(["12,5", "1e3", "a lot of them"])
    return texts | st.just("x" * LONGEST_VALUE)


def in_other_case(value: object) -> str:
    """Letters swapped where that is the same letter to `coerce`."""
    return "".join(
        c.swapcase() if len(c.swapcase()) == 1 and c.swapcase().casefold() == c.casefold() else c for c in str(value)
    )


@given(assistants(), dialects, st.data())
@settings(max_examples=60, deadline=None)
def test_what_training_rows_may_hold_is_accepted(given_assistant, dialect, data):
    assume(given_assistant is not None)
    assistant = with_default_patterns(given_assistant)
    accepted = Language(grammar(assistant, dialect))
    for _ in range(5):
        commands = data.draw(st.lists(usable(assistant), min_size=1, max_size=6))
        assert render_all(commands, dialect) in accepted


@st.composite
def hostile(draw: st.DrawFn) -> Assistant:
    """An assistant whose names and values are any text."""
    slots = {
        name: Slot(name, kind, HERE, values=tuple(found) if kind == "categorical" else ())
        for name, kind, found in draw(
            st.lists(
                st.tuples(
                    names,
                    st.sampled_from(["text", "categorical", "bool", "float", "any"]),
                    st.lists(texts | st.integers() | st.booleans(), min_size=1, max_size=4),
                ),
                max_size=4,
            )
        )
    }
    steps = tuple(CollectStep(id=f"s{at}", lines=HERE, next=(), slot=name) for at, name in enumerate(slots))
    ids = draw(st.lists(names, min_size=1, max_size=4, unique=True))
    flows = {id: Flow(id, HERE, steps, never_startable=draw(st.integers(0, 4)) == 0) for id in ids}
    return Assistant(Path(), flows, Domain(slots), Settings())


@pytest.mark.parametrize("value", ["A\u07b2", "(É)\n", "\U00010400\u0378", "'İß", '"Say"', " a | b"])
@pytest.mark.parametrize("dialect", ["v1", "v2", "v3"])
def test_values_in_quotes_may_be_written_in_any_case(value: str, dialect: Dialect):
    slot = Slot("s", "categorical", HERE, values=(value,))
    flow = Flow("f", HERE, (CollectStep(id="c", lines=HERE, next=(), slot="s"),))
    accepted = Language(grammar(Assistant(Path(), {"f": flow}, Domain({"s": slot}), Settings()), dialect))
    for written in (value, in_other_case(value)):
        assert render_all([SetSlot("s", written)], dialect) in accepted
    assert render_all([SetSlot("s", value + "x")], dialect) not in accepted


@given(hostile(), dialects, st.data())
@settings(max_examples=100, deadline=None)
def test_names_and_values_may_be_any_text(assistant, dialect, data):
    accepted = Language(grammar(assistant, dialect))
    commands = data.draw(st.lists(usable(assistant), min_size=1, max_size=6))
    assert render_all(commands, dialect) in accepted


@given(assistants(), dialects, st.data())
@settings(max_examples=60, deadline=None)
def test_what_is_accepted_reads_back_as_commands_an_engine_could_use(given_assistant, dialect, data):
    assume(given_assistant is not None)
    assistant = with_default_patterns(given_assistant)
    accepted = Language(grammar(assistant, dialect))
    text = render_all(data.draw(st.lists(usable(assistant), min_size=1, max_size=3)), dialect)
    for _ in range(20):
        start = data.draw(st.integers(0, len(text)))
        end = data.draw(st.integers(start, min(len(text), start + 3)))
        put = data.draw(st.text(" \n\"'`\\\\(),eFf0s", max_size=2) | st.text(max_size=2))
        changed = text[:start] + put + text[end:]
        if changed.encode("utf-8", "ignore").decode() == changed and changed in accepted:
            read = parse(changed, dialect, drop_unknown_values=False)
            assert len(read.commands) == changed.count("\n") + 1
            assert all(allowed(command, assistant) for command in read.commands), changed


DIALECTS = ("v1", "v2", "v3")
ASSISTANTS = Path(__file__).parents[1] / "assistants"


def told_apart(turns: Iterable[Sequence[Command]], assistant: Assistant, dialect: Dialect) -> tuple[int, int]:
    """How many turns are accepted and refused; each must be what an independent look at its commands says."""
    accepted, counts = Language(grammar(assistant, dialect)), [0, 0]
    for turn in turns:
        fits = all(allowed(command, assistant) for command in turn)
        assert (render_all(turn, dialect) in accepted) == fits, turn
        counts[not fits] += 1
    return counts[0], counts[1]


def recorded(file: Path) -> list[tuple[Command, ...]]:
    turns = [turn for test in read_recording(file).turns.values() for turn in test]
    return [turn for turn in turns if turn and not any(isinstance(command, InternalError) for command in turn)]


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize(
    ("folder", "file", "patterns", "refused"),
    [
        (demo.assistant_folder(), demo.commands_file(), "newest", 0),
        (ASSISTANTS / "garage", ASSISTANTS / "garage" / "commands.yml", "3.13", 1),
        (ASSISTANTS / "museum", ASSISTANTS / "museum" / "commands.yml", "3.14", 0),
        (ASSISTANTS / "kennel", ASSISTANTS / "kennel" / "commands.yml", "newest", 1),
    ],
    ids=["demo", "garage", "museum", "kennel"],
)
def test_recordings_are_accepted_but_for_what_an_engine_cannot_use(folder, file, patterns, refused, dialect):
    turns = recorded(file)
    assistant = with_default_patterns(load_assistant(folder), patterns)
    assert told_apart(turns, assistant, dialect) == (len(turns) - refused, refused)
    assert len(turns) > 80


@pytest.mark.parametrize("trade", ["telecom", "clinic", "staff_desk", "journeys", "insurance", "savings_bank", "deli"])
def test_the_commands_a_person_would_name_are_accepted(trade):
    readings = [
        [command for part in reading.split("; ") for command in parse(part, "v2", None, False).commands]
        for file in sorted((ASSISTANTS / trade / "e2e_tests").glob("*.yml"))
        for written in re.findall(r"  #: (.*)$", file.read_text(), re.M)
        for reading in written.split(" | ")
    ]
    assistant = with_default_patterns(load_assistant(ASSISTANTS / trade))
    for dialect in DIALECTS:
        assert told_apart([turn for turn in readings if turn], assistant, dialect) == (len(readings), 0)


def test_an_assistant_with_more_slots_than_fit_in_a_rule(tmp_path):
    turns = recorded(write_project(tmp_path, 300, 300))
    assistant = with_default_patterns(load_assistant(tmp_path))
    assert "\nassignment1 ::= " in grammar(assistant, "v2")
    for dialect in DIALECTS:
        assert told_apart(turns, assistant, dialect) == (len(turns), 0)
    slot = "open_card_home_reference"
    accepted = Language(grammar(assistant, "v2"))
    assert f"set slot {slot} x" in accepted
    for wrong in (slot[:-1], slot[1:], slot + "x", "open_card_home", "open_card_home_"):
        assert f"set slot {wrong} x" not in accepted


def test_the_grammar_grows_with_the_assistant_and_not_faster(tmp_path):
    sizes = []
    for flows in (100, 400):
        write_project(tmp_path / str(flows), flows, 1)
        sizes.append(len(grammar(with_default_patterns(load_assistant(tmp_path / str(flows))), "v2")))
    assert sizes[1] < 4.5 * sizes[0]


FLOWS = """
flows:
  book:
    description: book a room
    steps:
      - collect: day
      - collect: size
      - collect: sure
      - collect: guests
      - collect: price
      - call: pay
  ask:
    description: ask something
    steps:
      - collect: day
  pay:
    description: pay
    if: false
    steps:
      - collect: method
"""
DOMAIN = """
slots:
  day: {type: text}
  size: {type: categorical, values: [small, very large, 3, "none", 'a "b"']}
  sure: {type: bool}
  guests: {type: float}
  method: {type: any}
  price: {type: float, mappings: [{type: controlled}]}
  unasked: {type: text}
responses:
  utter_ask_day: [{text: d}]
  utter_ask_size: [{text: s}]
  utter_ask_sure: [{text: s}]
  utter_ask_guests: [{text: g}]
  utter_ask_price: [{text: p}]
  utter_ask_method: [{text: m}]
"""


@pytest.fixture
def hotel(make_assistant):
    return with_default_patterns(make_assistant(flows=FLOWS, domain=DOMAIN))


def in_form(text: str, dialect: str) -> str:
    """Lines of v2 as another form writes them, commands or not."""
    if dialect != "v1":
        return text
    text = re.sub(r"^start flow (.*)$", r"StartFlow(\1)", text, flags=re.M)
    text = re.sub(r"^set slot (\S+) (.*)$", r"SetSlot(\1, \2)", text, flags=re.M)
    text = re.sub(r"^disambiguate flows ?(.*)$", lambda m: f"Clarify({', '.join(m[1].split())})", text, flags=re.M)
    return re.sub(r"^cancel flow$", "CancelFlow()", text, flags=re.M)


@pytest.mark.parametrize("dialect", DIALECTS)
def test_one_change_makes_an_answer_unacceptable(hotel, dialect):
    accepted = Language(grammar(hotel, dialect))
    longest = "x" * LONGEST_VALUE
    pairs = [  # accepted; the same with one thing wrong
        ("start flow book", "start flow boot"),
        ("start flow book", "start flow boo"),
        ("start flow book", "start flow books"),
        ("start flow ask", "start flow pay"),  # only called
        ("start flow ask", "start flow pattern_chitchat"),
        ("start flow ask", "start flow day"),
        ("start flow ask", "begin flow ask"),
        ("set slot day Friday", "set slot days Friday"),
        ("set slot method card", "set slot price 5"),  # no model may set it
        ("set slot day Friday", "set slot unasked x"),  # no flow asks for it
        ("set slot day Friday", "set slot day "),
        ("set slot size small", "set slot size tiny"),
        ("set slot size VERY Large", "set slot size very  large"),
        ("set slot size 3", "set slot size 33"),
        ('set slot size "none"', "set slot size none"),
        ('set slot size "a \\"b\\""', 'set slot size a "b"'),
        ("set slot size other", "set slot size others"),
        ("set slot sure True", "set slot sure maybe"),
        ("set slot sure no", "set slot sure other"),
        ("set slot guests 12.5", "set slot guests "),
        (f"set slot day {longest}", f"set slot day {longest}x"),
        (f'set slot day "{longest}"', f'set slot day "{longest}x"'),
        ('set slot day "a\\nb"', "set slot day a\nb"),
        ('set slot day "a"', 'set slot day "a'),
        ('set slot day "\\u2028"', "set slot day \u2028"),
        ('set slot day "\\u2028"', 'set slot day "\\u202"'),
        ("set slot day a b", "set slot day a b "),
        ("set slot day a'b", "set slot day 'ab"),
        ("disambiguate flows book ask", "disambiguate flows book pay"),
        ("disambiguate flows", "disambiguate"),
        ("disambiguate flows" + " book" * MOST_OPTIONS, "disambiguate flows" + " book" * (MOST_OPTIONS + 1)),
        ("cancel flow", "cancel"),
        ("cancel flow", ""),
        ("cancel flow", "cancel flow\n"),
        ("cancel flow", "\ncancel flow"),
        ("cancel flow", " cancel flow"),
        ("cancel flow", "- cancel flow"),
        ("cancel flow", "cancel flow please"),
        ("cancel flow", "Sure, I will cancel that."),
        ("cancel flow\nstart flow ask", "cancel flow\n\nstart flow ask"),
        ("cancel flow\nstart flow ask", "cancel flow, start flow ask"),
        ("\n".join(["cancel flow"] * MOST_COMMANDS), "\n".join(["cancel flow"] * (MOST_COMMANDS + 1))),
    ]
    for good, bad in pairs:
        assert in_form(good, dialect) in accepted, good
        assert in_form(bad, dialect) not in accepted, bad


def test_each_form_has_its_own_grammar(hotel):
    accepted = {dialect: Language(grammar(hotel, dialect)) for dialect in DIALECTS}
    assert "StartFlow(ask)" not in accepted["v2"]
    assert "start flow ask" not in accepted["v1"]
    assert [d for d in DIALECTS if "search and reply" in accepted[d]] == ["v3"]
    assert [d for d in DIALECTS if "provide info" in accepted[d]] == ["v2"]
    assert 'SetSlot(day, "f(x)")' in accepted["v1"]
    assert "SetSlot(day, f(x))" not in accepted["v1"]


def test_values_may_be_as_long_as_messages(hotel):
    talkative = replace(hotel, settings=replace(hotel.settings, max_characters=600))
    assert longest_value(hotel) == LONGEST_VALUE
    assert f"set slot day {'x' * 600}" in (accepted := Language(grammar(talkative, "v2")))
    assert f"set slot day {'x' * 601}" not in accepted
    assert longest_value(replace(hotel, settings=replace(hotel.settings, max_characters=10**9))) == 4 * LONGEST_VALUE


def test_an_assistant_without_slots_or_flows_to_start(hotel):
    bare = Assistant(Path(), {"pay": replace(hotel.flows["pay"], steps=())}, Domain(), Settings())
    accepted = Language(grammar(bare, "v2"))
    assert "cancel flow" in accepted
    assert "start flow pay" not in accepted


def test_what_goes_into_a_request():
    assert request_extra("root ::= x") == {"structured_outputs": {"grammar": "root ::= x"}}
