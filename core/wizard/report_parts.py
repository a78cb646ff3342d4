"""The parts of a report, each out of the summary of a step: old sessions know less, and what is not there is left out."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from core.evaluation.report_content import (
    Case,
    CommandScore,
    CommandScores,
    Comparison,
    Coverage,
    Dataset,
    Deployment,
    Evaluation,
    Failures,
    FlowCoverage,
    Grammar,
    Leakage,
    LossCurve,
    NotPassed,
    Outcome,
    PassRate,
    Points,
    Side,
    Speed,
    Training,
)
from core.training.metrics import Curves, averaged
from core.training.plan import adapter_in_words, artifact_in_words
from core.training.planner import dollars_in_words, minutes_in_words
from core.wizard.session import StepStatus
from core.wizard.training_plan import FILE as PLAN

SETS = ("validation", "golden", "training")
MOST_POINTS = 1200
"""Points of one curve; of more, the lowest and highest of each part are kept."""
Facts = Mapping[str, Any]
"""The summary of a step, or a part of one."""
_TUNED = "tuned model"
_GOLDEN = "The golden tests were learnt by no model of this session: they judge the final one."
_LEARNT = "The final model learnt validation tests too: they show that nothing broke, not how it does on what it has not seen."


def summary(status: StepStatus) -> Facts:
    assert status.outputs is not None
    return status.outputs.summary


def file_of(status: StepStatus, name: str, otherwise: str) -> Path:
    """A file of a finished step; `otherwise` its usual place where the outputs do not name it."""
    assert status.outputs is not None
    assert status.folder is not None
    return status.folder / status.outputs.files.get(name, otherwise)


def coverage(status: StepStatus) -> Coverage:
    facts = summary(status)
    flows = tuple(
        FlowCoverage(
            flow["flow"],
            flow["file"],
            float(flow["coverage"]),
            flow["steps"],
            flow["missing"],
            tuple((first, last) for first, last in flow["lines"]),
        )
        for flow in facts["flows"]
    )

    def tests(name: str) -> tuple[NotPassed, ...]:
        return tuple(NotPassed(entry["test"], entry.get("reason", "")) for entry in facts[name])

    return Coverage(
        float(facts["total"]),
        len(facts["passed"]),
        tests("failed"),
        tests("undecided"),
        flows,
        dict(facts["commands"]),
        Path(facts.get("commands_from", "")).name,
    )


def dataset(status: StepStatus) -> Dataset:
    facts = summary(status)
    annotation, wordings, split = facts["command_annotation"], facts["rephrasing"], facts["split"]
    rows = facts.get("llm_data", {})
    sides = [
        Side("train", split["train_tests"], split["train_points"]),
        Side("validation", split["val_tests"], split["val_points"]),
    ]
    golden = split.get("golden_tests", len(facts.get("golden_test_ids", ())))
    if golden:
        sides.append(Side("golden", golden, None))
    train, validation = (split.get("command_types", {}).get(side, {}) for side in ("train", "validation"))
    commands = {name: (train.get(name, 0), validation.get(name, 0)) for name in {**train, **validation}}
    return Dataset(
        annotation.get("input_tests", annotation["passing"]),
        annotation["passing"],
        annotation["annotated_user_steps"],
        annotation.get("derived", {}),
        Path(wordings["source"]).name,
        wordings["checked_by"],
        wordings["candidates"],
        wordings["passing"],
        wordings["failed"],
        wordings.get("rejected_share", {}),
        rows.get("data_points", split["train_points"] + split["val_points"]),
        tuple(sides),
        split.get("left_out_points", 0),
        split.get("thin", {}),
        _leakage(split.get("leakage")),
        _leakage(split.get("golden_leakage")),
        split.get("val_messages_known_from_train"),
        rows.get("shared_beginning"),
        dict(sorted(commands.items(), key=lambda entry: (-sum(entry[1]), entry[0]))),
    )


def _leakage(found: Facts | None) -> Leakage | None:
    if not found or found.get("nearest") is None:
        return None
    return Leakage(found["nearest"], found.get("median"), tuple(map(_pair, found.get("pairs", ()))))


def _pair(pair: Facts) -> str:
    return f"{100 * (1 - pair['distance']):.0f} % alike: {pair['held_out']} and {pair['train']}"


def training(status: StepStatus) -> Training:
    facts = summary(status)
    settings, ratio = facts["settings"], facts["unique_token_ratio"]
    shown = {
        "Base model": str(facts["base_model"]),
        "Rows": f"{facts['rows']:,}, {settings['rows_per_step']} a step, {facts['steps']:,} steps",
        "Adapter": adapter_in_words(settings),
        "Leaves": artifact_in_words(facts.get("artifact", "merged")),
        "Shared prefixes": f"each prompt token computed once instead of {ratio} times",
    }
    curve = loss_curve(file_of(status, "metrics", "metrics.jsonl"), "Loss", facts.get("diagnosis", ""))
    scores = _scores(facts["command_scores"]) if facts.get("command_scores") else None
    return Training(shown, (curve,) if curve else (), scores)


def foretold(status: StepStatus | None) -> str:
    """What the plan of a training said before it ran: "12–20 min, $4.10–6.90"; "" without a plan or a known machine."""
    path = file_of(status, "plan", PLAN) if status is not None and status.outputs is not None else None
    if path is None or not path.is_file():
        return ""
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
    except ValueError:  # damaged: the report goes without
        return ""
    return ", ".join(filter(None, (minutes_in_words(told.get("minutes")), dollars_in_words(told.get("usd")))))


def loss_curve(path: Path, title: str, diagnosis: str = "") -> LossCurve | None:
    """The curve of a metrics file; None where there is none, or no loss in it."""
    if not path.is_file():
        return None
    curves = Curves()
    for line in path.read_text(encoding="utf-8").splitlines():
        values = json.loads(line)
        curves.add({"step": values.pop("step"), "values": values})
    train = _finite(curves.train)
    smooth = tuple(zip((step for step, _ in train), averaged(loss for _, loss in train), strict=True))
    validation = _finite(curves.validation)
    if not train and not validation:
        return None
    best = min(validation, key=lambda point: point[1], default=None)
    return LossCurve(title, _thinned(train), _thinned(smooth), _thinned(validation), best, diagnosis)


def _finite(points: Sequence[tuple[int, float]]) -> Points:
    return tuple((step, loss) for step, loss in points if math.isfinite(loss))


def _thinned(points: Points) -> Points:
    if len(points) <= MOST_POINTS:
        return tuple((step, float(f"{loss:.5g}")) for step, loss in points)
    part = math.ceil(2 * len(points) / MOST_POINTS)
    parts = [points[at : at + part] for at in range(0, len(points), part)]
    kept = {end(some, key=lambda point: point[1]) for some in parts for end in (min, max)}
    return _thinned(tuple(sorted(kept)))


def _scores(facts: Facts) -> CommandScores:
    labels = facts.get("labels") or facts.get("commands") or {}
    commands = tuple(
        CommandScore(label, one["precision"], one["recall"], one["f1"], one["support"]) for label, one in labels.items()
    )
    return CommandScores(
        facts["rows"],
        facts.get("exact_rate"),
        facts.get("invalid_rate"),
        facts.get("slot_value_f1"),
        facts["micro"]["f1"] if facts.get("micro") else facts.get("micro_f1"),
        tuple(sorted(commands, key=lambda one: (-one.support, one.command))),
    )


def evaluation(status: StepStatus, title: str) -> Evaluation:
    """Of the step evaluation or production."""
    facts = summary(status)
    sets = [name for name in SETS if isinstance(facts.get(name), Mapping)]
    note = ""
    if status.step == "production" and sets:
        note = _GOLDEN if "golden" in sets else _LEARNT
    compared, strong = facts.get("comparison"), facts.get("strong")
    grammar = facts.get("grammar") or {}
    return Evaluation(
        title,
        note,
        tuple(_rate(name, facts[name]) for name in sets),
        tuple(failed for name in sets if (failed := _failures(name, facts[name], status))),
        _comparison(compared, facts.get(sets[0], {}).get("without_flaky_on_strong")) if compared and sets else None,
        _tuned(facts, sets),
        _speed(strong["model"], strong) if strong else None,
        tuple(
            Grammar(name == "with", grammar[name]["invalid_turns"], grammar[name]["passed"], grammar[name]["tests"])
            for name in ("without", "with")
            if name in grammar
        ),
    )


def _rate(name: str, found: Facts) -> PassRate:
    tests, passed = found["tests"], found["passed"]
    rate = found.get("rate")
    return PassRate(
        name,
        tests,
        passed,
        rate if rate is not None else passed / tests if tests else 0.0,
        _interval(found.get("interval")),
        found.get("minimum"),
        outcome(found.get("verdict")),
        found.get("more_tests"),
        found.get("repeats", 1),
        {str(k): share for k, share in found.get("pass_hat", {}).items()},
        tuple(found.get("flaky", ())),
        found.get("turns", 0),
        found.get("turns_exactly_as_expected", 0),
        found.get("invalid_turns"),
    )


def outcome(verdict: Any) -> Outcome | None:
    return cast(Outcome, verdict) if verdict in ("pass", "fail", "inconclusive") else None


def _interval(found: Any) -> tuple[float, float] | None:
    """Of `[low, high]` or `{low, high}`."""
    if not found:
        return None
    low, high = (found["low"], found["high"]) if isinstance(found, Mapping) else found
    return float(low), float(high)


def _failures(name: str, found: Facts, status: StepStatus) -> Failures | None:
    tests, told = tuple(map(str, found.get("failed", ()))), found.get("failures") or {}
    cases = [_case(case) for case in told["cases"]] if "cases" in told else list(_wrong_turns(name, status))
    if not tests and not cases:
        return None
    return Failures(
        name,
        dict(told.get("causes", {})),
        dict(told.get("flows", {})),
        dict(told.get("commands", {})),
        str(told.get("next_step") or ""),
        tuple(cases),
        tests,
    )


def _wrong_turns(name: str, status: StepStatus) -> Iterator[Case]:
    """Turns of failed tests as an evaluation leaves them in a file."""
    path = file_of(status, "results", "results") / f"{name}_wrong_turns.jsonl"
    if path.is_file():
        for line in path.read_text(encoding="utf-8").splitlines():
            yield _case(json.loads(line))


def _case(found: Facts) -> Case:
    expected = found.get("expected")
    return Case(
        str(found["test"]),
        found.get("turn"),
        found.get("line"),
        str(found.get("user") or ""),
        None if expected is None else str(expected),
        str(found.get("predicted") or ""),
        str(found.get("cause") or ""),
        str(found.get("flow") or ""),
        str(found.get("command") or ""),
        str(found.get("reason") or ""),
        tuple(map(str, found.get("conversation", ()))),
    )


def _comparison(found: Facts, steady: Facts | None) -> Comparison:
    counts = {name: found[name] for name in ("both", "only_tuned", "only_strong", "neither")}
    return Comparison(
        found["model"],
        **counts,
        tests=found.get("tests", sum(counts.values())),
        difference=found.get("difference"),
        interval=_interval(found.get("interval")),
        margin=found.get("margin"),
        p_value=found.get("p_value"),
        verdict=str(found.get("verdict", "")),
        sentence=str(found.get("sentence", "")),
        flaky=tuple(found.get("flaky", ())),
        steady=(steady["passed"], steady["tests"]) if steady else None,
    )


def _tuned(facts: Facts, sets: Sequence[str]) -> Speed | None:
    """What a turn takes, from the first set of tests that tells: the unseen ones stand for what users will write."""
    for name in sets:
        found = facts[name]
        if found.get("latency"):
            return _speed(_TUNED, found)
        if found.get("median_seconds_per_turn"):
            return Speed(_TUNED, found["median_seconds_per_turn"], tests=found["tests"], passed=found["passed"])
    return None


def _speed(model: str, found: Facts) -> Speed:
    latency, tokens = found.get("latency") or {}, found.get("tokens") or {}
    return Speed(
        str(model),
        latency.get("p50"),
        latency.get("p90"),
        latency.get("p99"),
        tokens.get("prompt"),
        tokens.get("completion"),
        found.get("usd_per_1000_turns"),
        found.get("tests"),
        found.get("passed"),
        found.get("requests_at_once"),
    )


def deployment(status: StepStatus, connection: StepStatus) -> Deployment:
    """Where the model is served, and what the connection showed if it is done."""
    facts = summary(status)
    shown = {
        "Endpoint": str(facts["endpoint"]),
        "Machine": str(facts.get("machine", "local")),
        "Model server": str(facts["engine"]),
        "Model": str(facts["model"]),
        "Key": "needed" if facts.get("needs_key") else "none",
    }
    if exported := facts.get("export"):
        shown["Exported to"] = str(exported["place"])
    if connection.outputs is None:
        return Deployment(shown)
    connected = summary(connection)
    shown["Changed"] = ", ".join(connected["changed"]) or "a copy of the assistant in the session"
    return Deployment(shown, tuple(map(str, connected["conversation"])))
