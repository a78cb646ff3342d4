"""What rows teach: commands, flows and slots, counted. The split keeps each of them in train, the gates check it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from core.dataset.points import DataPoint
from core.dialogue.commands import Command, SetSlot, StartFlow
from core.e2e.coverage import label


def inventory(points: Iterable[DataPoint]) -> Counter[str]:
    """Name → rows that hold it: "command set slot" for each type, "flow book_pickup" for each flow that is started,
    "slot pickup_day" for each slot that is set."""
    held: Counter[str] = Counter()
    for point in points:
        held.update(names(point.commands))
    return held


def combinations(points: Iterable[DataPoint]) -> Counter[str]:
    """All that a row holds, as one name → rows that hold just that; rows with a single command are left out."""
    return Counter(", ".join(sorted(names(point.commands))) for point in points if len(point.commands) > 1)


def names(commands: Sequence[Command]) -> set[str]:
    """What commands teach, by the names of `inventory`."""
    found = {f"command {label(command)}" for command in commands}
    found |= {f"flow {command.flow}" for command in commands if isinstance(command, StartFlow)}
    return found | {f"slot {command.name}" for command in commands if isinstance(command, SetSlot)}


def of_kind(held: Counter[str], kind: str) -> dict[str, int]:
    """The entries of one kind ("command", "flow", "slot") without it, sorted by name."""
    return {name.partition(" ")[2]: held[name] for name in sorted(held) if name.partition(" ")[0] == kind}
