"""A trained model served and judged: the tests run with it, with the strong model beside it where that is wanted."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from core.assistant.settings import ModelEndpoint
from core.dataset.models import Models, price_of
from core.dataset.models import Terms as LlmTerms
from core.dialogue.retrieval import AnyFlow
from core.e2e.cases import TestCase
from core.e2e.recording import Recording, read_recording
from core.errors import StepFailed, UsageError
from core.evaluation.asking import Terms, evaluate
from core.evaluation.bars import Accept
from core.evaluation.comparison import Comparison, compare
from core.evaluation.review import Workbench, workbench
from core.evaluation.verdict import Verdict
from core.evaluation.with_rasa import evaluate_with_rasa
from core.llm.cache import CompletionCache
from core.llm.client import ChatClient, Endpoint
from core.llm.rate import UNLIMITED
from core.llm.spend import HISTORY_TOKENS, in_words, minutes, read_prices, turn_usage
from core.llm.tokens import tokens
from core.serving.grammar import grammar, request_extra
from core.training.bundle import ModelArtifact
from core.wizard.engine import rasa_of
from core.wizard.events import Cost, Log, Notice, Progress
from core.wizard.retrieval import embedder_of, recorded, require_as_recorded
from core.wizard.served import ServerRequest, served
from core.wizard.shared import SharedAnswers
from core.wizard.step import Context, Gate, Outputs, Upstream
from core.wizard.steps.evaluation import EvaluationAnswers

_LLM_AT_ONCE = 8


@dataclass(frozen=True)
class TestSet:
    """Tests to be run, and the share that must pass."""

    __test__ = False

    name: str
    """validation, training or golden."""
    ids: Sequence[str]
    minimum: float


@dataclass(frozen=True)
class Judged:
    """What was found. The first set is the one that the strong model and the grammar are tried on."""

    verdicts: tuple[Verdict, ...]
    sets: tuple[TestSet, ...]
    strong: Verdict | None = None
    comparison: Comparison | None = None
    with_grammar: Verdict | None = None


async def judge(
    context: Context, answers: EvaluationAnswers, model: Upstream, dataset: Upstream, sets: Sequence[TestSet]
) -> Judged:
    """Serve a trained model and run sets of tests with it; details are left in results/.

    `model` has the files "model" and "manifest". Raises StepFailed when files were changed or the server does not start.
    """
    artifact = ModelArtifact(model.path("model"), model.path("manifest"))
    artifact.verify()
    shared: SharedAnswers = context.shared
    rasa = await rasa_of(context)
    bench = workbench(
        shared.assistant, shared.tests, dataset.outputs.summary["dialect"], shared.patterns, embedder_of(shared)
    )
    try:
        await asyncio.to_thread(require_as_recorded, bench, dataset)
        _tell_other_prompts(context, bench, dataset, "own" if rasa is None else "rasa")
        cases = {of.name: cases_of(bench, of.ids) for of in sets}
        request = request_for(answers, artifact)
        expected = read_recording(dataset.path("annotations"))
        work = _Work(context, answers, bench, expected, cases)
        async with served(context, request) as endpoint:
            if rasa is not None:
                verdicts = await evaluate_with_rasa(rasa, bench, endpoint, cases, context.folder, recorded(dataset))
                judged = Judged(tuple(verdicts), tuple(sets))
            else:
                history = dataset.outputs.summary["history_turns"]
                verdicts, held = await work.ask_tuned(endpoint, artifact.digest, history)
                judged = Judged(tuple(verdicts), tuple(sets), with_grammar=held)
        strong = strong_model(answers, bench, dataset)
        if strong is not None and cases[sets[0].name]:
            beside = await work.ask_strong(strong)
            comparison = compare(verdicts[0].outcome, beside.outcome, strong.model, answers.margin)
            judged = replace(judged, strong=beside, comparison=comparison)
    finally:
        bench.close()
    _tell(judged, context)
    return judged


def request_for(answers: EvaluationAnswers, artifact: ModelArtifact) -> ServerRequest:
    """The server that tests are run with."""
    return ServerRequest(
        artifact.folder.resolve(), answers.machine, answers.engine, python=answers.python, longest_row=artifact.longest_row,
        requests=answers.concurrency,
    )  # fmt: skip


class _Work:
    """Asking models about the same tests."""

    def __init__(
        self,
        context: Context,
        answers: EvaluationAnswers,
        bench: Workbench,
        expected: Recording,
        cases: Mapping[str, Sequence[TestCase]],
    ) -> None:
        self._context, self._answers, self._bench = context, answers, bench
        self._expected, self._cases = expected, cases
        first = next(iter(cases))
        self._first = {first: cases[first]}

    async def ask_tuned(
        self, endpoint: Endpoint, digest: str, history_turns: int | None
    ) -> tuple[list[Verdict], Verdict | None]:
        """All sets with the tuned model, and where it is wanted the first one held to the grammar as well."""
        answers, bench = self._answers, self._bench
        terms = Terms(
            history_turns,
            repeats=answers.repeats,
            concurrency=answers.concurrency,
            machine_usd_per_hour=answers.machine_usd_per_hour,
        )
        extra = request_extra(grammar(bench.engine.assistant, bench.dialect)) if answers.grammar != "off" else None
        if extra is not None and not endpoint.keeps_to_grammar:
            text = "this model server cannot hold a model to a grammar (vLLM can); the tests run without"
            self._context.emit(Notice("warning", text))
            extra = None
        with _answers_so_far(self._context.folder) as said:
            async with AsyncExitStack() as stack:

                def opens(held: bool) -> Callable[[int], Awaitable[ChatClient]]:
                    async def open_(run: int) -> ChatClient:
                        name = f"{digest} run {run + 1}" if run else digest
                        body = extra if held else None
                        client = ChatClient(endpoint, answers.concurrency, cache=said, cached_as=name, extra_body=body)
                        return await stack.enter_async_context(client)

                    return open_

                async def run(held: bool, cases: Mapping[str, Sequence[TestCase]], label: str) -> list[Verdict]:
                    return await evaluate(bench, opens(held), cases, self._expected, terms, self._progress(label))

                verdicts = await run(answers.grammar == "on", self._cases, "")
                if answers.grammar != "both" or extra is None:
                    return verdicts, None
                (held,) = await run(True, self._first, "with the grammar: ")
                return verdicts, held

    async def ask_strong(self, model: ModelEndpoint) -> Verdict:
        """The first set with the strong model; its answers are kept in the session and paid once."""
        answers, context = self._answers, self._context
        models = Models(
            context.folder.parent.parent / "completions.sqlite",
            LlmTerms(_LLM_AT_ONCE, budget_usd=answers.budget_usd),
            lambda usd: context.emit(Cost(usd)),
        )
        terms = Terms(
            max_tokens=model.max_tokens, repeats=answers.repeats, concurrency=_LLM_AT_ONCE, price=price_of(model)
        )
        async with models:
            (verdict,) = await evaluate(
                self._bench,
                lambda run: models.client(model, run),
                self._first,
                self._expected,
                terms,
                self._progress(f"{model.model}: "),
            )
        return verdict

    def _progress(self, label: str) -> Callable[[int, int, str], None]:
        return lambda done, total, test: self._context.emit(Progress(done, total, "tests", label=f"{label}{test}"))


def strong_model(answers: EvaluationAnswers, bench: Workbench, dataset: Upstream) -> ModelEndpoint | None:
    """The model to compare with; None for no comparison. Raises UsageError when one is asked for and none is configured."""
    model = bench.assistant.settings.llm
    if answers.compare == "llm" and model is None:
        raise UsageError(
            "no language model is configured in config.yml and endpoints.yml to compare the tuned one with"
        )
    listened = dataset.outputs.summary.get("commands_from") == "llm"
    return model if answers.compare == "llm" or (answers.compare == "auto" and listened) else None


def cases_of(bench: Workbench, ids: Sequence[str]) -> list[TestCase]:
    """Tests by their ids, from the assistant's own test files. Raises StepFailed when one is no longer there."""
    cases = {case.id: case for case in bench.suite.cases}
    if missing := [id for id in ids if id not in cases]:
        raise StepFailed(f"test {missing[0]} is no longer there; run the data preparation again")
    return [cases[id] for id in ids]


