"""Reading projects: what is there, and every complaint with file and line."""

from __future__ import annotations

from pathlib import Path

import pytest
from real_assistants import SHARED_ASSISTANTS

from core.assistant.flows import END, CollectStep
from core.assistant.lines import Lines
from core.assistant.project import load_assistant
from core.errors import ProblemsError, UsageError

DOMAIN = """
slots:
  amount: {type: float}
  size: {type: categorical, values: [small, large]}
  things: {type: list}
responses:
  utter_ask_amount: [{text: "How much?"}]
  utter_ask_size: [{text: "Which size?"}]
  utter_ask_things: [{text: "What?"}]
  utter_done: [{text: Done.}]
"""


def problems(write_assistant, flows, domain=DOMAIN):
    with pytest.raises(ProblemsError) as caught:
        load_assistant(write_assistant(flows, domain))
    return [str(problem) for problem in caught.value.problems]


def test_nested_lists_are_lifted_and_every_way_on_is_resolved(make_assistant):
    flow = make_assistant(
        """
flows:
  order:
    description: order something
    steps:
      - collect: amount
        next:
          - if: slots.amount > 5
            then:
              - action: utter_done
                next: END
          - else: ask
      - id: ask
        collect: size
      - action: utter_done
""",
        DOMAIN,
    ).flows["order"]
    assert [step.id for step in flow.steps] == ["0_collect_amount", "1_action_utter_done", "ask", "3_action_utter_done"]
    assert [[branch.target for branch in step.next] for step in flow.steps] == [
        ["1_action_utter_done", "ask"], [END], ["3_action_utter_done"], [END],
    ]  # fmt: skip
    assert flow.steps[0].lines == Lines("data/flows.yml", 6, 12)
    assert flow.steps[1].lines == Lines("data/flows.yml", 10, 11)
    assert isinstance(flow.steps[2], CollectStep)


def test_all_problems_of_all_files_at_once(write_assistant):
    found = problems(
        write_assistant,
        """
flows:
  order:
    description: order something
    steps:
      - collect: amont
      - action: utter_dnoe
      - collect: things
      - id: there
        action: utter_done
        next: nowhere
      - id: there
        link: pay
        next: END
      - action: utter_done
        collect: size
      - noop: true
      - call: order
  -bad:
    steps: []
""",
    )
    text = "\n".join(found)
    for line, complaint in (
        (6, "slot amont is not in the domain; did you mean amount?"),
        (7, "response utter_dnoe is not in the domain; did you mean utter_done?"),
        (8, "a list slot cannot be asked for"),
        (9, "goes on to nowhere, which is no step of flow order"),
        (12, "step id there is used twice in flow order (first in line 9)"),
        (12, "link to pay, which is no flow"),
        (14, "a link ends the flow"),
        (15, "is both action and collect"),
        (17, "needs `next`"),
        (19, "must not begin with -"),
    ):
        assert f"data/flows.yml:{line}: " in text, (line, text)
        assert complaint in text


def test_a_slip_in_end_is_one_mistake_and_no_circle(write_assistant):
    flows = "flows:\n  order:\n    description: order\n    steps:\n      - {action: utter_done, next: EDN}"
    assert problems(write_assistant, flows) == [
        "data/flows.yml:5: step 0_action_utter_done goes on to EDN, which is no step of flow order; did you mean END?"
    ]


@pytest.mark.parametrize(
    ("flows", "complaint"),
    [
        ("flows: {}", "`flows` holds no flow of its own"),
        ("nlu: []", "no file with a top-level `flows`"),
        ("flows:\n\t- a", "not valid YAML"),
        ("flows: {a: {steps: [{action: utter_done}]}, a: {steps: [{action: utter_done}]}}", "a is given twice"),
        (
            "flows: {a: {description: x, steps: [{action: utter_done, next: [{if: slots.amount >, then: END}]}]}}",
            "cannot be read",
        ),
        ("flows: {a: {description: x, if: slots.amuont, steps: [{action: utter_done}]}}", "did you mean amount?"),
        (
            "flows: {a: {description: x, steps: [{call: t, mcp_server: s}]}, t: {steps: [{action: utter_done}]}}",
            "not supported",
        ),
        (
            "flows: {a: {steps: [{action: utter_done, next: [{if: slots.amount, then: END, else: END}]}]}}",
            "`else` must be an item of its own",
        ),
        ("flows: {a: {steps: [{set_slots: [{things: [x]}]}]}}", "a list slot is filled by custom actions only"),
        ("flows: {a: {steps: [{call: b}]}, b: {steps: [{call: a}]}}", "comes to call itself"),
        ("flows: {a: {steps: [{colect: amount}]}}", "link, call, noop; did you mean collect?"),
        ("flows: {a: {steps: [{call: b}]}, b: {steps: [{link: a}]}}", "a called flow must come back"),
    ],
)
def test_complaints(write_assistant, flows, complaint):
    assert complaint in "\n".join(problems(write_assistant, flows))


