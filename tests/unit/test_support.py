"""Nothing is skipped in silence: every word the readers know has its verdict, and what is left aside is told with file and line."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import pytest

from core.assistant import domain_reader, flow_reader
from core.assistant.domain import MappingType, SlotType
from core.assistant.flows import PATTERN_PREFIX
from core.assistant.inventory import STEP_KINDS, Part, inventory, warnings
from core.assistant.project import load_assistant, read_assistant
from core.assistant.repair import defaults
from core.assistant.settings import DIALECTS
from core.assistant.source import read_yaml
from core.assistant.support import SUPPORT
from core.dialogue.default_actions import DEFAULT_ACTIONS
from core.e2e import steps
from core.e2e.cases import Expectation
from core.e2e.reader import read_tests

PATTERNS = Path(flow_reader.__file__).parent / "patterns"
DOMAIN = """
slots: {amount: {type: float}}
responses:
  utter_ask_amount: [{text: "How much?"}]
  utter_done: [{text: Done.}]
"""
FLOWS = "flows: {a: {description: x, steps: [{collect: amount}, {action: utter_done}]}}"


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("flow key", flow_reader._FLOW_KEYS),
        ("step", (*STEP_KINDS, *flow_reader._KINDS)),
        ("step key", [key for keys in flow_reader._STEP_KEYS.values() for key in keys]),
        ("domain key", domain_reader._DOMAIN_KEYS),
        ("slot key", domain_reader._SLOT_KEYS),
        ("slot type", get_args(SlotType)),
        ("mapping", get_args(MappingType)),
        ("response key", domain_reader._VARIATION_KEYS),
        ("generator", DIALECTS),
        ("default action", DEFAULT_ACTIONS),
        ("user step key", steps._USER_KEYS),
        ("test step", steps._STEP_KINDS),
        ("assertion", [kind for kind in get_args(Expectation) if kind not in ("bot", "utter")]),
    ],
)
def test_every_word_the_readers_know_has_a_verdict(kind, words):
    assert [word for word in words if word not in SUPPORT[kind]] == []


def test_the_default_patterns_use_only_what_runs():
    parts = []
    for file in sorted(PATTERNS.glob("*.yml")):
        content = read_yaml(file, file.name)
        parts += [Part("flows", file.name, content), Part("domain", file.name, content)]
    told = [str(problem) for problem in warnings(inventory(parts))]
    assert [line for line in told if "flow file key" not in line] == []
    assert all(flow.startswith(PATTERN_PREFIX) for flow in defaults().flows)


def told(write_assistant, flows=FLOWS, domain=DOMAIN, **settings) -> str:
    return "\n".join(map(str, load_assistant(write_assistant(flows, domain, **settings)).warnings))


@pytest.mark.parametrize(
    ("steps", "warning"),
    [
        ("[{collect: amount, dtmf: {length: 1}}]", "data/flows.yml:1: step key dtmf is left aside: it concerns voice"),
        ("[{collect: amount, silence_timeout: 3}]", "step key silence_timeout is left aside"),
        ("[{action: action_trigger_search}]", "action_trigger_search is left aside: there is no knowledge base here"),
        ("[{action: action_trigger_chitchat}]", "action_trigger_chitchat is left aside: no model writes free texts"),
        ("[{action: action_deactivate_loop}]", "action_deactivate_loop is left aside: it belongs to rules and NLU"),
        (
            "[{noop: true, next: [{if: context.colour, then: END}, {else: END}]}]",
            "context property colour is left aside",
        ),
    ],
)
def test_steps_that_are_left_aside_are_told(write_assistant, steps, warning):
    assert warning in told(write_assistant, f"flows: {{a: {{description: x, steps: {steps}}}}}")


@pytest.mark.parametrize(
    ("addition", "warning"),
    [
        ("forms: {f: {required_slots: [amount]}}", "domain key forms is left aside: flows run without"),
        ("e2e_actions: [x]", "domain key e2e_actions is left aside"),
        ("slots: {b: {type: text, shared_for_coexistence: true}}", "shared_for_coexistence is left aside"),
        ("slots: {b: {type: text, mappings: [{type: from_entity}]}}", "mapping from_entity is left aside: typed text"),
        ("slots: {b: {type: text, mappings: [{type: from_text}]}}", "mapping from_text is left aside"),
        ("slots: {b: {type: text, mappings: [{type: controlled, coexistence_system: NLU}]}}", "coexistence_system"),
        (
            "slots: {b: {type: any, mappings: [{type: from_intent, conditions: [{active_loop: f}]}]}}",
            "active_loop is left",
        ),
        (
            "slots: {b: {type: any, mappings: [{type: from_llm, conditions: [{active_flow: b}]}]}}",
            "active_flow b is no flow",
        ),
        ("slots: {b: {type: any, validation: {rejection: []}}}", "slot validation rejection is left aside"),
        ("responses: {utter_x: [{text: x, quick_replies: [a]}]}", "response key quick_replies is left aside"),
        ("responses: {utter_x: [{text: x, translation: {de: y}}]}", "response key translation is left aside"),
        ("responses: {utter_x: [{text: x, allow_interruptions: false}]}", "allow_interruptions is left aside"),
        ("responses: {utter_x: [{text: x, channel: sms}]}", "response utter_x has variations for channels only"),
    ],
)
def test_a_domain_with_more_than_runs_is_told(write_assistant, addition, warning):
    folder = write_assistant(FLOWS, DOMAIN)
    (folder / "domain.yml").unlink()
    (folder / "domain").mkdir()
    (folder / "domain" / "one.yml").write_text(DOMAIN)
    (folder / "domain" / "two.yml").write_text(addition)
    found = [str(problem) for problem in load_assistant(folder).warnings if warning in str(problem)]
    assert found
    assert found[0].startswith("domain/two.yml:1: ")


@pytest.mark.parametrize(
    ("config", "endpoints", "warning"),
    [
        ("additional_languages: [de]", None, "config.yml:1: config key additional_languages is left aside"),
        ("speed: fast", None, "config key speed is left aside"),
        (
            "pipeline: [{name: MultiStepLLMCommandGenerator}]",
            None,
            "MultiStepLLMCommandGenerator runs otherwise: one prompt",
        ),
        ("pipeline: [{name: CompactLLMCommandGenerator, colour: red}]", None, "generator key colour is left aside"),
        ("policies: [{name: IntentlessPolicy}]", None, "IntentlessPolicy takes no part"),
        (None, "mcp_servers: [{name: shop}]", "endpoints.yml:1: endpoints key mcp_servers is left aside"),
        (None, "nlg: {url: http://x}", "what `nlg` names takes no part here"),
        (None, "action_endpoint: {url: http://x, actions_module: y}", "actions_module is left aside"),
        (None, "action_endpoint: {url: http://x, token: y}", "token is not a key of action_endpoint"),
        (
            "pipeline: [{name: CompactLLMCommandGenerator, llm: {model_group: g}}]",
            "model_groups: [{id: g, models: [{model: a}, {model: b}]}]",
            "model group g has 2 models; only the first is asked",
        ),
    ],
)
def test_settings_that_take_no_part_are_told(write_assistant, config, endpoints, warning):
    assert warning in told(write_assistant, config=config, endpoints=endpoints)


def test_one_warning_for_a_word_used_often(write_assistant):
    flows = "flows: {a: {description: x, steps: [{collect: amount, dtmf: {}}, {collect: amount, dtmf: {}}]}}"
    assert "it concerns voice channels (2 times)" in told(write_assistant, flows)


def test_flows_that_only_intents_reach_are_told_and_the_rest_runs(write_assistant):
    text = told(
        write_assistant,
        """