def outputs_of(judged: Judged, accept: Accept, **facts: Any) -> Outputs:
    """Gates and facts of an evaluation."""
    gates, summary = [], dict(facts)
    for at, (verdict, of) in enumerate(zip(judged.verdicts, judged.sets, strict=True)):
        gates.append(Gate(**asdict(verdict.gate(of.minimum, accept, None if at else judged.comparison))))
        summary[verdict.name] = verdict.summary(of.minimum)
    first = judged.verdicts[0]
    if judged.strong is not None and judged.comparison is not None:
        strong, found = judged.strong, judged.comparison.facts
        steady = first.without(strong.flaky)
        summary[first.name]["without_flaky_on_strong"] = {"tests": len(steady), "passed": sum(steady)}
        interval = [found["interval"]["low"], found["interval"]["high"]]
        summary["comparison"] = {**found, "interval": interval, "flaky": strong.flaky}
        summary["strong"] = {"model": judged.comparison.model, **strong.summary(judged.sets[0].minimum)}
    if judged.with_grammar is not None:
        summary["grammar"] = {"without": _validity(first), "with": _validity(judged.with_grammar)}
    return Outputs(summary, {"results": "results", "server_log": "server.log"}, gates)


def _validity(verdict: Verdict) -> dict[str, int]:
    return {
        "invalid_turns": verdict.invalid_turns,
        "turns": verdict.turns,
        "passed": sum(verdict.passed),
        "tests": len(verdict.passed),
    }


