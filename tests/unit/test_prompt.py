"""Prompts as models are shown them, and templates of the owner."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path

import pytest
from real_assistants import SHARED_ASSISTANTS
from rigs.parcels import DOMAIN, FLOWS

from core.assistant.project import load_assistant
from core.dialogue.commands import CancelFlow, Command, SetSlot, StartFlow
from core.dialogue.engine import Engine
from core.dialogue.own_template import VARIABLES
from core.dialogue.prompt import PromptRenderer
from core.dialogue.source import UserMessage
from core.dialogue.tracker import Tracker
from core.errors import ProblemsError, UsageError

SHARED = """\
Turn the user's last message into commands for the assistant.

Flows and their slots:
- send_parcel: send a parcel
  street: where it goes
  weight
  sure [True, False]
- opening_hours: tell the opening hours
  day [Monday, Friday]
- complain: complain about a parcel
  reason

Commands, one a line:
start flow FLOW - the user wants what the flow does
set slot SLOT VALUE - the user gives a value
cancel flow - the user wants to stop the flow
disambiguate flows FLOW FLOW - several flows are meant equally well
provide info - a question about facts
offtopic reply - small talk or another topic
hand over - the user wants a person
repeat message - the user did not hear the last message

Take values from the user's words. Start a flow only when it is clear which one. Set a filled slot again to change it.
"""
CLOCK = datetime(2026, 1, 5, 9, 30).astimezone


@pytest.fixture
def engine(make_assistant) -> Engine:
    return Engine(make_assistant(FLOWS, DOMAIN))


def renderer(engine: Engine, **options) -> PromptRenderer:
    return PromptRenderer(engine.assistant, options.pop("dialect", "v2"), index=engine.index, **options)


def talk(engine: Engine, *script: tuple[str, list[Command]]) -> Tracker:
    tracker = engine.new_tracker()
    engine.start(tracker)
    for text, commands in script:
        engine.handle(tracker, UserMessage(text), commands)
    return tracker


SENDING = ("send a parcel to Elm Road 4", [StartFlow("send_parcel"), SetSlot("street", "Elm Road 4")])


def test_before_anything_was_said(engine):
    prompt = renderer(engine).render(talk(engine), "hello")
    assert prompt == SHARED + "No flow is active.\nUSER: hello\nCommands:"


def test_in_the_middle_of_a_flow(engine):
    prompt = renderer(engine).render(talk(engine, SENDING), "2 kg")
    assert prompt == SHARED + (
        "Flow: send_parcel\nAsked: weight\nFilled: street = Elm Road 4\n"
        "USER: send a parcel to Elm Road 4\nAI: How heavy?\nUSER: 2 kg\nCommands:"
    )


def test_the_shared_part_stays_while_conversations_go_on(engine):
    """What servers cache and training computes once."""
    shown = renderer(engine)
    script = [SENDING, ("when do you open", [StartFlow("opening_hours")]), ("forget it", [CancelFlow()])]
    assert all(shown.render(talk(engine, *script[:turns]), "and now?").startswith(SHARED) for turns in range(4))


@pytest.mark.parametrize(
    ("turns", "history"),
    [
        (0, ["AI: Which day?"]),
        (1, ["USER: when do you open", "AI: Which day?"]),
        (None, ["USER: send a parcel to Elm Road 4", "AI: How heavy?", "USER: when do you open", "AI: Which day?"]),
    ],
)
def test_how_much_of_the_conversation_is_shown(engine, turns, history):
    tracker = talk(engine, SENDING, ("when do you open", [StartFlow("opening_hours")]))
    prompt = renderer(engine, history_turns=turns).render(tracker, "Friday")
    assert prompt == SHARED + "\n".join(
        ["Flow: opening_hours", "Asked: day", *history, "USER: Friday", "Commands:"],
    )


def test_each_form_names_its_own_commands(engine):
    functions = renderer(engine, dialect="v1").render(talk(engine), "hello")
    assert "StartFlow(FLOW) - " in functions
    assert "SkipQuestion() - " in functions
    assert "start flow" not in functions
    searching = renderer(engine, dialect="v3").render(talk(engine), "hello")
    assert "search and reply - " in searching
    assert "hand over" not in searching


CALLING = """
flows:
  trip:
    description: >
      book
      a trip
    steps:
      - collect: city
      - call: payment
  payment:
    description: pay
    if: false
    steps:
      - collect: card
        description: number of the card
  discount:
    description: for members
    if: slots.member
    steps:
      - collect: code
