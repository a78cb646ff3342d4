"""Commands without a language model: find, for each turn of a test, the commands that make its expectations come true.

The search (`search.py`) prefers what the user's words show (`readings.py`). Two different solutions of nearly the same cost make a test
ambiguous; it is never guessed. When nothing is found, the search is repeated with values that nobody said. Does that not help either, no
commands can make the test come true: it contradicts the assistant, and the turn where it breaks is reported.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from core.dataset.candidates import categorical_cost
from core.dataset.knowledge import knowledge
from core.dataset.language import COMMANDS_WITH_WORDING, NO_SIGN, doubt
from core.dataset.search import Path, Search
from core.dialogue.cleanup import startable
from core.dialogue.command_text import render_all
from core.dialogue.commands import Command, SetSlot, StartFlow
from core.dialogue.engine import Engine
from core.dialogue.tracker import Tracker
from core.e2e.cases import TestCase
from core.e2e.results import Failure
from core.e2e.runner import begin

PLAINLY_NAMED = 0.7
"""From this likeness on, a message names a flow."""


@dataclass(frozen=True)
class Inference:
    """What was found for one test."""

    case: TestCase
    turns: tuple[tuple[Command, ...] | None, ...] = ()
    """Commands of each turn, None for payload messages; empty unless every turn was found."""
    undecided: str | None = None
    """Why nothing (or nothing unique) was found; a sentence naming the turn and its line."""
    contradiction: Failure | None = None
    """Set when no commands at all make the test come true: the check of the first turn where it breaks."""
    simulations: int = 0
    """Turns played."""
    nearest: tuple[tuple[Command, ...] | None, ...] = ()
    """Where nothing was found: the commands that came nearest, up to the turn where it breaks."""


def infer(engine: Engine, case: TestCase, budget: int = 3000) -> Inference:
    """Find the commands of a test. `engine` runs the test's own stubs; `budget` bounds the turns played (about 0.2 ms each)."""
    tracker, _, failures = begin(engine, case)
    if failures:
        return Inference(case, contradiction=failures[0])
    if (failure := _unsayable(engine, case)) is not None:
        return Inference(case, contradiction=failure)
    search = Search(engine, case, budget)
    search.run(Path(tracker))
    if search.solutions:
        return _found(search)
    nearest = search.attempts.get(max(search.attempts, default=0))
    if nearest is not None and nearest.trouble is not None:
        why = "" if nearest.trouble == nearest.failure.message else f" ({nearest.trouble})"
        found = _undecided(search, f"no commands were found that make it come true{why}")
    else:
        found = _beyond_the_words(search, tracker)
    return replace(found, nearest=_nearest(search))


def _nearest(search: Search) -> tuple[tuple[Command, ...] | None, ...]:
    at = max(search.attempts, default=0)
    if at not in search.attempts or at not in search.reached:
        return ()
    return (*search.reached[at].turns, search.attempts[at].commands)


def _unsayable(engine: Engine, case: TestCase) -> Failure | None:
    """The first text that the bot is to say although no response and no stub ever says it."""
    known = knowledge(engine.index)
    if known.says_anything or (not case.stubs and engine.assistant.domain.actions):
        return None  # whatever runs the actions may say anything
    stubbed = {str(said.get("text", "")).strip() for answer in case.stubs.values() for said in answer.responses}
    for check in (check for turn in case.turns for check in turn.checks if check.kind == "bot"):
        if check.value.strip() not in stubbed and not known.sources(check.value):
            return Failure(check, check.line, f"no response of the assistant says {check.value!r}")
    return None


def _found(search: Search) -> Inference:
    best, *others = search.solutions
    rivals = [path for path in others if not _same_meaning(best, path)]
    if not rivals:
        doubt = _against_the_words(search, best)
        return Inference(search.case, () if doubt else best.turns, doubt, simulations=search.simulations)
    differs = (not _alike(*pair) for pair in zip(best.turns, rivals[0].turns, strict=True))
    at = next(at for at, different in enumerate(differs) if different)
    options = " | ".join(dict.fromkeys(_shown(path.turns[at]) for path in (best, *rivals)))
    text = f"{_place(search.case, at)} is ambiguous: {options}"
    return Inference(search.case, undecided=text, simulations=search.simulations)


def _against_the_words(search: Search, best: Path) -> str | None:
    """A sentence when a turn comes true only with what its words do not touch, while they plainly name something else."""
    for at, (turn, commands) in enumerate(zip(search.case.turns, best.turns, strict=True)):
        for command in commands or ():
            if said := _named_instead(search, command, turn.user):
                only = f"comes true only with {_shown(commands)}, though the words speak of {said}"
                return f"{_place(search.case, at)} {only}"
    return None


