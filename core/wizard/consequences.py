"""What a change of answers would undo, told before it is made."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from core.wizard.rents import usd_by_step
from core.wizard.session import Session
from core.wizard.spending import spent_by_step


@dataclass(frozen=True)
class Consequence:
    """A finished step that would have to run again."""

    step: str
    reason: str
    seconds: float
    """How long its last run took."""
    usd: float = 0.0
    """US dollars of one of its runs, on average."""


def consequences(session: Session, section: str, given: Mapping[str, Any]) -> list[Consequence]:
    """Finished steps that answers `given` to a section would make stale; none when an earlier run had these answers.

    Raises UsageError for answers that are wrong.
    """
    before = session.statuses()
    after = session.statuses({**session.answers, section: given})
    known = session.journal.runs()
    took = {(run.step, run.key): (run.ended or run.began) - run.began for run in known}
    runs = Counter(run.step for run in known)
    usd = Counter(spent_by_step(session.journal)) + Counter(usd_by_step(session.journal))
    return [
        Consequence(now.step, now.reason, took.get((then.step, then.key or ""), 0.0), usd.get(then.step, 0.0) / max(1, runs[then.step]))
        for then, now in zip(before, after, strict=True)
        if then.done and not now.done
    ]


def in_words(found: list[Consequence], titles: Mapping[str, str]) -> str:
    """ "Fine-tuning (epochs 1 → 2), Evaluation: again, about 12 min in all" """
    if not found:
        return ""
    first, *below = found
    steps = ", ".join([f"{titles[first.step]} ({first.reason})", *(titles[one.step] for one in below)])
    usd = sum(one.usd for one in found)
    return f"{steps} to run again: it took {duration(sum(one.seconds for one in found))}{f' and ${usd:.2f}' if usd else ''}"


def duration(seconds: float) -> str:
    """Seconds as people say them: "40 s", "12 min", "3 h 20 min"."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60:02d} min"
