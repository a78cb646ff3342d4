"""Failed turns of an evaluation, put together by cause and flow, and each with its conversation."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import zip_longest
from pathlib import Path
from typing import Any

from textual.content import Content
from textual.widgets.option_list import Option

from core.e2e.side_by_side import Line, Sides, SidesOfTurn, sides_from
from tui.results.scores import SETS, sets_in
from tui.safe_text import one_line, safe

_HEADING = "bold $text-accent"


@dataclass(frozen=True)
class Failure:
    """One turn in which the model said something else than expected."""

    set: str
    test: str
    turn: int
    user: str
    expected: str
    predicted: str | None
    """None when the model was not asked."""
    cause: str = ""
    """Empty where nobody looked for it."""
    flow: str = ""
    conversation: tuple[str, ...] = ()
    flaky: bool = False
    """True when the test passes in some of its runs."""
    line: int | None = None
    """Of the message in the test's file."""
    reason: str = ""
    """What the test complains about."""


def failures(summary: Mapping[str, Any], results: Path | None) -> list[Failure]:
    """Failures of all sets, the most frequent cause first and then by flow.

    `results` is the folder with the wrong turns, for evaluations that say no more than that.
    """
    found = [failure for name, of in sets_in(summary) for failure in _of_set(name, of, results)]
    causes = Counter(failure.cause for failure in found)
    order = {name: at for at, name in enumerate(SETS)}
    return sorted(
        found,
        key=lambda one: (-causes[one.cause], one.cause, one.flow, order[one.set], one.test, one.turn),
    )


def _of_set(name: str, found: Mapping[str, Any], results: Path | None) -> Iterator[Failure]:
    cases = (found.get("failures") or {}).get("cases")
    if cases is None and results is not None:
        path = results / f"{name}_wrong_turns.jsonl"
        cases = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.exists() else []
    flaky = set(found.get("flaky") or ())
    for case in cases or ():
        yield Failure(
            name,
            case["test"],
            case["turn"],
            str(case["user"]),
            _text(case.get("expected")),
            None if case.get("predicted") is None else _text(case["predicted"]),
            case.get("cause") or "",
            case.get("flow") or "",
            _before(case.get("conversation") or (), str(case["user"])),
            case["test"] in flaky,
            case.get("line"),
            case.get("reason") or "",
        )


def _before(conversation: Sequence[str], user: str) -> tuple[str, ...]:
    """A conversation without the message itself, where it ends with that."""
    said = tuple(conversation)
    return said[:-1] if said and said[-1] == f"USER: {user}" else said


def _text(commands: Any) -> str:
    return "\n".join(map(str, commands)) if isinstance(commands, (list, tuple)) else str(commands or "")


def next_step(summary: Mapping[str, Any]) -> str:
    """What to do next, as the set that tells most has it; "" when nobody knows."""
    told = (found.get("failures") or {} for _, found in sets_in(summary))
    return next((str(one["next_step"]) for one in told if one.get("next_step")), "")


def failure_lines(found: Sequence[Failure]) -> Iterator[Option]:
    """A heading a cause, then its failures; their ids are positions in `found`."""
    causes, several = Counter(failure.cause for failure in found), len({failure.set for failure in found}) > 1
    shown: str | None = None
    for at, failure in enumerate(found):
        if failure.cause != shown and failure.cause:
            count = Content.assemble((one_line(failure.cause), _HEADING), (f"  {causes[failure.cause]}", "$muted"))
            yield Option(count, disabled=True)
        shown = failure.cause
        yield Option(_line(failure, several), id=str(at))


def _line(failure: Failure, with_set: bool) -> Content:
    sign, colour = ("~", "$text-warning") if failure.flaky else ("✗", "$text-error")
    message = one_line(failure.user)
    facts = [failure.flow, failure.set if with_set else ""]
    return Content.assemble(
        (f"{sign} ", colour),
        message if len(message) <= 40 else message[:39] + "…",
        ("  " + one_line(" · ".join(fact for fact in facts if fact)), "$muted"),
    )


def failure_head(failure: Failure) -> Content:
    """Where a failure is and what is known about it: what was expected of the model, and what it said."""
    file, _, name = failure.test.rpartition("::")
    place = f"{Path(file).name}:{failure.line}" if failure.line else Path(file).name
    facts = [
        f"turn {failure.turn}" if failure.turn else "before the first turn",
        f"{failure.set} test",
        failure.flow,
        failure.cause,
        "flaky" if failure.flaky else "",
    ]
    return Content("").join(
        [
            Content.assemble((one_line(name or failure.test), "bold"), (f"  {one_line(place)}\n", "$faint")),
            Content.styled(one_line(" · ".join(fact for fact in facts if fact)) + "\n", "$muted"),
            Content.styled(safe(failure.reason), "$muted"),
        ]
    )


def failure_sides(failure: Failure, played: Mapping[str, Any] | None) -> Sides:
    """The failed conversation with what the model was to say beside what it said; `played`: facts of its `Sides`, where they are kept.

    Without those the conversation is known up to the message alone.
    """
    line = Line(failure.expected or "not known: another way led here", _said(failure.predicted), "differs")
    commands = tuple(
        Line(expected, predicted, "differs" if expected != predicted else "same")
        for expected, predicted in zip_longest(line.expected.splitlines(), line.actual.splitlines(), fillvalue="")
    )
    if played is None:
        before = list(_turns_before(failure.conversation))
        return Sides((*before, SidesOfTurn(failure.user, failure.line or 0, (), commands)), "")
    sides = sides_from(played)
    at = failure.turn - 1 + sum(turn.user is None for turn in sides.turns)
    turns = [
        replace(turn, commands=(), lines=(*commands, *turn.lines)) if number == at else turn
        for number, turn in enumerate(sides.turns)
    ]
    return Sides(tuple(turns), sides.note)


def _turns_before(conversation: Sequence[str]) -> Iterator[SidesOfTurn]:
    """A transcript of `USER: …` and `AI: …` as turns."""
    user: str | None = None
    lines: list[Line] = []
    for text in conversation:
        who, _, said = text.partition(": ")
        if who == "USER":
            if user is not None or lines:
                yield SidesOfTurn(user, 0, (), tuple(lines))
            user, lines = said, []
        else:
            lines.append(Line("", said, "more"))
    if user is not None or lines:
        yield SidesOfTurn(user, 0, (), tuple(lines))


def _said(predicted: str | None) -> str:
    return "the model was not asked" if predicted is None else predicted or "nothing"


def flaky_tests(summary: Mapping[str, Any]) -> list[tuple[str, str]]:
    """(set, test) of tests that pass in some of their runs only."""
    return [(name, test) for name, found in sets_in(summary) for test in found.get("flaky") or ()]
