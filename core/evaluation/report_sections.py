"""The chapters of a report about the model: is it good enough, where does it fail, how was it trained."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping

from core.evaluation.report_account import (
    coverage_section,
    dataset_section,
    deployment_section,
    not_done,
    reproducibility_section,
    spending_section,
)
from core.evaluation.report_ascii import difference_letters, loss_letters
from core.evaluation.report_blocks import (
    Block,
    Card,
    Cases,
    Cell,
    Detailed,
    Facts,
    Figure,
    Heading,
    Paragraph,
    Picture,
    Section,
    Table,
)
from core.evaluation.report_charts import bar, difference_chart, interval_bar, is_logarithmic, loss_chart
from core.evaluation.report_content import (
    Case,
    CommandScores,
    Comparison,
    Evaluation,
    Failures,
    Grammar,
    LossCurve,
    PassRate,
    Report,
    Speed,
)
from core.evaluation.report_words import (
    NOTHING,
    between,
    count,
    dollars,
    duration,
    named,
    percent,
    plural,
    points,
    seconds,
    signed,
    state_badge,
    tone_of,
    verdict_badge,
)
from core.evaluation.statistics import CONFIDENCE

_SURE = f"{100 * CONFIDENCE:g}\u00a0%"
MOST_CASES = 25
"""Turns shown of one set of tests; the JSON has all."""


def sections(report: Report) -> tuple[Section, ...]:
    """Every chapter, those without content saying why."""
    return (
        _progress(report),
        _results(report),
        _failures(report),
        _training(report),
        coverage_section(report),
        dataset_section(report),
        deployment_section(report),
        spending_section(report),
        reproducibility_section(report),
    )


def cards(report: Report) -> tuple[Card, ...]:
    """The figures to be seen first, as far as they are there."""
    return tuple(_cards(report))


def _cards(report: Report) -> Iterator[Card]:
    rates: dict[str, PassRate] = {}
    for evaluation in report.evaluations:
        for rate in evaluation.rates:
            rates.setdefault(rate.name, rate)  # tests that the final model learnt say more about the one before it
    yield from (_rate_card(rate) for rate in rates.values() if rate.tests)
    for compared in [one.comparison for one in report.evaluations if one.comparison is not None][-1:]:
        if compared.difference is not None:
            note = f"pass rate against {compared.model}"
            yield Card("Beside the strong model", points(compared.difference), note, tone_of(compared.verdict))
    both = [evaluation for evaluation in report.evaluations if evaluation.strong is not None]
    for evaluation in (both or report.evaluations)[-1:]:
        tuned, strong = evaluation.tuned, evaluation.strong
        if tuned is not None and tuned.p50 is not None:
            other = "median" if tuned.at_once is None else f"median, {plural(tuned.at_once, 'request')} at once"
            if strong is not None and strong.p50 is not None:
                other = f"strong model {seconds(strong.p50)}"
            yield Card("Seconds a turn", seconds(tuned.p50), other)
        if tuned is not None and tuned.usd_per_1000_turns is not None:
            price = strong.usd_per_1000_turns if strong is not None else None
            other = f"strong model {dollars(price)}" if price is not None else ""
            yield Card("Per 1,000 turns", dollars(tuned.usd_per_1000_turns), other)
    if not report.evaluations and report.coverage is not None:
        yield Card("Flow steps covered", percent(report.coverage.total), f"by {plural(report.coverage.passed, 'test')}")
    if not report.evaluations and report.dataset is not None:
        rows = sum(side.rows or 0 for side in report.dataset.sides)
        yield Card("Rows prepared", count(rows), f"from {plural(report.dataset.annotated_tests, 'test')}")


def _rate_card(rate: PassRate) -> Card:
    note = f"{rate.passed:,} of {rate.tests:,}"
    if rate.interval is not None:
        note += f", {_SURE} interval {between(rate.interval)}"
    return Card(f"{rate.name.capitalize()} tests passed", percent(rate.rate), note, tone_of(rate.verdict))


# Progress


def _progress(report: Report) -> Section:
    rows: list[tuple[Cell, ...]] = [
        (f"{number}. {step.title}", state_badge(step.state), step.reason or NOTHING, duration(step.seconds))
        for number, step in enumerate(report.steps, 1)
    ]
    gates: list[tuple[Cell, ...]] = [
        (
            gate.step,
            gate.name,
            gate.required,
            Detailed(gate.measured, gate.detail) if gate.detail else gate.measured,
            verdict_badge(gate.verdict),
        )
        for gate in report.gates
    ]
    header = ("Step", "Gate", "Required", "Measured", "Verdict")
    board: Block = (
        Table(header, tuple(gates), "Scoreboard", wide=3) if gates else Paragraph("No gate was measured yet.", "quiet")
    )
    steps = Table(("Step", "State", "Why", "Took"), tuple(rows), "Steps", frozenset({3}), wide=2)
    return Section("gates", "Gates and steps", (board, steps))


# Results


def _results(report: Report) -> Section:
    found = [evaluation for evaluation in report.evaluations if evaluation.rates]
    if not found:
        return Section("results", "Test results", (not_done(report, "evaluation"),))
    blocks: list[Block] = []
    for evaluation in found:
        if len(report.evaluations) > 1:
            blocks.append(Heading(evaluation.step))
        blocks += _evaluation(evaluation)
    return Section("results", "Test results", tuple(blocks))


def _evaluation(evaluation: Evaluation) -> Iterator[Block]:
    if evaluation.note:
        yield Paragraph(evaluation.note)
    yield _rates(evaluation.rates)
    for rate in evaluation.rates:
        yield from _repeats(rate)
    if evaluation.comparison is not None:
        yield from _comparison(evaluation.comparison)
    if speeds := [speed for speed in (evaluation.tuned, evaluation.strong) if speed is not None]:
        yield _speeds(speeds)
    if evaluation.grammar:
        yield _grammar(evaluation.grammar)


def _rates(rates: tuple[PassRate, ...]) -> Table:
    rows: list[tuple[Cell, ...]] = []
    for rate in rates:
        turns = NOTHING
        if rate.turns:
            turns = f"{rate.exact_turns:,} of {rate.turns:,} exactly"
        if rate.invalid_turns is not None:
            turns += f", {rate.invalid_turns:,} invalid"
        passed = Detailed(percent(rate.rate), f"{rate.passed:,} of {rate.tests:,}") if rate.tests else "no tests"
        drawing = Picture(interval_bar(rate, tone_of(rate.verdict)), between(rate.interval))
        required = NOTHING if rate.minimum is None else f"≥ {percent(rate.minimum)}"
        rows.append((rate.name.capitalize(), drawing, passed, required, turns, verdict_badge(rate.verdict)))
    header = ("Tests", "Interval", "Passed", "Required", "Messages", "Verdict")
    note = f"Bar: tests passed. Whisker: the {_SURE} interval of the true rate. Dashed line: what is required."
    return Table(header, tuple(rows), "Pass rates", frozenset({3}), 1, note=note)


def _repeats(rate: PassRate) -> Iterator[Block]:
    """What several runs of the same tests showed."""
    parts = []
    if rate.repeats > 1:
        parts.append(f"each of the {rate.name} tests ran {rate.repeats} times")
        if rate.pass_hat:
            parts.append(", ".join(f"{percent(share)} pass {k} of {k}" for k, share in rate.pass_hat.items()))
    if rate.flaky:
        parts.append(f"sometimes passing, sometimes not: {named(rate.flaky)}")
    if rate.verdict == "inconclusive" and rate.more_tests:
        parts.append(f"about {rate.more_tests:,} more {rate.name} tests would settle the verdict")
    if parts:
        text = "; ".join(parts)
        yield Paragraph(f"{text[0].upper()}{text[1:]}.")


def _comparison(found: Comparison) -> Iterator[Block]:
    title = f"Beside {found.model}"
    if found.difference is not None and found.interval is not None:
        low, high = found.interval
        caption = f"Tuned model less {found.model}: {points(found.difference)}, {_SURE} interval {signed(low)} to {signed(high)}."
        if found.margin:
            caption += f" Dashed line: {100 * found.margin:g} points worse, the most that is allowed."
        drawn = (found.difference, found.interval, found.margin)
        yield Figure(title, difference_chart(*drawn), caption, letters=difference_letters(*drawn))
        title = ""
    if found.sentence:
        yield Paragraph(found.sentence)
    rows: tuple[tuple[Cell, ...], ...] = (
        ("Tuned model passes", count(found.both), count(found.only_tuned)),
        ("Tuned model fails", count(found.only_strong), count(found.neither)),
    )
    note = f"{plural(found.tests, 'test')} played with both models"
    if found.p_value is not None:
        note += f"; p = {found.p_value:.3g}"
    if found.flaky:
        note += f". Do not always pass with {found.model}: {named(found.flaky)}"
    if found.flaky and found.steady is not None:
        note += f"; without them the tuned model passes {found.steady[0]:,} of {found.steady[1]:,}"
    header = ("Tests", f"{found.model} passes", f"{found.model} fails")
    yield Table(header, rows, title, frozenset({1, 2}), stacks=False, note=f"{note}.")


def _speeds(speeds: list[Speed]) -> Table:
    rows: list[tuple[Cell, ...]] = [
        (
            speed.model,
            seconds(speed.p50),
            seconds(speed.p90),
            seconds(speed.p99),
            count(speed.prompt_tokens),
            count(speed.completion_tokens),
            dollars(speed.usd_per_1000_turns),
        )
        for speed in speeds
    ]
    header = ("Model", "p50", "p90", "p99", "Prompt tokens", "Completion tokens", "$ per 1,000 turns")
    told = [at for at in range(len(header)) if any(row[at] != NOTHING for row in rows)]
    loads = dict.fromkeys(speed.at_once for speed in speeds if speed.at_once is not None)
    load = f", with {' and '.join(plural(load, 'request') for load in loads)} at once" if loads else ""
    note = f"Time of one call{load}; tokens are the mean of a turn."
    return Table(
        tuple(header[at] for at in told),
        tuple(tuple(row[at] for at in told) for row in rows),
        "Speed and price",
        frozenset(range(1, len(told))),
        note=note,
    )


def _grammar(found: tuple[Grammar, ...]) -> Table:
    rows: tuple[tuple[Cell, ...], ...] = tuple(
        (
            "held to the grammar of commands" if one.held else "free",
            count(one.invalid_turns),
            f"{one.passed:,} of {one.tests:,}",
        )
        for one in found
    )
    return Table(
        ("Completions", "Invalid", "Tests passed"), rows, "With and without a grammar", frozenset({1, 2}), stacks=False
    )


# Failures


def _failures(report: Report) -> Section:
    blocks: list[Block] = []
    found = [evaluation for evaluation in report.evaluations if evaluation.rates]
    for evaluation in found:
        for failures in evaluation.failures:
            where = f"{failures.name.capitalize()} tests"
            blocks.append(Heading(f"{where}, {evaluation.step}" if len(found) > 1 else where))
            blocks += _failed(failures)
    if not found:
        blocks.append(not_done(report, "evaluation"))
    elif not blocks:
        blocks.append(Paragraph("Every test passed: there is nothing to look at.", "quiet"))
    return Section("failures", "What went wrong", tuple(blocks))


def _failed(failures: Failures) -> Iterator[Block]:
    if failures.next_step:
        yield Paragraph(failures.next_step, "next")
    for title, counts in (("Cause", failures.causes), ("Flow", failures.flows), ("Command", failures.commands)):
        if counts:
            yield _counts(title, counts)
    grouped: dict[str, list[Case]] = defaultdict(list)
    for case in failures.cases[:MOST_CASES]:
        grouped[case.cause].append(case)
    most_first = sorted(grouped, key=lambda cause: -failures.causes.get(cause, len(grouped[cause])))
    for cause in most_first:
        yield Cases(f"{cause[0].upper()}{cause[1:]}" if cause else "Turns that differ", tuple(grouped[cause]))
    if len(failures.cases) > MOST_CASES:
        more = len(failures.cases) - MOST_CASES
        yield Paragraph(f"{more:,} more are in report.json.", "quiet")
    if failures.tests:
        yield Paragraph(f"Failed tests: {named(failures.tests, 40)}.", "quiet")


def _counts(title: str, counts: Mapping[str, int]) -> Table:
    most = max(counts.values()) or 1
    rows: tuple[tuple[Cell, ...], ...] = tuple(
        (name, Picture(bar(number / most), count(number)))
        for name, number in sorted(counts.items(), key=lambda entry: (-entry[1], entry[0]))[:12]
    )
    return Table((title, "Failed tests"), rows, wide=1, stacks=False)


# Training


def _training(report: Report) -> Section:
    training = report.training
    if training is None:
        return Section("training", "Fine-tuning", (not_done(report, "training"),))
    blocks: list[Block] = []
    for curve in training.curves:
        blocks.append(Figure(curve.title, loss_chart(curve), _curve_in_words(curve), _legend(curve), loss_letters(curve)))
    blocks.append(Facts(tuple(training.facts.items()), "How it was trained"))
    if training.scores is not None:
        blocks += _scores(training.scores)
    return Section("training", "Fine-tuning", tuple(blocks))


def _legend(curve: LossCurve) -> tuple[tuple[str, str], ...]:
    lines = (
        ("cloud", "training loss of each step", curve.train),
        ("smooth", "training loss, averaged", curve.smooth),
        ("validation", "validation loss", curve.validation),
    )
    return tuple((name, text) for name, text, points_ in lines if points_)


def _curve_in_words(curve: LossCurve) -> str:
    parts = []
    if curve.smooth:
        parts.append(
            f"training loss {curve.smooth[0][1]:.4g} at step {curve.smooth[0][0]:,}, {curve.smooth[-1][1]:.4g} at the end"
        )
    if curve.validation:
        parts.append(f"validation loss {curve.validation[-1][1]:.4g} at the end")
    if curve.best is not None:
        parts.append(f"best {curve.best[1]:.4g} at step {curve.best[0]:,}")
    text = f"{', '.join(parts)}." if parts else "No loss was recorded."
    axis = " The axis is logarithmic." if is_logarithmic(curve) else ""
    return f"{text[0].upper()}{text[1:]}{axis}{f' Diagnosis: {curve.diagnosis}.' if curve.diagnosis else ''}"


def _scores(scores: CommandScores) -> Iterator[Block]:
    facts = [("Validation rows", count(scores.rows))]
    for label, share in (
        ("Exactly as expected", scores.exact_rate),
        ("Invalid completions", scores.invalid_rate),
        ("F1 of all commands", scores.micro_f1),
        ("F1 of slot values", scores.slot_value_f1),
    ):
        if share is not None:
            facts.append((label, percent(share)))
    yield Facts(tuple(facts), "Commands, one by one")
    rows: tuple[tuple[Cell, ...], ...] = tuple(
        (one.command, percent(one.precision), percent(one.recall), percent(one.f1), count(one.support))
        for one in scores.commands
    )
    if rows:
        header = ("Command", "Precision", "Recall", "F1", "Rows")
        yield Table(header, rows, numeric=frozenset({1, 2, 3, 4}), wide=0, stacks=False)