def _named_instead(search: Search, command: Command, message: str) -> str | None:
    """The flow or the value of a slot that a message names while nothing in it speaks for a command."""
    if isinstance(command, SetSlot):
        slot = search.engine.index.slots[command.name]
        if slot.type != "categorical" or categorical_cost(str(command.value), message) < 0.4:
            return None
        return next((str(value) for value in slot.values if categorical_cost(str(value), message) == 0.0), None)
    likeness = search.known.likeness(message)
    named = max(likeness, key=lambda flow: likeness[flow], default=None)
    if named is None or likeness[named] < PLAINLY_NAMED:
        return None
    started = isinstance(command, StartFlow) and command.flow not in likeness
    unsaid = isinstance(command, COMMANDS_WITH_WORDING) and doubt(type(command), message) == NO_SIGN
    return named if started or unsaid else None


def _undecided(search: Search, reason: str) -> Inference:
    at = max(search.attempts, default=0)
    nearest = search.attempts.get(at)
    tried = f"; with {_shown(nearest.commands)}: {nearest.failure.message}" if nearest else ""
    text = f"{_place(search.case, at)}: {reason}{tried}{_closed(search, at)}"
    return Inference(search.case, undecided=text, simulations=search.simulations)


def _beyond_the_words(search: Search, start: Tracker) -> Inference:
    """Everything that the words may mean was tried in vain: would anything else do?"""
    case, simulations = search.case, search.simulations
    at = max(search.attempts, default=0)
    wild = Search(search.engine, case, search.budget // 2 if search.exhausted else 0, invents=True)
    wild.run(Path(start))
    if not wild.solutions and not wild.exhausted:
        # Too many ways to look at; the likeliest one up to the turn that breaks shows whether that turn can hold at all.
        simulations += wild.simulations
        wild = Search(search.engine, replace(case, turns=case.turns[: at + 1]), search.budget, invents=True)
        wild.run(search.reached[at])
    simulations += wild.simulations
    if wild.solutions:
        turns = wild.solutions[0].turns
        invented = next((at for at, commands in enumerate(turns) if wild.invented & set(commands or ())), None)
        if invented is None:
            reason = "what the test may mean up to here is too much to be looked through"
            text = f"{_place(case, at)}: {reason}; the turn comes true with {_shown(turns[at])}"
        else:
            text = (
                f"{_place(case, invented)} comes true with {_shown(turns[invented])}, which the user's words do not say"
            )
        return Inference(case, undecided=text, simulations=simulations)
    if not wild.exhausted or at not in search.attempts:
        return replace(_undecided(search, "no commands were found that make it come true"), simulations=simulations)
    nearest = search.attempts[at]
    failure = nearest.failure
    if search.without_model(case.turns[at]) is None:
        reason = f"no commands make {_place(case, at)} come true; with {_shown(nearest.commands)}: {failure.message}"
        failure = replace(failure, message=reason + _closed(search, at))
    return Inference(case, contradiction=failure, simulations=simulations)


def _closed(search: Search, at: int) -> str:
    """What to add where every flow that could do what a turn expects is kept closed by its own `if`."""
    if at not in search.reached:
        return ""
    expected, tracker, index = search.expected[at], search.reached[at].tracker, search.engine.index
    said = (search.known.said_by.get(name, ()) for name in expected.utterances)
    fitting = expected.started or frozenset().union(*said)
    possible = [flow for flow in search.known.startable if flow in fitting]
    in_progress = {frame.flow for frame in tracker.stack}
    if not possible or any(flow in in_progress or startable(flow, tracker, index) for flow in possible):
        return ""
    guard = index.flows[possible[0]].guard
    return f"; flow {possible[0]} cannot start there, as {guard.source if guard else ''!r} does not hold"


def _place(case: TestCase, at: int) -> str:
    turn = case.turns[at]
    return f"turn {at + 1} ({turn.user!r}, {case.file}:{turn.line})"


def _same_meaning(one: Path, other: Path) -> bool:
    """True when two solutions differ at most in how much of the same words they take as a value."""
    return all(_alike(first, second) for first, second in zip(one.turns, other.turns, strict=True))


def _alike(one: Sequence[Command] | None, other: Sequence[Command] | None) -> bool:
    if one is None or other is None:
        return one is other
    first, second = _by_slot(one), _by_slot(other)
    rest = [frozenset(command for command in commands if not isinstance(command, SetSlot)) for commands in (one, other)]
    same_slots = first.keys() == second.keys() and all(_overlapping(first[name], second[name]) for name in first)
    return rest[0] == rest[1] and same_slots


def _by_slot(commands: Iterable[Command]) -> dict[str, Any]:
    return {command.name: command.value for command in commands if isinstance(command, SetSlot)}


def _overlapping(one: Any, other: Any) -> bool:
    """True for equal values, and for texts of which one holds the other."""
    if isinstance(one, str) and isinstance(other, str):
        return one.casefold() in other.casefold() or other.casefold() in one.casefold()
    return bool(one == other)


def _shown(commands: Iterable[Command] | None) -> str:
    return render_all(tuple(commands or ()), "v2").replace("\n", "; ")