"""
CALLING_DOMAIN = """
version: "3.1"
slots:
  city: {type: text}
  card: {type: text}
  member: {type: bool, mappings: [{type: controlled}]}
  code: {type: text, mappings: [{type: controlled}]}
responses:
  utter_ask_city: [{text: Where to?}]
  utter_ask_card: [{text: Which card?}]
  utter_ask_code: [{text: Which code?}]
"""


def flows_shown(prompt: str) -> list[str]:
    return prompt.split("Flows and their slots:\n")[1].split("\n\n")[0].splitlines()


def test_only_flows_that_a_user_can_start_are_shown_and_called_ones_lend_their_slots(make_assistant):
    engine = Engine(make_assistant(CALLING, CALLING_DOMAIN))
    shown, tracker = renderer(engine), engine.new_tracker()
    trip = ["- trip: book a trip", "  city", "  card: number of the card"]
    assert flows_shown(shown.render(tracker, "hi")) == trip
    tracker.slots["member"] = True
    assert flows_shown(shown.render(tracker, "hi")) == [*trip, "- discount: for members"]  # no commands set its slot
    tracker.slots["member"] = False
    assert flows_shown(shown.render(tracker, "hi")) == trip


def test_inside_a_called_flow_the_values_of_both_are_shown(make_assistant):
    engine = Engine(make_assistant(CALLING, CALLING_DOMAIN))
    tracker = talk(engine, ("to Rome", [StartFlow("trip"), SetSlot("city", "Rome")]))
    assert "\nFlow: payment\nAsked: card\nFilled: city = Rome\n" in renderer(engine).render(tracker, "1234")


TELLS_THE_TIME = """
recipe: default.v1
language: en
pipeline:
- name: CompactLLMCommandGenerator
  include_date_time: true
