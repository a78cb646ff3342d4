"""The chapters of a report about what the model was made from: coverage, data set, deployment, cost, and how to repeat it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from core.evaluation.report_blocks import Block, Cell, Code, Facts, Paragraph, Picture, Section, Table
from core.evaluation.report_charts import bar
from core.evaluation.report_content import Coverage, Dataset, NotPassed, Report, StepLine
from core.evaluation.report_words import NOTHING, count, dollars, duration, percent, plural, ranges

MOST_ROWS = 40
"""Rows of one table; the JSON has all."""
_GOOD, _POOR = 0.8, 0.5
"""Shares of a flow from which its coverage is shown as good, and below which as bad."""


def not_done(report: Report, *ids: str) -> Paragraph:
    """A sentence about the first of these steps that is not done."""
    waiting = [step for step in report.steps if step.id in ids and not step.done]
    return Paragraph(_why_not(waiting[0]) if waiting else "Nothing is recorded about this.", "quiet")


def _why_not(step: StepLine) -> str:
    words = {"ready": "has not been run yet", "stale": "is out of date", "blocked": "has not been run yet"}
    why = f": {step.reason}" if step.reason else ""
    return f"{step.title} {words.get(step.state, f'is {step.state}' if step.state != 'failed' else 'failed')}{why}."


# Coverage


def coverage_section(report: Report) -> Section:
    found = report.coverage
    if found is None:
        return Section("coverage", "Coverage of the tests", (not_done(report, "coverage"),))
    facts = [
        ("Flow steps reached", percent(found.total)),
        ("Tests passed", f"{found.passed:,}"),
        ("Tests failed", f"{len(found.failed):,}"),
        ("Tests undecided", f"{len(found.undecided):,}"),
    ]
    if found.commands_from:
        facts.append(("Commands from", found.commands_from))
    blocks: list[Block] = [Facts(tuple(facts)), *_flows(found), *_histogram(found)]
    for title, tests in (("Tests that fail", found.failed), ("Tests that cannot be decided", found.undecided)):
        if tests:
            blocks += _not_passed(title, tests)
    return Section("coverage", "Coverage of the tests", tuple(blocks))


def _flows(found: Coverage) -> Iterator[Block]:
    flows = sorted(found.flows, key=lambda flow: (flow.coverage, flow.flow))
    rows: list[tuple[Cell, ...]] = []
    for flow in flows[:MOST_ROWS]:
        tone = "good" if flow.coverage >= _GOOD else "bad" if flow.coverage < _POOR else "unsure"
        share = Picture(bar(flow.coverage, tone), percent(flow.coverage, 0))
        lines = f"{flow.file}: {ranges(flow.lines)}" if flow.lines else NOTHING
        rows.append((flow.flow, share, f"{flow.steps - flow.missing:,} of {flow.steps:,}", lines))
    if rows:
        yield Table(
            ("Flow", "Coverage", "Steps reached", "Lines not reached"), tuple(rows), "By flow", frozenset({2}), 3
        )
        yield from _more(len(flows), "flow")


def _histogram(found: Coverage) -> Iterator[Block]:
    most = max(found.commands.values(), default=1) or 1
    rows: tuple[tuple[Cell, ...], ...] = tuple(
        (name, Picture(bar(number / most), count(number)))
        for name, number in sorted(found.commands.items(), key=lambda entry: (-entry[1], entry[0]))[:MOST_ROWS]
    )
    if rows:
        yield Table(("Command", "In passing tests"), rows, "Commands", wide=1, stacks=False)


def _not_passed(title: str, tests: tuple[NotPassed, ...]) -> Iterator[Block]:
    rows: tuple[tuple[Cell, ...], ...] = tuple((test.test, test.reason or NOTHING) for test in tests[:MOST_ROWS])
    yield Table(("Test", "Reason"), rows, title, wide=1)
    yield from _more(len(tests), "test")


def _more(number: int, what: str) -> Iterator[Block]:
    if number > MOST_ROWS:
        yield Paragraph(f"{plural(number - MOST_ROWS, f'more {what}')} in report.json.", "quiet")


# Data set


def dataset_section(report: Report) -> Section:
    found = report.dataset
    if found is None:
        return Section("dataset", "Data set", (not_done(report, "dataset"),))
    blocks: list[Block] = [_road(found), _sides(found)]
    if found.rejected_share:
        rows: tuple[tuple[Cell, ...], ...] = tuple(
            (reason, Picture(bar(share), percent(share))) for reason, share in found.rejected_share.items()
        )
        blocks.append(
            Table(("Reason", "Share of the wordings"), rows, "Why wordings were rejected", wide=1, stacks=False)
        )
    blocks += _nearness(found)
    if found.commands:
        spread: tuple[tuple[Cell, ...], ...] = tuple(
            (name, count(train), count(validation)) for name, (train, validation) in found.commands.items()
        )
        header = ("Command", "Train", "Validation")
        blocks.append(Table(header, spread, "Rows by command", frozenset({1, 2}), 0, stacks=False))
    if found.thin:
        few: tuple[tuple[Cell, ...], ...] = tuple(
            (name, count(tests)) for name, tests in list(found.thin.items())[:MOST_ROWS]
        )
        blocks.append(Table(("What", "Tests"), few, "Held by few tests", frozenset({1}), 0, stacks=False))
        blocks += _more(len(found.thin), "thing")
    return Section("dataset", "Data set", tuple(blocks))


def _road(found: Dataset) -> Facts:
    """From tests to rows."""
    pairs = [
        ("Tests read", count(found.input_tests)),
        ("Tests annotated", f"{found.annotated_tests:,}, with {plural(found.messages, 'message')}"),
    ]
    if found.derived:
        made = ", ".join(f"{number:,} {kind}" for kind, number in found.derived.items())
        pairs.append(("Conversations made of them", made))
    none = found.wordings_from == "none"
    pairs.append(
        ("Wordings", "those of the tests")
        if none
        else ("Wordings from", f"{found.wordings_from}, checked by {found.checked_by}")
    )
    if found.candidates:
        pairs.append(("Wordings kept", f"{found.kept:,} of {found.candidates:,} ({found.rejected:,} rejected)"))
    pairs.append(
        ("Rows", f"{found.data_points:,}" + (f", {found.left_out:,} of them left out" if found.left_out else ""))
    )
    if found.shared_beginning is not None:
        pairs.append(("Prompts shared from the beginning", percent(found.shared_beginning, 0)))
    return Facts(tuple(pairs), "From tests to rows")


def _sides(found: Dataset) -> Table:
    rows: tuple[tuple[Cell, ...], ...] = tuple(
        (side.name.capitalize(), count(side.tests), count(side.rows)) for side in found.sides
    )
    return Table(("Part", "Tests", "Rows"), rows, "How tests and rows are divided", frozenset({1, 2}), 0, stacks=False)


def _nearness(found: Dataset) -> Iterator[Block]:
    pairs: list[tuple[str, str]] = []
    if found.known_messages is not None:
        pairs.append(("Validation messages that train holds too", percent(found.known_messages)))
    sides = {"Validation": found.leakage, "Golden": found.golden_leakage}
    for side, leakage in sides.items():
        if leakage is not None and leakage.nearest is not None:
            pairs.append((f"{side} test nearest to those trained on", f"{percent(1 - leakage.nearest)} alike"))
        if leakage is not None and leakage.median is not None:
            pairs.append((f"{side} tests, median", f"{percent(1 - leakage.median)} alike"))
    if pairs:
        yield Facts(tuple(pairs), "Leakage: how near held-out tests are to those trained on")
    for side, leakage in sides.items():
        if leakage is not None and leakage.pairs:
            yield Code(f"{side}: the nearest pairs of tests", "\n".join(leakage.pairs[:12]))


# Deployment, cost, reproducibility


def deployment_section(report: Report) -> Section:
    found = report.deployment
    if found is None:
        return Section("deployment", "Deployment", (not_done(report, "deployment", "connection"),))
    blocks: list[Block] = [Facts(tuple(found.facts.items()))]
    if found.conversation:
        blocks.append(Code("First conversation", "\n".join(found.conversation)))
    else:
        blocks.append(not_done(report, "connection"))
    return Section("deployment", "Deployment", tuple(blocks))


def spending_section(report: Report) -> Section:
    if not report.spent:
        return Section("cost", "Time and cost", (Paragraph("No step has been run yet.", "quiet"),))
    spent = report.spent
    columns: dict[str, list[Cell]] = {
        "Step": [*(one.step for one in spent), "All"],
        "Time": [*(duration(one.seconds) for one in spent), _sum([one.seconds for one in spent], duration)],
        "Spent": [*(dollars(one.usd) for one in spent), _sum([one.usd for one in spent], dollars)],
    }
    note = "Dollars are those spent on language models whose price is known; machines of your own are not counted."
    if any(one.machines_usd is not None for one in spent):
        machines = [one.machines_usd for one in spent]
        columns["Machines"] = [*map(dollars, machines), _sum(machines, dollars)]
        note = (
            "Spent is what language models cost whose price is known, Machines what rented ones did by SkyPilot's catalog, without disks "
            "and traffic; machines of your own are not counted."
        )
    if any(one.foretold for one in spent):
        columns["Planned"] = [*(one.foretold or NOTHING for one in spent), NOTHING]
    rows = tuple(zip(*columns.values(), strict=True))
    numeric = frozenset(at for at, name in enumerate(columns) if name not in ("Step", "Planned"))
    return Section(
        "cost", "Time and cost", (Table(tuple(columns), rows, numeric=numeric, wide=0, stacks=len(columns) > 3, note=note),)
    )


def _sum(values: Sequence[float | None], shown: Callable[[float | None], str]) -> str:
    known = [value for value in values if value is not None]
    return shown(sum(known)) if known else NOTHING


def reproducibility_section(report: Report) -> Section:
    found = report.reproducibility
    blocks: list[Block] = [Facts(tuple(found.facts.items()))]
    for title, pairs in (("Libraries", found.libraries), ("Settings of the training", found.settings)):
        if pairs:
            blocks.append(Facts(tuple(pairs.items()), title))
    for title, what, sums in (
        ("Digests of the steps", "Step", found.digests),
        ("Files of the model", "File", found.model_files),
    ):
        if sums:
            rows: tuple[tuple[Cell, ...], ...] = tuple(sums.items())
            blocks.append(Table((what, "SHA-256"), rows, title, wide=1, mono=frozenset({1})))
    if found.answers:
        blocks.append(Code("Answers file (repeat the session with calmtune run --answers answers.yml)", found.answers))
    blocks += [Paragraph(sentence, "quiet") for sentence in report.left_out]
    return Section("reproducibility", "How to repeat it", tuple(blocks))