@pytest.mark.parametrize(
    ("steps", "warning"),
    [
        ("[{noop: true, next: [{if: slots.size = 'Small', then: END}, {else: END}]}]", "did you mean small?"),
        ("[{noop: true, next: [{if: slots.size = small, then: END}, {else: END}]}]", "put text in quotes"),
        ("[{noop: true, next: [{if: slots.sure is 'yes', then: END}, {else: END}]}]", "slot sure is true or false"),
        ("[{noop: true, next: [{if: slots.sure, then: END}]}]", "has no `else`"),
        (
            "[{noop: true, next: [{if: slots.sure and slots.size or slots.amount, then: END}, {else: END}]}]",
            "mixes and/or",
        ),
        (
            "[{action: utter_done, next: END}, {action: utter_done}]",
            "step 1_action_utter_done of flow a is never reached",
        ),
        ("[{link: b}, {action: utter_done}]", "step 1_action_utter_done of flow a is never reached"),
        ("[{noop: true, next: [{if: slots.sure, then: [{action: utter_done}]}, {else: END}]}]", "ends a nested list"),
        ("[{action: action_secret}]", "action action_secret is not listed under `actions`"),
        ("[{collect: size, reset_after_flow_ends: false}]", "flow a has persisted_slots"),
    ],
)
def test_what_only_looks_odd_is_a_warning(make_assistant, steps, warning):
    flows = f"flows: {{a: {{description: x, persisted_slots: [size], steps: {steps}}}, b: {{steps: [{{action: utter_done}}]}}}}"
    domain = DOMAIN.replace("slots:", "slots:\n  sure: {type: bool}")
    assert warning in "\n".join(map(str, make_assistant(flows, domain).warnings))


def test_flows_that_nobody_can_tell_apart_are_warnings(make_assistant):
    ends = "steps: [{action: action_listen}]"
    flows = (
        f"flows: {{a: {{description: send a parcel, {ends}}}, b: {{name: A!, description: Send a parcel., {ends}}},"
        f" pattern_x: {{name: a, description: send a parcel, nlu_trigger: [{{intent: x}}], {ends}}}}}"
    )
    told = [warning.message for warning in make_assistant(flows).warnings if "tell them apart" in warning.message]
    assert told == [
        "flow b has the same description as a; the model cannot tell them apart",
        "flow b has the same name as a; users cannot tell them apart",
    ]


def test_names_in_responses_that_nothing_stands_behind_are_warnings(make_assistant):
    domain = """
slots: {size: {type: categorical, values: [small, large]}, amount: {type: float}}
actions: [action_tell]
responses:
  utter_ask_size:
    - text: "{amuont} of {size}, {{amuont}}?"
      buttons:
        - {title: Small, payload: "/SetSlots(size=Small, amount=1)"}
        - {title: None, payload: /SetSlots(size=None)}
        - {title: Big, payload: /SetSlots(sise=large)}
        - {title: Huge, payload: "/SetSlots(amount=3, size='larg')"}
        - {title: Any, payload: /SetSlot(size=large)}
        - {title: Intent, payload: '/inform{"size": "large"}'}
  utter_told: [{text: "{left_to_the_action}"}]
"""
    steps = "[{collect: size}, {set_slots: [{size: tiny}]}, {action: action_tell}]"
    found = make_assistant(f"flows: {{a: {{description: x, steps: {steps}}}}}", domain).warnings
    assert {str(problem) for problem in found} == {
        "data/flows.yml:1: set_slots size: tiny: slot size is one of small, large",
        "domain.yml:5: response utter_ask_size: {amuont} is no slot of the domain and stays as it is; did you mean amount?",
        "domain.yml:5: response utter_ask_size: the button /SetSlots(sise=large) sets sise, which is no slot of the domain;"
        " did you mean size?",
        "domain.yml:5: response utter_ask_size: the button /SetSlots(amount=3, size='larg') sets larg: slot size is one of small,"
        " large; did you mean large?",
        "domain.yml:5: response utter_ask_size: the button /SetSlot(size=large) is neither /SetSlots(slot=value) nor an intent;"
        " it counts as text",
    }


def test_a_file_that_cannot_be_read_makes_no_names_unknown(write_assistant):
    folder = write_assistant(
        "flows: {a: {steps: [{collect: amount, both: x}, {collect: size, action: y}]}}", "slots:\n\t- a"
    )
    with pytest.raises(ProblemsError) as caught:
        load_assistant(folder)
    assert [(problem.file, problem.line) for problem in caught.value.problems] == [
        ("data/flows.yml", 1),
        ("domain.yml", 2),
    ]


