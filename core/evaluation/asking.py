"""Tests run with a language model as command source, the tuned one or the strong one."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

from core.dialogue.command_text import parse
from core.dialogue.generator import LlmCommandGenerator
from core.e2e.cases import TestCase
from core.e2e.recording import Recording
from core.e2e.results import TestResult
from core.e2e.runner import run_tests
from core.errors import ProviderError
from core.evaluation.command_scores import is_valid
from core.evaluation.differences import failed_tests
from core.evaluation.economy import economy_of
from core.evaluation.failures import group
from core.evaluation.review import OnProgress, Workbench
from core.evaluation.verdict import Verdict, predictions_of, turns_of
from core.llm.client import ChatClient
from core.llm.spend import Price

Opens = Callable[[int], Awaitable[ChatClient]]
"""opens(run) → the client that answers in a run (from 0); what another run answered is not taken for it."""


@dataclass(frozen=True)
class Terms:
    """How a model is asked."""

    history_turns: int | None = None
    """Of the user's earlier messages, how many prompts show; as in training."""
    max_tokens: int = 128
    """Of an answer."""
    repeats: int = 1
    """Runs of each test."""
    concurrency: int = 4
    """Requests at a time, for what a turn costs; the client keeps to it."""
    price: Price | None = None
    machine_usd_per_hour: float | None = None


async def evaluate(
    bench: Workbench,
    opens: Opens,
    sets: Mapping[str, Sequence[TestCase]],
    expected: Recording,
    terms: Terms,
    on_progress: OnProgress,
    learnt: Collection[str] = (),
) -> list[Verdict]:
    """Run each set of tests with a model. Raises ProviderError when its endpoint fails, and what its client raises.

    `expected` holds the annotated commands by test id; `learnt` the tests whose rows the model was trained on.
    """
    total, done = terms.repeats * sum(len(cases) for cases in sets.values()), 0

    def finished(result: TestResult) -> None:
        nonlocal done
        done += 1
        on_progress(done, total, result.case.name)

    runs: dict[str, list[tuple[TestResult, ...]]] = {name: [] for name in sets}
    for number in range(terms.repeats):
        source = LlmCommandGenerator(
            await opens(number),
            bench.renderer(terms.history_turns),
            bench.engine.index,
            bench.assistant.settings.max_characters,
            max_tokens=terms.max_tokens,
        )
        for name, cases in sets.items():
            results = await run_tests(
                bench.engine,
                cases,
                source,
                actions=bench.actions,
                require_actions=False,
                concurrency=2 * terms.concurrency,
                on_result=finished,
            )
            if results and all(result.error for result in results):
                raise ProviderError(f"no test could be run: {results[0].error}")
            runs[name].append(tuple(results))
    return [_verdict(name, of, bench, expected, terms, learnt) for name, of in runs.items()]


def _verdict(
    name: str,
    runs: Sequence[tuple[TestResult, ...]],
    bench: Workbench,
    expected: Recording,
    terms: Terms,
    learnt: Collection[str],
) -> Verdict:
    first = runs[0]
    turns, exact, wrong = turns_of(first, expected)
    said = [prediction.completion for prediction in predictions_of([first]) if prediction.completion is not None]
    flows, slots = {flow.id for flow in bench.assistant.business_flows}, bench.engine.index.slots
    return Verdict(
        name,
        tuple(runs),
        tuple(wrong),
        turns,
        exact,
        sum(not is_valid(parse(text, bench.dialect, meant=bench.engine.index.meant), flows, slots) for text in said),
        economy_of(predictions_of(runs), terms.concurrency, terms.price, terms.machine_usd_per_hour),
        group(failed_tests(first, expected, bench.engine, bench.dialect), learnt),
    )