def _tell(judged: Judged, context: Context) -> None:
    """Leave the details in files, and tell what went wrong and what helps."""
    for verdict in judged.verdicts:
        verdict.write(context.folder / "results")
        for turn in verdict.wrong_turns:
            context.emit(Log(f"{turn['test']} turn {turn['turn']}: {turn['user']!r}"))
            context.emit(Log(f"    expected {turn['expected']!r}, predicted {turn['predicted'][:120]!r}"))
        if verdict.failures.next_step:
            context.emit(Notice("info", f"{verdict.name}: {verdict.failures.next_step}"))
    if judged.comparison is not None:
        context.emit(Notice("info", judged.comparison.sentence))
    if judged.strong is not None and judged.strong.flaky:
        names = ", ".join(judged.strong.flaky[:5])
        context.emit(
            Notice("warning", f"{len(judged.strong.flaky)} tests do not always pass with the strong model: {names}")
        )


@contextmanager
def _answers_so_far(folder: Path) -> Iterator[CompletionCache]:
    """What the model said before the evaluation was cut off; of no use any more once it is finished."""
    path = folder / "completions.sqlite"
    cache = CompletionCache(path)
    try:
        yield cache
    finally:
        cache.close()
    path.unlink()


def _tell_other_prompts(context: Context, bench: Workbench, dataset: Upstream, engine: str) -> None:
    """Warn when the model is about to be shown other prompts than it was trained on; an owner's template is the same everywhere."""
    prompts = dataset.outputs.summary.get("prompts", "own")
    if prompts != engine and bench.owners_template is None:
        context.emit(
            Notice(
                "warning",
                f"the rows have the prompts of engine {prompts}, the tests are run by engine {engine}, which shows the model others; "
                f"answer engine: {prompts}, or give the assistant a prompt template of its own",
            )
        )


def estimate(context: Context, answers: EvaluationAnswers, dataset: Upstream, ids: Sequence[str]) -> str:
    """What asking the strong model about tests will take, in words; "" when it is not asked."""
    shared: SharedAnswers = context.shared
    embedder = AnyFlow() if shared.flow_retrieval == "on" else None
    bench = workbench(shared.assistant, shared.tests, dataset.outputs.summary["dialect"], shared.patterns, embedder)
    bench.close()
    model = strong_model(answers, bench, dataset)
    if model is None:
        return ""
    turns = answers.repeats * sum(len(case.turns) for case in cases_of(bench, ids))
    prompt = bench.renderer().render(bench.engine.new_tracker(), "")
    usage = turn_usage(turns, tokens(prompt, model.model) + HISTORY_TOKENS)
    said = in_words(usage, price_of(model), read_prices().as_of)
    return f"{model.model}: {said}; about {max(1, round(minutes(usage, _LLM_AT_ONCE, UNLIMITED)))} min"
