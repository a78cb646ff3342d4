"""Which version's conversation repair an assistant and its tests were written for."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from core.assistant.flows import PATTERN_PREFIX, ActionStep
from core.assistant.project import Assistant
from core.assistant.reach import reached_from
from core.assistant.repair import PatternSet, defaults
from core.e2e.cases import Check, TestSuite

_SIGNS: tuple[tuple[PatternSet, frozenset[str]], ...] = (
    (
        "newest",
        frozenset(
            {"utter_ask_continue_conversation", "continue_conversation", "utter_ask_csat_score", "csat_score"}
            | {"utter_closing_words", "pattern_customer_satisfaction"}
        ),
    ),
    (
        "3.14",
        frozenset(
            {"utter_ask_continue_interrupted_flow_confirmation", "continue_interrupted_flow_confirmation"}
            | {"utter_ask_interrupted_flow_to_continue", "interrupted_flow_to_continue"}
        ),
    ),
    ("3.13", frozenset({"utter_flow_continue_interrupted"})),
)


def choose_patterns(assistant: Assistant, suite: TestSuite | None = None) -> tuple[PatternSet, str]:
    """The pattern set and the reason.

    What the tests expect decides, then what the owner's flows and domain mention, then the generator; else the newest.
    """
    expected = set(_expected(suite)) if suite is not None else set()
    for patterns, names in _SIGNS:
        if found := sorted(expected & names):
            return patterns, f"the tests expect {found[0]}"
    if suite is not None and (question := _asked_again_at_once(assistant, suite)) is not None:
        return "3.13", f"the tests expect {question} as soon as another flow has answered"
    if "utter_can_do_something_else" in expected and "pattern_completed" not in assistant.flows:
        return "3.14", "the tests expect utter_can_do_something_else, and pattern_completed is the default one"
    own = {*assistant.domain.responses, *assistant.domain.slots}
    for patterns, names in _SIGNS:
        if found := sorted(own & names):
            return patterns, f"the domain defines {found[0]}"
    if assistant.settings.dialect == "v1":
        return "3.13", f"{assistant.settings.generator} belongs to versions before 3.14"
    return "newest", "nothing speaks for an older version"


def _expected(suite: TestSuite) -> Iterable[str]:
    """Names of responses, slots and flows that the tests' checks mention."""
    for case in suite.cases:
        for check in (*case.opening, *(check for turn in case.turns for check in turn.checks)):
            yield from _names(check)


def _names(check: Check) -> Iterable[str]:
    value = check.value
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        yield str(value.get("utter_name"))
    elif isinstance(value, tuple):
        yield from value[1] if isinstance(value[1], tuple) else (str(value[0]),)


def _asked_again_at_once(assistant: Assistant, suite: TestSuite) -> str | None:
    """A question that is open until another flow answers, and expected again in the turn of that answer.

    From 3.14 on the bot asks first whether to go on with the interrupted flow.
    """
    if "pattern_continue_interrupted" in assistant.flows:
        return None
    asks: dict[str, set[str]] = defaultdict(set)
    says: dict[str, set[str]] = defaultdict(set)
    for flow in assistant.business_flows:
        for step in flow.steps:
            if isinstance(step, ActionStep):
                says[step.action].add(flow.id)
        for question in flow.collects():
            asks[question.utter].add(flow.id)
            asks[question.ask_action].add(flow.id)
    together = {id: reached_from(id, assistant.flows) for id in assistant.flows}
    of_patterns = {
        step.action
        for flow in {**defaults().flows, **assistant.flows}.values()
        for step in flow.steps
        if flow.is_pattern and isinstance(step, ActionStep)
    }
    digressions = frozenset().union(*(flows for id, flows in together.items() if id.startswith(PATTERN_PREFIX)))
    for case in suite.cases:
        asked: list[str] = []
        for turn in case.turns:
            names = [name for check in turn.checks for name in _names(check)]
            for answering in (says[name] for name in names if name in says and name not in of_patterns):
                waiting = [name for name in asked if not asks[name] & answering][-1:]
                if not waiting or waiting[0] not in names or answering & digressions:
                    continue
                if not any(flows & answering and flows & asks[waiting[0]] for flows in together.values()):
                    return waiting[0]
            asked += [name for name in names if name in asks]
    return None
