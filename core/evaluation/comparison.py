"""A tuned model against the strong one it is to replace, on the same tests: as good but for a margin, worse, or not decided."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from core.evaluation.statistics import CONFIDENCE, MOST_TESTS, Decision, Interval, mcnemar, paired_difference

_ANSWERS: dict[Decision, str] = {"pass": "yes", "fail": "no", "inconclusive": "not decided"}


@dataclass(frozen=True)
class Comparison:
    """Two models' results on the tests that both ran. Shares are 0 to 1."""

    model: str
    """Name of the strong one."""
    both: int
    """Tests that both pass."""
    only_tuned: int
    only_strong: int
    neither: int
    left_out: int
    """Tests that only one of the two ran; they do not count."""
    margin: float
    """Share of tests by which the tuned model may be worse and still count as comparable."""
    confidence: float
    p_value: float
    """McNemar's, exact: how likely so uneven a result is between models that are equally good."""
    difference: float
    """Pass rate of the tuned model less that of the strong one, -1 to 1; 0 without tests."""
    interval: Interval
    """Of the difference."""
    verdict: Decision
    """"pass": comparable, the whole interval lies above -margin; "fail": worse, all of it lies below; else "inconclusive"."""

    @property
    def tests(self) -> int:
        return self.both + self.only_tuned + self.only_strong + self.neither

    @property
    def tuned_passed(self) -> int:
        return self.both + self.only_tuned

    @property
    def strong_passed(self) -> int:
        return self.both + self.only_strong

    def more_tests(self, most: int = MOST_TESTS) -> int | None:
        """How many more tests of the same proportions would decide; 0 when decided, None when `most` more would not."""
        if self.verdict != "inconclusive":
            return 0
        if not self.tests:
            return None

        def decided(more: int) -> bool:
            times = 1 + more / self.tests
            both, neither = times * self.both, times * self.neither
            interval = paired_difference(
                both, times * self.only_tuned, times * self.only_strong, neither, self.confidence
            )
            return _verdict(interval, self.margin) != "inconclusive"

        if not decided(most):
            return None
        return 1 + bisect_left(range(1, most), True, key=decided)

    @property
    def sentence(self) -> str:
        """The result in a line for the assistant's owner."""
        left_out = f"{_tests(self.left_out)} that only one of the models ran" if self.left_out else ""
        if not self.tests:
            return f"no test was run by both the tuned model and {self.model}" + (f"; {left_out}" if left_out else "")
        low, high = _points(self.interval.low), _points(self.interval.high)
        parts = [
            f"tuned passes {self.tuned_passed} of {self.tests}, {self.model} {self.strong_passed} of {self.tests}",
            f"difference {_points(self.difference)} points ({100 * self.confidence:g} %: {low} to {high})",
            f"comparable within {100 * self.margin:g} points: {_ANSWERS[self.verdict]}",
        ]
        return "; ".join([*parts, f"{left_out}, left out"] if left_out else parts)

    @property
    def facts(self) -> dict[str, Any]:
        """JSON-ready: every field by its name (interval as `{low, high}`), and `tests`, `tuned_passed`, `strong_passed`, `sentence`."""
        return {
            **asdict(self),
            "tests": self.tests,
            "tuned_passed": self.tuned_passed,
            "strong_passed": self.strong_passed,
            "sentence": self.sentence,
        }

    @classmethod
    def from_facts(cls, facts: Mapping[str, Any]) -> Comparison:
        """The comparison that `facts` were written of."""
        fields = {name: facts[name] for name in cls.__dataclass_fields__}
        return cls(**{**fields, "interval": Interval(**facts["interval"])})


def compare(
    tuned: Mapping[str, bool],
    strong: Mapping[str, bool],
    model: str,
    margin: float,
    confidence: float = CONFIDENCE,
) -> Comparison:
    """Compare results by test id, "passed" as True. `margin` is the share of tests, 0 to 1, that the tuned model may be worse."""
    common = tuned.keys() & strong.keys()
    both = sum(tuned[test] and strong[test] for test in common)
    only_tuned = sum(tuned[test] and not strong[test] for test in common)
    only_strong = sum(strong[test] and not tuned[test] for test in common)
    neither = len(common) - both - only_tuned - only_strong
    interval = paired_difference(both, only_tuned, only_strong, neither, confidence)
    return Comparison(
        model,
        both,
        only_tuned,
        only_strong,
        neither,
        left_out=len(tuned.keys() ^ strong.keys()),
        margin=margin,
        confidence=confidence,
        p_value=mcnemar(only_tuned, only_strong),
        difference=(only_tuned - only_strong) / len(common) if common else 0.0,
        interval=interval,
        verdict=_verdict(interval, margin),
    )


def _verdict(interval: Interval, margin: float) -> Decision:
    if interval.low > -margin:
        return "pass"
    return "fail" if interval.high < -margin else "inconclusive"


def _points(share: float) -> str:
    """Percentage points, with a proper minus sign and no minus before nothing."""
    return f"{round(100 * share, 1) + 0.0:.1f}".replace("-", "−")


def _tests(number: int) -> str:
    return f"{number} test{'' if number == 1 else 's'}"
