"""What of CALM runs here: every word of flows, domain, settings and tests with its verdict.

A word that is left aside is told as a warning when it changes what an assistant says or does (`told`); what only concerns
other channels of production, or has no effect in CALM either, stands in `calmtune doctor` alone. What is refused is an error
of the readers and checks, and said there.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Verdict = Literal["runs", "left aside", "refused"]


@dataclass(frozen=True)
class Support:
    """What becomes of a feature."""

    verdict: Verdict
    why: str = ""
    """The rest of the sentence "<feature> is left aside: …" or "<feature> runs otherwise: …"."""
    told: bool = False
    """True when using it is a warning of its own; False where a reader or a check tells it, or nobody needs to know."""


_RUNS = Support("runs")


def _runs(*names: str) -> dict[str, Support]:
    return dict.fromkeys(names, _RUNS)


def _aside(why: str, *names: str) -> dict[str, Support]:
    """Left aside, and nobody misses it."""
    return dict.fromkeys(names, Support("left aside", why))


def _told(why: str, *names: str) -> dict[str, Support]:
    """Left aside, with a warning."""
    return dict.fromkeys(names, Support("left aside", why, told=True))


def _otherwise(how: str, *names: str) -> dict[str, Support]:
    """Runs, but not quite as elsewhere, with a warning."""
    return dict.fromkeys(names, Support("runs", how, told=True))


def _refused(why: str, *names: str) -> dict[str, Support]:
    return dict.fromkeys(names, Support("refused", why))


_VOICE = "it concerns voice channels"
_NO_NLU = "typed text is not classified; only messages such as /intent reach it"
_NO_EFFECT = "it has no effect on flows"
_ONE_SYSTEM = "there is one system here, so every slot belongs to it"
_PRODUCTION = "it concerns where the assistant runs, not what it says"

SUPPORT: Mapping[str, Mapping[str, Support]] = {
    "flow file key": {
        **_runs("flows", "version"),
        **_aside("flows run without", "nlu", "stories", "rules"),
    },
    "flow key": {
        **_runs("name", "description", "if", "run_pattern_completed", "persisted_slots", "steps"),
        **_runs("nlu_trigger of a pattern", "always_include_in_prompt"),
        **_aside("typed text is not classified; only messages such as /intent start the flow", "nlu_trigger"),
        **_aside(_NO_EFFECT, "file_path"),
    },
    "step": {
        **_runs("action", "collect", "set_slots", "link", "call", "noop"),
        **_refused("agents are not supported; a call names a flow", "call of an agent"),
        **_refused("tools of an MCP server are not supported; a call names a flow", "call of a tool"),
    },
    "step key": {
        **_runs("id", "next", "description", "ask_before_filling", "utter", "rejections"),
        **_runs("force_slot_filling", "reset_after_flow_ends"),
        **_told(_VOICE, "silence_timeout", "dtmf"),
        **_refused("agents and tools are not supported", "mcp_server", "mapping", "exit_if"),
        **_aside(_NO_EFFECT, "metadata"),
    },
    "next": _runs("id", "END", "if/then", "else", "nested steps"),
    "condition": {
        **_runs("and", "or", "not", "=", "==", "!=", "is", "is not", ">", ">=", "<", "<=", "contains", "matches"),
        **_runs("null", "empty", "undefined", "{set}", "jinja"),
    },
    "context property": {
        **_runs("flow_id", "step_id", "canceled_name", "canceled_frames", "names", "clarification_options"),
        **_runs("collect", "utter", "collect_action", "rejections", "previous_flow_name", "interrupted_flow_names"),
        **_runs("interrupted_flow_ids", "interrupted_flow_options", "multiple_flows_interrupted", "is_reset_only"),
        **_runs("corrected_slots", "new_slot_values", "reset_flow_id", "reset_step_id", "error_type", "info", "reason"),
        **_runs("validate", "refill_utter", "refill_action"),
    },
    "default action": {
        **_runs("action_listen", "action_restart", "action_session_start", "action_run_slot_rejections"),
        **_runs("action_correct_flow_slot", "action_cancel_flow", "action_clarify_flows", "action_clean_stack"),
        **_runs("action_repeat_bot_messages", "action_continue_interrupted_flow", "action_cancel_interrupted_flows"),
        **_told("no model writes free texts here; pattern_cannot_handle answers instead", "action_trigger_chitchat"),
        **_told("there is no knowledge base here; pattern_cannot_handle answers instead", "action_trigger_search"),
        **_told(
            "it belongs to rules and NLU, and does nothing here",
            *("action_default_fallback", "action_two_stage_fallback", "action_default_ask_affirmation"),
            *("action_default_ask_rephrase", "action_revert_fallback_events", "action_deactivate_loop", "action_back"),
            *("action_unlikely_intent", "action_extract_slots", "action_validate_slot_mappings", "action_send_text"),
        ),
        **_aside("it does nothing in a text conversation", "action_handoff_metric", "action_hangup"),
        **_aside(_ONE_SYSTEM, "action_reset_routing"),
    },
    "domain key": {
        **_runs("version", "actions", "responses", "slots"),
        **_aside(_NO_NLU, "intents", "entities"),
        **_aside("conversations do not expire here", "session_config"),
        **_told("flows run without; a collect step asks for each slot", "forms"),
        **_told("only actions under `actions` are known", "e2e_actions"),
        **_aside(_NO_EFFECT, "config", "metadata", "keys"),
    },
    "slot type": _runs("text", "bool", "categorical", "float", "any", "list"),
    "slot key": {
        **_runs("type", "initial_value", "values", "mappings", "validation"),
        **_aside(_NO_EFFECT, "influence_conversation", "auto_fill", "metadata", "is_builtin", "min_value", "max_value"),
        **_aside("prompts show the description of the collect step", "description"),
        **_told(_ONE_SYSTEM, "shared_for_coexistence"),
    },
    "slot validation": {
        **_runs("rejections", "refill_utter"),
    },
    "mapping": {
        **_runs("from_llm", "controlled", "custom"),
        **_told(_NO_NLU, "from_entity", "from_intent"),
        **_told("there is no NLU pipeline here that takes texts over as they are", "from_text"),
        **_told("there are no forms here", "from_trigger_intent"),
    },
    "mapping key": {
        **_runs("type", "entity", "intent", "value", "action", "run_action_every_turn", "active_flow"),
        **_aside("no NLU pipeline corrects anything here", "allow_nlu_correction"),
        **_told("entities of messages such as /intent have neither role nor group", "role", "group"),
        **_told("a mapping of this kind fills nothing", "not_intent", "active_loop", "requested_slot"),
        **_told(_ONE_SYSTEM, "coexistence_system"),
    },
    "response key": {
        **_runs("text", "buttons", "image", "custom", "condition", "id", "metadata", "template"),
        **_aside("tests have no channel; variations for one are not said", "channel"),
        **_aside("responses are said as written", "rephrase", "rephrase_prompt"),
        **_told(_VOICE, "allow_interruptions"),
        **_told("messages have text, buttons, an image and custom data", "attachment", "elements", "quick_replies"),
        **_told("every button is a plain one", "button_type"),
        **_told("texts are said in the language they are written in", "translation"),
    },
    "button": _runs("/SetSlots(…)", "/intent", "text"),
    "config key": {
        **_runs("recipe", "language", "pipeline", "policies", "assistant_id", "version"),
        **_told("conversations are held in `language`", "additional_languages"),
        **_told("files are read from data/, domain and the like only", "importers"),
    },
    "generator": {
        **_runs("LLMCommandGenerator", "SingleStepLLMCommandGenerator"),
        **_runs("CompactLLMCommandGenerator", "SearchReadyLLMCommandGenerator"),
        **_otherwise("one prompt asks for everything, as with SingleStep", "MultiStepLLMCommandGenerator"),
    },
    "generator key": {
        **_runs("name", "llm", "prompt_template", "prompt", "user_input", "include_date_time", "flow_retrieval: off"),
        **_aside("prompts list all flows that may start, unless flow_retrieval: on is answered", "flow_retrieval"),
        **_aside("the answer embedding_model names the model for flow retrieval", "embeddings"),
        **_aside("no NLU pipeline runs before the model", "minimize_num_calls"),
        **_told("there is one prompt; write prompt_template", "prompt_templates"),
        **_otherwise("prompts tell the time of this machine", "timezone"),
    },
    "component": {},
    "policy": {**_runs("FlowPolicy")},
    "endpoints key": {
        **_runs("action_endpoint", "model_groups"),
        **_aside("responses are said as written", "nlg"),
        **_aside(_PRODUCTION, "tracker_store", "event_broker", "lock_store", "tracing", "models", "metrics", "model"),
        **_aside(_PRODUCTION, "secrets_manager", "privacy", "concurrent_lock_store", "silence_handling"),
        **_told("tools of an MCP server are not supported", "mcp_servers"),
        **_told("there is no knowledge base here", "vector_store"),
    },
    "channel": {},
    "agent": {},
    "pattern": {},
    "unknown pattern": {},
    "test file key": {
        **_runs("test_cases", "fixtures", "metadata", "stub_custom_actions", "version"),
        **_told("no model judges texts here; generative assertions are skipped", "llm_judge", "llm_as_judge"),
    },
    "conftest key": {
        **_runs("fixtures", "version"),
        **_told("no model judges texts here; generative assertions are skipped", "llm_judge", "llm_as_judge"),
    },
    "test key": _runs("test_case", "steps", "fixtures", "metadata"),
    "test step": {
        **_runs("user", "bot", "utter", "slot_was_set", "slot_was_not_set"),
        **_told("steps after a message with `assertions` do not count", "check beside assertions"),
    },
    "user step key": _runs("user", "metadata", "assertions", "assertion_order_enabled"),
    "assertion": {
        **_runs("flow_started", "flow_completed", "flow_cancelled", "pattern_clarification_contains"),
        **_runs("slot_was_set", "slot_was_not_set", "action_executed", "bot_uttered", "bot_did_not_utter"),
        **_told(
            "no model judges texts here, so it is skipped",
            *("generative_response_is_relevant", "generative_response_is_grounded"),
        ),
    },
    "fixture": {
        **_runs("list of slots", "mapping of slots", "mocked_datetime"),
    },
    "stub key": _runs("for all tests", "for one test", "events", "responses"),
    "stub event": _runs("slot", "reset_slots", "session_started"),
    "stub response": _runs("text", "response", "template", "buttons", "image", "custom"),
}
"""Kind of feature → feature → what becomes of it. Slots, flows and other names of the owner's are not features."""

