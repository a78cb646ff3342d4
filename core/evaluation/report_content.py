"""What a report says, as values: numbers as they were measured, texts as they were written. Knows nothing of sessions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Outcome = Literal["pass", "fail", "inconclusive"]
Points = tuple[tuple[int, float], ...]
"""(step, loss), finite, by step."""


@dataclass(frozen=True)
class Verdict:
    """The one line to read when there is time for one."""

    state: Literal["ready", "failed", "unfinished"]
    sentence: str


@dataclass(frozen=True)
class StepLine:
    """Where a step stands."""

    id: str
    title: str
    state: str
    """As the session derives it: fresh, gate failed, stale, running, interrupted, failed, ready, blocked."""
    reason: str = ""
    seconds: float | None = None
    """How long its run took; None while it has none."""

    @property
    def done(self) -> bool:
        return self.state in ("fresh", "gate failed")


@dataclass(frozen=True)
class GateLine:
    """A bar, and what was measured against it."""

    step: str
    """Title of its step."""
    name: str
    required: str
    measured: str
    passed: bool
    verdict: Outcome
    detail: str = ""


@dataclass(frozen=True)
class PassRate:
    """How a model did on one set of tests."""

    name: str
    """validation, training or golden."""
    tests: int
    passed: int
    rate: float
    """0 to 1."""
    interval: tuple[float, float] | None = None
    """Where the true rate lies, 0 to 1."""
    minimum: float | None = None
    verdict: Outcome | None = None
    more_tests: int | None = None
    """How many more tests would settle an inconclusive one."""
    repeats: int = 1
    pass_hat: Mapping[str, float] = field(default_factory=dict)
    """k → share of tests that pass k times out of k."""
    flaky: tuple[str, ...] = ()
    """Ids of tests that passed in some repeats only."""
    turns: int = 0
    exact_turns: int = 0
    """Turns whose commands are exactly those expected."""
    invalid_turns: int | None = None
    """Turns whose completion is no command at all."""


@dataclass(frozen=True)
class Speed:
    """What one model takes a turn."""

    model: str
    p50: float | None = None
    """Seconds of a call, as p90 and p99."""
    p90: float | None = None
    p99: float | None = None
    prompt_tokens: float | None = None
    """Mean of a turn, as completion_tokens."""
    completion_tokens: float | None = None
    usd_per_1000_turns: float | None = None
    tests: int | None = None
    passed: int | None = None
    at_once: int | None = None
    """Requests under way at a time while it was measured."""


@dataclass(frozen=True)
class Case:
    """A turn that went wrong."""

    test: str
    turn: int | None
    line: int | None
    user: str
    expected: str | None
    """None where nothing is known: another way led there."""
    predicted: str
    cause: str = ""
    flow: str = ""
    command: str = ""
    reason: str = ""
    """What the test complains about."""
    conversation: tuple[str, ...] = ()


@dataclass(frozen=True)
class Failures:
    """What went wrong in one set of tests."""

    name: str
    causes: Mapping[str, int] = field(default_factory=dict)
    flows: Mapping[str, int] = field(default_factory=dict)
    commands: Mapping[str, int] = field(default_factory=dict)
    next_step: str = ""
    """What to do next, as a sentence."""
    cases: tuple[Case, ...] = ()
    tests: tuple[str, ...] = ()
    """Names of the failed tests."""


@dataclass(frozen=True)
class Comparison:
    """Both models on the same tests."""

    model: str
    """Name of the strong one."""
    both: int
    only_tuned: int
    only_strong: int
    neither: int
    tests: int
    difference: float | None = None
    """Pass rate of the tuned model less that of the strong one, -1 to 1."""
    interval: tuple[float, float] | None = None
    margin: float | None = None
    """How much worse the tuned model may be, 0 to 1."""
    p_value: float | None = None
    verdict: str = ""
    sentence: str = ""
    flaky: tuple[str, ...] = ()
    """Ids of tests that do not always pass with the strong model."""
    steady: tuple[int, int] | None = None
    """(passed, tests) of the tuned model without those."""


@dataclass(frozen=True)
class Grammar:
    """Tests with completions free, or held to the grammar of commands."""

    held: bool
    invalid_turns: int
    passed: int
    tests: int


@dataclass(frozen=True)
class Evaluation:
    """Everything one evaluation of a model found."""

    step: str
    """Title of its step."""
    note: str = ""
    """What its numbers mean."""
    rates: tuple[PassRate, ...] = ()
    failures: tuple[Failures, ...] = ()
    comparison: Comparison | None = None
    tuned: Speed | None = None
    strong: Speed | None = None
    grammar: tuple[Grammar, ...] = ()


@dataclass(frozen=True)
class LossCurve:
    """Losses of one training; what has very many points is thinned."""

    title: str
    train: Points
    smooth: Points
    """Moving average of all training losses."""
    validation: Points
    best: tuple[int, float] | None = None
    """(step, loss) of the lowest validation loss."""
    diagnosis: str = ""


@dataclass(frozen=True)
class CommandScore:
    """How well one command is predicted; shares are 0 to 1."""

    command: str
    precision: float
    recall: float
    f1: float
    support: int


@dataclass(frozen=True)
class CommandScores:
    """Validation rows, command by command."""

    rows: int
    exact_rate: float | None = None
    invalid_rate: float | None = None
    slot_value_f1: float | None = None
    micro_f1: float | None = None
    commands: tuple[CommandScore, ...] = ()


@dataclass(frozen=True)
class Training:
    """A training and its curves."""

    facts: Mapping[str, str]
    """Label → text."""
    curves: tuple[LossCurve, ...] = ()
    scores: CommandScores | None = None


@dataclass(frozen=True)
class FlowCoverage:
    """How much of a flow passing tests reach."""

    flow: str
    file: str
    coverage: float
    """0 to 1."""
    steps: int
    missing: int
    lines: tuple[tuple[int, int], ...]
    """First and last line of what is missing."""


@dataclass(frozen=True)
class NotPassed:
    """A test that does not pass, with the reason."""

    test: str
    reason: str


@dataclass(frozen=True)
class Coverage:
    """What the tests cover."""

    total: float
    """0 to 1."""
    passed: int
    failed: tuple[NotPassed, ...]
    undecided: tuple[NotPassed, ...]
    flows: tuple[FlowCoverage, ...]
    commands: Mapping[str, int]
    commands_from: str = ""


@dataclass(frozen=True)
class Side:
    """One part of the split; rows None where it has none by design."""

    name: str
    tests: int
    rows: int | None


@dataclass(frozen=True)
class Leakage:
    """How near held-out tests are to those trained on."""

    nearest: float | None
    """Distance of the nearest pair of tests: 0 for the same texts, 1 for nothing in common."""
    median: float | None
    """Of the distances from each held-out test to the nearest one that was trained on."""
    pairs: tuple[str, ...] = ()
    """The nearest pairs, as texts."""


@dataclass(frozen=True)
class Dataset:
    """The account of a data preparation."""

    input_tests: int
    annotated_tests: int
    messages: int
    derived: Mapping[str, int]
    """Kind → conversations made of the tests."""
    wordings_from: str
    checked_by: str
    candidates: int
    kept: int
    rejected: int
    rejected_share: Mapping[str, float]
    """Reason → share of the candidates."""
    data_points: int
    sides: tuple[Side, ...]
    left_out: int = 0
    """Rows on no side."""
    thin: Mapping[str, int] = field(default_factory=dict)
    """Command, flow or slot → in how few tests it is."""
    leakage: Leakage | None = None
    """Of validation."""
    golden_leakage: Leakage | None = None
    known_messages: float | None = None
    """Share of validation messages that train holds too."""
    shared_beginning: float | None = None
    """Share of prompts that is the same from the beginning."""
    commands: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    """Command → rows in train, rows in validation."""


@dataclass(frozen=True)
class Deployment:
    """Where the model is served, and the first conversation with it."""

    facts: Mapping[str, str]
    conversation: tuple[str, ...] = ()


@dataclass(frozen=True)
class Spent:
    """What a step took."""

    step: str
    seconds: float | None
    usd: float | None
    """For language models asked; None where nothing was told."""
    machines_usd: float | None = None
    """For rented machines; None where none was."""
    foretold: str = ""
    """Minutes and dollars as planned before; "" without a plan."""


@dataclass(frozen=True)
class Reproducibility:
    """What it takes to get the same again."""

    facts: Mapping[str, str]
    libraries: Mapping[str, str]
    """Name → version."""
    settings: Mapping[str, str]
    digests: Mapping[str, str]
    """Step → SHA-256 of what it left."""
    model_files: Mapping[str, str]
    """File → SHA-256."""
    answers: str
    """Content of the answers file, without secrets."""


@dataclass(frozen=True)
class Report:
    """The report of a session, whatever of it is done so far."""

    assistant: str
    session: str
    date: str
    """ISO 8601, with the zone."""
    version: str
    """Of calmtune."""
    verdict: Verdict
    steps: tuple[StepLine, ...]
    reproducibility: Reproducibility
    gates: tuple[GateLine, ...] = ()
    evaluations: tuple[Evaluation, ...] = ()
    training: Training | None = None
    coverage: Coverage | None = None
    dataset: Dataset | None = None
    deployment: Deployment | None = None
    spent: tuple[Spent, ...] = ()
    left_out: tuple[str, ...] = ()
    """What could not be read, as sentences."""