flows:
  by_intent: {description: x, if: false, nlu_trigger: [{intent: complain}], steps: [{action: utter_done}]}
  by_nobody: {description: y, if: false, steps: [{action: utter_done}]}
  by_call: {description: z, if: false, steps: [{action: utter_done}]}
  by_anyone: {description: w, nlu_trigger: [{intent: buy}], steps: [{call: by_call}]}
  pattern_canel_flow: {description: typo, steps: [{action: utter_done}]}
""",
        "intents: [complain]" + DOMAIN,
    )
    assert "data/flows.yml:3: flow by_intent can be reached through an intent only" in text
    assert "only /complain starts it" in text
    assert "data/flows.yml:4: flow by_nobody has `if: false` and no flow links to it or calls it" in text
    assert "pattern_canel_flow is no default pattern, so nothing starts it; did you mean pattern_cancel_flow?" in text
    assert "by_call" not in text.replace("links to it or calls it", "")
    assert "by_anyone" not in text


def test_a_question_that_only_nlu_answers_is_told(write_assistant):
    domain = DOMAIN.replace("{type: float}", "{type: float, mappings: [{type: from_entity, entity: number}]}")
    assert "collect amount: its mapping from_entity needs an NLU pipeline" in told(write_assistant, domain=domain)


@pytest.mark.parametrize(
    ("step", "complaint"),
    [
        ("{call: helper}", "call of helper, which is an agent (sub_agents/helper); agents are not supported"),
        (
            "{call: helper, exit_if: [slots.amount is not null]}",
            "call of helper, which is an agent; that is not supported",
        ),
        (
            "{call: look_up, mcp_server: shop, mapping: {input: []}}",
            "call of look_up, which is a tool of an MCP server",
        ),
    ],
)
def test_agents_and_tools_are_refused_once(write_assistant, step, complaint):
    folder = write_assistant(f"flows: {{a: {{description: x, steps: [{step}]}}}}", DOMAIN)
    (folder / "sub_agents" / "helper").mkdir(parents=True)
    (folder / "sub_agents" / "helper" / "config.yml").write_text("agent: {name: helper}")
    (problem,) = read_assistant(folder).errors
    assert str(problem).startswith(f"data/flows.yml:1: {complaint}")


def test_a_default_action_of_the_owners_own_is_no_default_action(write_assistant):
    flows = "flows: {a: {description: x, steps: [{action: action_default_fallback}]}}"
    assert "left aside" in told(write_assistant, flows)
    assert "left aside" not in told(write_assistant, flows, DOMAIN + "actions: [action_default_fallback]")


def test_a_second_place_for_the_same_is_told(write_assistant):
    folder = write_assistant(FLOWS, DOMAIN)
    (folder / "flows.yml").write_text(FLOWS)
    assert [str(warning) for warning in load_assistant(folder).warnings] == [
        "flows.yml: it is left aside: data is there and is read instead"
    ]


@pytest.mark.parametrize(
    ("tests", "warning"),
    [
        ("llm_judge: {llm: {model: x}}", "a.yml:1: test file key llm_judge is left aside: no model judges texts here"),
        ("stub_custom_actions: {action_x: {events: [{event: followup}]}}", "stub event followup is left aside"),
        ("stub_custom_actions: {action_x: {responses: [{attachment: x}]}}", "stub response attachment is left aside"),
        (
            "test_cases: [{test_case: two, steps: [{user: hi, assertions: [{flow_started: a}]}, {utter: utter_done}]}]",
            "steps after a message with `assertions` do not count",
        ),
        (
            "test_cases: [{test_case: two, steps: [{user: hi, assertions: [{generative_response_is_grounded: {threshold: 1}}]}]}]",
            "assertion generative_response_is_grounded is left aside",
        ),
    ],
)
def test_tests_with_more_than_runs_are_told(tmp_path, tests, warning):
    cases = "" if "test_cases" in tests else "\ntest_cases: [{test_case: one, steps: [{user: hi}]}]"
    (tmp_path / "a.yml").write_text(tests + cases)
    assert warning in "\n".join(map(str, read_tests(tmp_path, tmp_path).warnings))


def test_a_conftest_is_told_once(tmp_path):
    (tmp_path / "conftest.yml").write_text("llm_judge: {llm: {model: x}}\nhooks: [a]")
    for name in ("a.yml", "b.yml"):
        (tmp_path / name).write_text("test_cases: [{test_case: one, steps: [{user: hi}]}]")
    assert [str(warning) for warning in read_tests(tmp_path, tmp_path).warnings] == [
        "conftest.yml:1: conftest key llm_judge is left aside: no model judges texts here; generative assertions are skipped",
        "conftest.yml:2: conftest key hooks is left aside: conftest.yml holds fixtures and the judge",
    ]