_UNKNOWN: Mapping[str, Support] = {
    "component": Support("left aside", "only a command generator takes part here"),
    "policy": Support("left aside", "only FlowPolicy takes part here"),
    "pattern": _RUNS,
    "unknown pattern": Support("left aside", "no default pattern has this id; only a link or an intent starts it"),
    "conftest key": Support("left aside", "conftest.yml holds fixtures and the judge", told=True),
    "stub event": Support("left aside", "actions set slots and say responses here", told=True),
    "stub response": Support("left aside", "messages have text, buttons, an image and custom data", told=True),
    "test file key": Support("refused", "there is no such key"),
    "test step": Support("refused", "there is no such step"),
    "assertion": Support("refused", "there is no such assertion"),
    "channel": Support("left aside", "conversations here have no channel"),
    "agent": Support("left aside", "agents are not supported; a flow that calls one is refused"),
    "context property": Support("left aside", "no pattern has this property; it counts as undefined", told=True),
    "config key": Support("left aside", "config.yml has no such key here", told=True),
    "endpoints key": Support("left aside", "endpoints.yml has no such key here", told=True),
    "flow file key": Support("left aside", "files of flows have no such key here", told=True),
    "generator key": Support("left aside", "a command generator has no such key here", told=True),
    "mapping key": Support("left aside", "a mapping has no such key here", told=True),
    "slot validation": Support("left aside", "`validation` has rejections and refill_utter", told=True),
    "slot type": Support("refused", "there is no such type"),
    "mapping": Support("refused", "there is no such mapping"),
    "step": Support("refused", "a step is exactly one of action, collect, set_slots, link, call, noop"),
}
"""What becomes of features that the table does not name."""


def support(kind: str, name: str) -> Support:
    """What becomes of a feature."""
    return SUPPORT.get(kind, {}).get(name) or _UNKNOWN.get(kind, Support("left aside", "there is no such key"))
