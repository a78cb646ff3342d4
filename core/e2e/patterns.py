"""Which version's conversation repair an assistant and its tests were written for."""

from __future__ import annotations

from collections.abc import Iterable

from core.assistant.project import Assistant
from core.assistant.repair import PatternSet
from core.e2e.cases import TestSuite

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
            value = check.value
            if isinstance(value, str):
                yield value
            elif isinstance(value, dict):
                yield str(value.get("utter_name"))
            elif isinstance(value, tuple):
                yield from value[1] if isinstance(value[1], tuple) else (str(value[0]),)