def test_files_of_other_parts_are_noted_once(write_assistant):
    folder = write_assistant("flows: {a: {description: x, steps: [{action: utter_done}]}}", DOMAIN)
    (folder / "data" / "nlu.yml").write_text("version: '3.1'\nnlu: []")
    (folder / "data" / "rules.yml").write_text("rules: []")
    (folder / "data" / "steps.yml").write_text("- id: a\n  steps: []")
    (folder / "data" / ".saved").mkdir()
    (folder / "data" / ".saved" / "flows.yml").write_text("flows: {a: {steps: []}}")
    warnings = load_assistant(folder).warnings
    assert [str(warning) for warning in warnings] == [
        "data/nlu.yml:2: nlu, stories and rules are left aside; flows run without",
        "data/steps.yml:1: it is left aside: a file of flows is a mapping with `flows` at its top",
    ]


@pytest.mark.parametrize(
    ("slot", "is_odd"),
    [
        ("{type: bool, initial_value: maybe}", True),
        ("{type: bool, initial_value: false}", False),
        ("{type: float, initial_value: true}", True),
        ("{type: float, initial_value: 3}", False),
        ("{type: categorical, values: [a, b], initial_value: c}", True),
        ("{type: text, initial_value: 3}", False),
    ],
)
def test_an_initial_value_of_another_type_is_a_warning(make_assistant, slot, is_odd):
    flows = "flows: {a: {description: x, steps: [{action: utter_done}]}}"
    warnings = make_assistant(flows, DOMAIN.replace("slots:", f"slots:\n  s: {slot}")).warnings
    assert any("slot s: the initial value" in str(warning) for warning in warnings) is is_odd


def test_a_value_of_a_slot_that_is_no_scalar_is_told(write_assistant):
    domain = DOMAIN.replace("[small, large]", "[small, [large], {a: b}]")
    found = problems(write_assistant, "flows: {a: {description: x, steps: [{action: utter_done}]}}", domain)
    assert [str(problem) for problem in found] == ["domain.yml:4: slot size: a value is text, a number, true or false"]


def test_a_domain_in_several_files(write_assistant):
    folder = write_assistant("flows: {a: {description: x, steps: [{action: utter_done}]}}", "")
    (folder / "domain.yml").unlink()
    (folder / "domain" / "deep").mkdir(parents=True)
    (folder / "domain" / "one.yml").write_text(DOMAIN + "actions: [action_x]")
    (folder / "domain" / "deep" / "two.yml").write_text(
        "responses:\n  utter_done: [{text: Done.}]\nactions: [action_y]"
    )
    domain = load_assistant(folder).domain
    assert (domain.actions, len(domain.responses), len(domain.slots)) == (("action_y", "action_x"), 4, 3)
    (folder / "domain" / "deep" / "two.yml").write_text("responses:\n  utter_done: [{text: Finished.}]")
    with pytest.raises(ProblemsError, match=r"response utter_done is defined differently in domain/deep/two\.yml:2"):
        load_assistant(folder)


def test_what_is_no_assistant_is_said(tmp_path):
    with pytest.raises(UsageError, match="is not a folder"):
        load_assistant(tmp_path / "nowhere")
    with pytest.raises(UsageError, match="holds no assistant"):
        load_assistant(tmp_path)


def test_latin_1_and_alias_bombs_are_sentences(write_assistant):
    folder = write_assistant("flows: {a: {steps: [{action: utter_done}]}}", DOMAIN)
    (folder / "data" / "more.yml").write_bytes("flows:\n  b:\n    description: gr\xfc\xdfe".encode("latin-1"))
    bomb = "a0: &a0 [x]\n" + "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 9))
    (folder / "data" / "bomb.yml").write_text(bomb)
    with pytest.raises(ProblemsError) as caught:
        load_assistant(folder)
    assert "data/more.yml:3: the file is not UTF-8" in str(caught.value)
    assert "aliases that multiply each other" in str(caught.value)


def test_yes_and_no_are_text_in_yaml(make_assistant):
    domain = DOMAIN.replace("values: [small, large]", "values: [yes, no, on, 010, 12:30]")
    values = (
        make_assistant("flows: {a: {description: x, steps: [{action: utter_done}]}}", domain)
        .domain.slots["size"]
        .values
    )
    assert values == ("yes", "no", "on", 10, "12:30")


@pytest.mark.parametrize(("name", "flows"), [("hybrid-banking", 8), ("concerts", 3), ("masterclass", 4)])
def test_assistants_of_others_load(name, flows):
    folder = SHARED_ASSISTANTS / name
    if not folder.is_dir():
        pytest.skip(f"{name} is not beside this checkout")
    assert len(load_assistant(Path(folder)).business_flows) == flows
