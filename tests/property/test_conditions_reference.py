"""Conditions against a reference that evaluates the tree from which their text was made."""

from __future__ import annotations

import contextlib
import operator
from dataclasses import dataclass
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from core.assistant.conditions import ConditionError, Predicate

SLOTS: dict[str, Any] = {"yes": True, "no": False, "two": 2.0, "word": "lost", "none": None, "list": ["a"]}
ORDER = {">": operator.gt, ">=": operator.ge, "<": operator.lt, "<=": operator.le}


@dataclass(frozen=True)
class Case:
    """A condition's text and what it must come to."""

    text: str
    value: Any

    @property
    def truth(self) -> bool:
        return bool(self.value)


IDENTIFIERS = st.sampled_from([Case(f"slots.{name}", value) for name, value in SLOTS.items()])
CONSTANTS = st.one_of(
    st.integers(-9, 9).map(lambda number: Case(str(number), float(number))),
    st.floats(-9, 9).map(lambda number: Case(f"{number:.3f}", float(f"{number:.3f}"))),
    st.text(alphabet="ab c#()", max_size=5).map(lambda text: Case(f"'{text}'", text)),
    st.sampled_from([Case("true", True), Case("False", False), Case("NULL", None)]),
)
OPERANDS = IDENTIFIERS | CONSTANTS


def compared(left: Case, sign: str, right: Case) -> Case:
    text = f"{left.text} {sign} {right.text}"
    if sign in ORDER:
        try:
            return Case(text, ORDER[sign](left.value, right.value))
        except TypeError:
            return Case(text, False)
    if sign == "contains":
        fits = isinstance(left.value, list) or (isinstance(left.value, str) and isinstance(right.value, str))
        return Case(text, fits and right.value in left.value)
    return Case(text, (left.value == right.value) is (sign in ("=", "==", "is")))


SIGNS = st.sampled_from([*ORDER, "=", "==", "!=", "is", "is not", "IS NOT", "contains"])
COMPARISONS = st.builds(compared, OPERANDS, SIGNS, OPERANDS)


def chained(first: Case, rest: list[tuple[str, Case]]) -> Case:
    """`a and b or c` is `a and (b or c)`."""
    if not rest:
        return first
    word, second = rest[0]
    others = chained(second, rest[1:])
    value = first.truth and others.truth if word.lower() == "and" else first.truth or others.truth
    return Case(f"{first.text} {word} {others.text}", value)


CONDITIONS = st.recursive(
    OPERANDS | COMPARISONS,
    lambda inner: st.builds(
        chained,
        inner.map(lambda case: Case(f"({case.text})", case.truth)),
        st.lists(
            st.tuples(
                st.sampled_from(["and", "or", "AND", "Or"]),
                COMPARISONS | IDENTIFIERS | inner.map(lambda case: Case(f"not ({case.text})", not case.truth)),
            ),
            max_size=4,
        ),
    ),
    max_leaves=12,
)


@settings(max_examples=60, deadline=None)
@given(CONDITIONS)
def test_truth_is_that_of_the_reference(case: Case) -> None:
    condition = Predicate(case.text)
    condition.check()
    assert condition.evaluate(SLOTS, {}) is case.truth, case.text


@settings(max_examples=60, deadline=None)
@given(st.text(alphabet="ab.(){}'\"/=<>! 12#-_\n", max_size=30))
def test_any_text_is_a_condition_or_a_complaint(text: str) -> None:
    with contextlib.suppress(ConditionError):
        Predicate(text).check()
    assert Predicate(text).evaluate(SLOTS, {}) in (True, False)