policies:
- name: FlowPolicy
"""


def test_the_day_is_told_where_the_configuration_asks_for_it(make_assistant):
    engine = Engine(make_assistant(FLOWS, DOMAIN, config=TELLS_THE_TIME))
    tracker = talk(engine)
    shown = renderer(engine, clock=CLOCK)
    assert shown.render(tracker, "hi") == (
        SHARED + "Today: Monday, 2026-01-05\nNo flow is active.\nUSER: hi\nCommands:"
    )
    tracker.slots["mocked_datetime"] = "2026-02-01T09:00:00Z"
    assert "Today: Sunday, 2026-02-01\n" in shown.render(tracker, "hi")


def test_the_day_is_not_told_otherwise(engine):
    tracker = talk(engine)
    tracker.slots["mocked_datetime"] = "2026-02-01T09:00:00Z"
    assert "Today" not in renderer(engine, clock=CLOCK).render(tracker, "hi")


OWN = "{{ {" + ", ".join(f'"{name}": {name}' for name in VARIABLES) + "} | tojson }}"


def own(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "own.jinja2"
    path.write_text(text)
    return path


def test_the_owners_template_has_the_documented_variables(engine, tmp_path):
    shown = renderer(engine, template=own(tmp_path, OWN))
    told = json.loads(shown.render(talk(engine, SENDING, ("2 kg", [SetSlot("weight", "2")])), "yes"))
    assert [flow["name"] for flow in told["available_flows"]] == ["send_parcel", "opening_hours", "complain"]
    assert told["available_flows"][0]["description"] == "send a parcel"
    assert told["available_flows"][1]["slots"] == [
        {"name": "day", "description": "", "type": "categorical", "allowed_values": ["Monday", "Friday", "other"]}
    ]
    assert [slot["allowed_values"] for slot in told["available_flows"][0]["slots"]] == [None, None, ["True", "False"]]
    assert told["current_conversation"].splitlines()[-2:] == ["AI: To Elm Road 4. Sure?", "USER: yes"]
    assert told["flow_slots"][:2] == [
        {
            "name": "street",
            "value": "Elm Road 4",
            "type": "text",
            "description": "where it goes",
            "allowed_values": None,
        },
        {"name": "weight", "value": 2.0, "type": "float", "description": "", "allowed_values": None},
    ]
    assert [slot["value"] for slot in told["flow_slots"][2:]] == ["undefined"]
    rest = {
        name: told[name] for name in VARIABLES if name not in ("available_flows", "current_conversation", "flow_slots")
    }
    assert rest == {
        "current_flow": "send_parcel",
        "current_slot": "sure",
        "current_slot_description": "",
        "current_slot_type": "bool",
        "current_slot_allowed_values": ["True", "False"],
        "user_message": "yes",
        "current_datetime": None,
        "is_repeat_command_enabled": True,
        "active_agent": None,
        "completed_agents": [],
    }


def test_lists_of_values_read_as_lists(engine, tmp_path):
    """Templates write them as they are: `"allowed_values":{{ slot.allowed_values }}`."""
    shown = renderer(engine, template=own(tmp_path, "{{ available_flows[1].slots[0].allowed_values }}"))
    assert shown.render(talk(engine), "hi") == "['Monday', 'Friday', 'other']"


def test_outside_of_flows_the_owners_template_finds_none(engine, tmp_path):
    told = json.loads(renderer(engine, template=own(tmp_path, OWN)).render(talk(engine), "hi"))
    assert told["flow_slots"] == []
    assert all(told[name] is None for name in VARIABLES if name.startswith(("current_flow", "current_slot")))


def test_the_owners_template_is_told_the_time_where_the_configuration_asks_for_it(make_assistant, tmp_path):
    engine = Engine(make_assistant(FLOWS, DOMAIN, config=TELLS_THE_TIME))
    template = own(tmp_path, "{{ current_datetime.strftime('%d %B %Y, %H:%M') }}")
    assert renderer(engine, template=template, clock=CLOCK).render(talk(engine), "hi") == "05 January 2026, 09:30"


def test_messages_can_be_put_into_json(engine, tmp_path):
    shown = renderer(engine, template=own(tmp_path, "{{ user_message | to_json_escaped_string }}"))
    message = 'say "ü"\nnow'
    assert json.loads(shown.render(talk(engine), message)) == message


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("Flows:\n{% if %}", "own.jinja2:2: the prompt template is no valid Jinja: Expected an expression"),
        ("{{ unclosed", "own.jinja2:1: the prompt template is no valid Jinja"),
        ("\n\n{{ user_message | shout }}", "own.jinja2:3: the prompt template is no valid Jinja: No filter named 'shout'"),
        ("{{ user_message }}\n{{ curent_flow }}", "own.jinja2:2: prompt templates are given no curent_flow; did you mean current_flow?"),
        ("one\n{% include 'other' %}", "own.jinja2:2: the prompt template is no valid Jinja: include is not for templates"),
        ("{{ user_message.__class__ }}", "own.jinja2:1: the prompt template is no valid Jinja: __class__ may not be reached"),
        ("{% if tracker %}x{% endif %}", "own.jinja2:1: prompt templates are given no tracker; there are available_flows, "),
    ],
)  # fmt: skip
def test_a_template_with_a_mistake(engine, tmp_path, text, complaint):
    with pytest.raises(UsageError) as caught:
        renderer(engine, template=own(tmp_path, text))
    assert complaint in str(caught.value)


def test_every_unknown_name_is_told_at_once(engine, tmp_path):
    with pytest.raises(ProblemsError) as caught:
        renderer(engine, template=own(tmp_path, "{{ one }}\n{% for two in one %}{{ two }}{{ three }}{% endfor %}"))
    assert [(problem.line, problem.message.split(";")[0]) for problem in caught.value.problems] == [
        (1, "prompt templates are given no one"),
        (2, "prompt templates are given no three"),
    ]


def test_a_template_may_use_macros_and_count(engine, tmp_path):
    text = (
        "{% macro shown(flow) %}<{{ flow.name }}>{% endmacro %}{% set seen = namespace(flows=0) %}"
        "{% for flow in available_flows %}{% set seen.flows = seen.flows + 1 %}{{ shown(flow) }}{% endfor %}"
        "{% with said = user_message %}{{ seen.flows }} {{ said }}{% endwith %}"
    )
    flows = [flow.id for flow in engine.assistant.business_flows if not flow.never_startable and flow.guard is None]
    shown = renderer(engine, template=own(tmp_path, text)).render(talk(engine), "hi")
    assert shown.endswith(f"{shown.count('<')} hi")
    assert all(f"<{flow}>" in shown for flow in flows)


def test_a_template_may_ask_whether_a_name_is_given(engine, tmp_path):
    text = "{% if sub_agents is defined %}{{ sub_agents }}{% endif %}{{ tone | default('kind') }}{% set n = 2 %}{{ n }}"
    assert renderer(engine, template=own(tmp_path, text)).render(talk(engine), "hi") == "kind2"


def test_a_template_that_is_not_there(engine, tmp_path):
    with pytest.raises(UsageError, match=r"none\.jinja2: the prompt template cannot be read: No such file"):
        renderer(engine, template=tmp_path / "none.jinja2")
    (tmp_path / "latin.jinja2").write_bytes(b"flows\n\xe9")
    with pytest.raises(UsageError, match=r"latin\.jinja2:2: the prompt template is not UTF-8"):
        renderer(engine, template=tmp_path / "latin.jinja2")


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("{{ user_message['__class__'].name }}", 1),  # the way out of a template into the machine
        ("\n{% for one in range(user_message|length * 30000) %}{% for two in range(99999) %}{% endfor %}{% endfor %}", 2),
        ("one\n{{ 1 / 0 }}", 2),
        ("one\ntwo\n{{ available_flows[99].name }}", 3),
        ("{% for flow in available_flows %}\n{{ flow.descripton }}\n{% endfor %}", 2),
        ("{% macro shown(flow) %}\n{{ flow.nme }}\n{% endmacro %}\n{{ shown(available_flows[0]) }}", 2),
        ("{% macro again(n) %}{{ again(n + 1) }}{{ again(n + 1) }}{% endmacro %}\n{{ again(0) }}", 1),
    ],
)
def test_a_template_that_cannot_be_rendered(engine, tmp_path, text, line):
    with pytest.raises(UsageError, match=rf"own\.jinja2:{line}: the prompt template cannot be rendered: "):
        renderer(engine, template=own(tmp_path, text)).render(talk(engine), "hi")


@pytest.mark.skipif(not SHARED_ASSISTANTS.is_dir(), reason="no real assistants beside the checkout")
@pytest.mark.parametrize("name", sorted(path.name for path in SHARED_ASSISTANTS.glob("*") if path.is_dir()))
def test_prompts_of_real_assistants(name):
    assistant = load_assistant(SHARED_ASSISTANTS / name)
    engine = Engine(assistant)
    template = assistant.settings.prompt_template
    prompt = renderer(engine, template=template).render(engine.new_tracker(), "good morning to everybody")
    assert "good morning to everybody" in prompt
    startable = [flow for flow in assistant.business_flows if flow.guard is None]
    assert startable
    assert all(flow.id in prompt for flow in startable)
