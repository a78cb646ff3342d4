"""Every error calmtune raises on purpose, and the exit code of each branch.

CalmtuneError
├── StepFailed             1  a step ran and failed
├── UsageError             2  wrong command line, configuration or answers
│   └── ProblemsError      2  a list of problems, each with file and line
├── ProviderError          3  an endpoint, hub or machine could not be reached; try again
├── DeadlineError          4  a time limit was reached
├── GateFailed             5  everything ran; the result is not good enough
├── BudgetReached          6  the money limit was reached
└── Interrupted            7  the outcome is unknown

Messages are sentences: what is wrong, where, what to do. Ctrl-C, SIGTERM and SIGHUP exit with 130.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

MOST_SHOWN = 200
"""Problems a message lists; the rest are counted."""


class CalmtuneError(Exception):
    """Base of all expected errors; the message is written for the person at the terminal."""

    exit_code = 1


class StepFailed(CalmtuneError):
    """A step of the recipe ran and failed."""


class UsageError(CalmtuneError):
    """The command line, a configuration file or the answers are wrong."""

    exit_code = 2


class ProviderError(CalmtuneError):
    """An endpoint, hub or machine could not be reached or refused; trying again may help."""

    exit_code = 3


class DeadlineError(CalmtuneError):
    """A time limit was reached."""

    exit_code = 4


class GateFailed(CalmtuneError):
    """Everything ran, but the result is below a gate."""

    exit_code = 5


class BudgetReached(CalmtuneError):
    """The money limit was reached; what is done is kept."""

    exit_code = 6


class Interrupted(CalmtuneError):
    """A job ended without saying how; its outcome is unknown."""

    exit_code = 7


@dataclass(frozen=True, order=True)
class Problem:
    """One thing wrong (or odd) in a file a person wrote."""

    file: str
    """Path as the person would write it, relative to the project where possible."""
    line: int
    """First line concerned, counted from 1; 0 when the file as a whole is meant."""
    message: str
    """A sentence: what is wrong and what to do."""
    severity: str = "error"
    """"error" stops the work, "warning" is shown and the work goes on."""

    def __str__(self) -> str:
        where = f"{self.file}:{self.line}" if self.line else self.file
        return f"{where}: {self.message}"


def errors_among(problems: Iterable[Problem]) -> tuple[Problem, ...]:
    """The problems that stop the work, without warnings."""
    return tuple(problem for problem in problems if problem.severity == "error")


class ProblemsError(UsageError):
    """Files with problems; reports all of them at once, sorted by file and line."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = sorted(set(problems))
        more = len(self.problems) - MOST_SHOWN
        shown = [str(problem) for problem in self.problems[:MOST_SHOWN]]
        super().__init__("\n".join([*shown, *([f"and {more:,} more problems"] if more > 0 else [])]))
