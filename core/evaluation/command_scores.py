"""How well a model writes commands, row by row and without a dialogue: exact answers, precision and recall by kind of command."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from core.assistant.domain import Slot
from core.assistant.settings import Dialect
from core.dataset.text import levelled_value
from core.dialogue.command_text import Parsed, parse
from core.dialogue.commands import Clarify, Command, SetSlot, StartFlow
from core.dialogue.values import coerce
from core.e2e.coverage import LABELS, label
from core.evaluation.gates import percent

_SET_SLOT = LABELS[SetSlot]

Unit = tuple[str, Any]
"""What has to be right of a command: its label, and flow, flows, or slot and value."""


@dataclass(frozen=True)
class Score:
    """Counts of one kind of command. What would divide by zero is 0."""

    right: int = 0
    """Commands both expected and predicted."""
    predicted: int = 0
    support: int = 0
    """Commands expected."""

    @property
    def precision(self) -> float:
        """Share of the predicted that were expected."""
        return self.right / self.predicted if self.predicted else 0.0

    @property
    def recall(self) -> float:
        """Share of the expected that were predicted."""
        return self.right / self.support if self.support else 0.0

    @property
    def f1(self) -> float:
        """Harmonic mean of the two."""
        both = self.predicted + self.support
        return 2 * self.right / both if both else 0.0

    @property
    def facts(self) -> dict[str, float]:
        return {
            "precision": round(self.precision, 4),
            "recall": round(self.recall, 4),
            "f1": round(self.f1, 4),
            "support": self.support,
        }


@dataclass(frozen=True)
class CommandScores:
    """Scores over rows."""

    rows: int
    exact: int
    """Rows with exactly the expected commands, in any order."""
    invalid: int
    """Rows whose answer holds no command, or something that is none here: unreadable, an unknown flow or slot, a slot without a value."""
    labels: Mapping[str, Score] = field(default_factory=dict)
    """By label of the command, most expected first; a StartFlow is right with its flow, a SetSlot with its slot and value."""

    @property
    def exact_rate(self) -> float:
        return self.exact / self.rows if self.rows else 0.0

    @property
    def invalid_rate(self) -> float:
        return self.invalid / self.rows if self.rows else 0.0

    @property
    def micro(self) -> Score:
        """All commands together."""
        scores = self.labels.values()
        right, predicted = sum(score.right for score in scores), sum(score.predicted for score in scores)
        return Score(right, predicted, sum(score.support for score in scores))

    @property
    def slot_value_f1(self) -> float | None:
        """F1 of pairs of slot and value; None where no row sets a slot."""
        score = self.labels.get(_SET_SLOT)
        return None if score is None else score.f1

    @property
    def sentence(self) -> str:
        """The scores in a line."""
        if not self.rows:
            return "no rows to score commands on"
        parts = [f"{self.exact} of {self.rows} rows ({percent(self.exact_rate)}) have exactly the expected commands"]
        if self.labels:
            parts.append(
                f"F1 {self.micro.f1:.2f} ({', '.join(f'{name} {s.f1:.2f}' for name, s in self.labels.items())})"
            )
        wrong = f"{self.invalid} ({percent(self.invalid_rate)}) hold what is no valid command"
        return "; ".join([*parts, wrong if self.invalid else "every answer is valid"])

    @property
    def facts(self) -> dict[str, Any]:
        """JSON-ready: rows, exact, exact_rate, invalid, invalid_rate, slot_value_f1, micro, labels, sentence. Rates are 0 to 1.

        `micro` and each of `labels` have precision, recall, f1 and support.
        """
        slot_value_f1 = self.slot_value_f1
        return {
            "rows": self.rows,
            "exact": self.exact,
            "exact_rate": round(self.exact_rate, 4),
            "invalid": self.invalid,
            "invalid_rate": round(self.invalid_rate, 4),
            "slot_value_f1": None if slot_value_f1 is None else round(slot_value_f1, 4),
            "micro": self.micro.facts,
            "labels": {name: score.facts for name, score in self.labels.items()},
            "sentence": self.sentence,
        }


def score_commands(
    pairs: Iterable[tuple[str, str]],
    dialect: Dialect,
    flows: Collection[str],
    slots: Mapping[str, Slot] | None = None,
) -> CommandScores:
    """Score (expected completion, predicted completion) of each row.

    Commands count as written, whether the runtime would leave them aside or not, and as often as written. Values are the same in the
    slot's type, and when only case, spacing or the spelling of a number differ. `flows` are those a user may start; without `slots`
    every slot is known.
    """
    rows = exact = invalid = 0
    right: Counter[str] = Counter()
    given: Counter[str] = Counter()
    wanted: Counter[str] = Counter()
    for expected, predicted in pairs:
        want, got = _units(expected, dialect, slots), _units(predicted, dialect, slots)
        rows += 1
        exact += want == got
        invalid += not is_valid(parse(predicted, dialect), flows, slots)
        for counter, units in ((right, want & got), (given, got), (wanted, want)):
            counter.update(name for name, _ in units.elements())
    names = sorted(given.keys() | wanted.keys(), key=lambda name: (-wanted[name], name))
    scores = {name: Score(right[name], given[name], wanted[name]) for name in names}
    return CommandScores(rows, exact, invalid, scores)


def is_valid(read: Parsed, flows: Collection[str], slots: Collection[str] | None = None) -> bool:
    """True when an answer holds commands and nothing else, with flows and slots that exist."""
    return bool(read.commands) and not read.dropped and all(_exists(command, flows, slots) for command in read.commands)


def _exists(command: Command, flows: Collection[str], slots: Collection[str] | None) -> bool:
    if isinstance(command, StartFlow):
        return command.flow in flows
    if isinstance(command, Clarify):
        return all(flow in flows for flow in command.flows)
    return not isinstance(command, SetSlot) or slots is None or command.name in slots


def _units(text: str, dialect: Dialect, slots: Mapping[str, Slot] | None) -> Counter[Unit]:
    commands = parse(text, dialect, drop_unknown_values=False).commands
    return Counter((label(command), _detail(command, slots)) for command in commands)


def _detail(command: Command, slots: Mapping[str, Slot] | None) -> Any:
    if isinstance(command, StartFlow):
        return command.flow
    if isinstance(command, Clarify):
        return frozenset(command.flows)
    if isinstance(command, SetSlot):
        slot = (slots or {}).get(command.name)
        return command.name, levelled_value(coerce(slot, command.value) if slot else command.value)
    return None
