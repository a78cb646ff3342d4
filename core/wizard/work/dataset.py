"""Rows out of passing tests: annotated, rephrased, checked, divided."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from core.assistant.settings import ModelEndpoint
from core.dataset.account import rephrasing_facts
from core.dataset.annotate import annotate
from core.dataset.choices import Manner
from core.dataset.conversation import AnnotatedConversation
from core.dataset.decisions import DECISIONS, decided, read_decisions, write_decisions
from core.dataset.derive import OTHER_VALUES, derive
from core.dataset.diversity import diversity_facts
from core.dataset.hard_cases import KINDS, hard_cases
from core.dataset.models import Models, Terms, named_model, price_of, within_reach
from core.dataset.nearness import LEVELS, much_alike
from core.dataset.paraphrases import read_paraphrases
from core.dataset.prepare import divide, duplicate_groups, rephrase, with_fewer_answers
from core.dataset.rephrase import LlmRephraser, Rephraser
from core.dataset.validation import Understanding
from core.dataset.variation import in_other_words, with_other_values
from core.dialogue.generator import LlmCommandGenerator, endpoint_of
from core.dialogue.retrieval import AnyFlow, Embedder
from core.e2e.recording import read_recording
from core.e2e.runner import run_tests
from core.errors import StepFailed, UsageError
from core.evaluation.review import Workbench, workbench
from core.evaluation.with_rasa import COMMANDS_FROM
from core.llm.batch import CollectingClient
from core.llm.client import ChatClient
from core.llm.rate import Limits
from core.llm.spend import HISTORY_TOKENS, in_words, minutes, read_prices, rephrasing_usage, validation_usage
from core.llm.tokens import tokens
from core.wizard.engine import rasa_of
from core.wizard.events import Cost, Notice, Progress
from core.wizard.retrieval import embedder_of
from core.wizard.shared import SharedAnswers
from core.wizard.step import Context, Outputs
from core.wizard.steps.dataset import DatasetAnswers
from core.wizard.work.dataset_elsewhere import brought_in, prepared_by
from core.wizard.work.dataset_golden import set_aside
from core.wizard.work.dataset_outcome import Made, outcome

_HARD_CASE = "sorry, make that something else instead"
"""A message of usual length, for estimates."""


def estimate(context: Context) -> str:
    """What asking language models will take, in words; "" when none is asked."""
    answers: DatasetAnswers = context.answers
    if answers.bring_in is not None:
        return ""
    if context.upstream["coverage"].outputs.summary.get("commands_from") == COMMANDS_FROM:
        return "the `rasa` command asks the models; what that costs is not known here"
    shared: SharedAnswers = context.shared
    bench = _bench(shared, AnyFlow() if shared.flow_retrieval == "on" else None)
    bench.close()
    rephraser, checking = _plan(context, bench)
    rephrasing = _rephrasing_model(bench, answers)
    if checking is None and rephraser != "llm":
        return ""
    asked = read_recording(context.upstream["coverage"].path("recording")).turns
    messages = [
        [turn.user for turn, commands in zip(case.turns, asked[case.id], strict=False) if commands is not None]
        for case in bench.suite.cases
        if case.id in asked
    ]
    messages += [[_HARD_CASE]] * (len(KINDS) * answers.hard_cases)
    usages = []
    if rephraser == "llm" and rephrasing is not None:
        usages.append((rephrasing, rephrasing_usage(messages, answers.num_rephrases, rephrasing.model)))
    if checking is not None:
        prompt = bench.renderer(answers.history_turns).render(bench.engine.new_tracker(), "")
        length = tokens(prompt, checking.model) + HISTORY_TOKENS
        usages.append((checking, validation_usage(messages, answers.num_rephrases, length)))
    if len(usages) == 2 and checking == rephrasing:
        usages = [(usages[0][0], usages[0][1] + usages[1][1])]
    as_of, terms = read_prices().as_of, _terms(answers)
    said = [in_words(usage, price_of(model), as_of) for model, usage in usages]
    if len(said) > 1:
        said = [f"{model.model}: {text}" for (model, _), text in zip(usages, said, strict=True)]
    taken = max(minutes(usage, terms.concurrency, terms.limits) for _, usage in usages)
    return f"{'; '.join(said)}; about {max(1, round(taken))} min"


async def run(context: Context) -> Outputs:
    """Raises StepFailed when nothing can be learnt, ProblemsError, UsageError, ProviderError."""
    answers: DatasetAnswers = context.answers
    shared: SharedAnswers = context.shared
    rasa = None if answers.bring_in is not None else await rasa_of(context)
    bench = _bench(shared, embedder_of(shared))
    try:
        if answers.bring_in is not None:
            return outcome(brought_in(bench, context), bench, context)
        conversations = await _annotated(bench, context)
        together = await asyncio.to_thread(duplicate_groups, conversations)
        if together.near > LEVELS[0]:
            context.emit(Notice("warning", much_alike(together.near)))
        groups = together.of
        golden = await asyncio.to_thread(set_aside, conversations, bench, groups, context)
        if rasa is not None:
            return outcome(await prepared_by(rasa, bench, context, golden), bench, context)
        # What is made of tests, or costs money, is made of those that are learnt from.
        aside = [conversation for conversation in conversations if conversation.case.id in golden]
        conversations = [conversation for conversation in conversations if conversation.case.id not in golden]
        derived = await _derived(conversations, bench, context)
    finally:
        bench.close()
    conversations += [conversation for conversation in derived if conversation.derived != OTHER_VALUES]
    conversations, rephrasing = await _rephrased(conversations, bench, context)
    if answers.answer_rephrases is not None:  # before what is accepted by hand, which always counts
        conversations = with_fewer_answers(conversations, answers.answer_rephrases)
    conversations = _as_decided(conversations, context)
    originals = {conversation.case.id: conversation for conversation in conversations if not conversation.derived}
    conversations += [
        in_other_words(conversation, originals[conversation.case.id])
        for conversation in derived
        if conversation.derived == OTHER_VALUES
    ]
    conversations += aside
    renderer = bench.renderer(answers.history_turns)
    divided = await asyncio.to_thread(
        divide, conversations, bench.engine, renderer, answers.train_fraction, shared.seed, golden, groups
    )
    return outcome(Made(conversations, divided, rephrasing), bench, context)


def _bench(shared: SharedAnswers, embedder: Embedder | None) -> Workbench:
    return workbench(shared.assistant, shared.tests, shared.dialect, shared.patterns, embedder)


async def _annotated(bench: Workbench, context: Context) -> list[AnnotatedConversation]:
    """The tests that passed the coverage review, played again with the commands recorded there. Raises StepFailed when none teaches."""
    coverage = context.upstream["coverage"]
    recording = read_recording(coverage.path("recording"))
    passed = {entry["test"] for entry in coverage.outputs.summary["passed"]}
    cases = [case for case in bench.suite.cases if case.id in passed and case.id in recording.turns]
    results = await run_tests(bench.engine, cases, recording.source_for, actions=bench.actions, require_actions=False)
    lost = [result.case.id for result in results if not result.passed]
    lost += sorted(passed - {case.id for case in cases})
    if lost and coverage.outputs.summary.get("commands_from") != COMMANDS_FROM:
        context.emit(Notice("warning", f"not used, since they do not pass when played again: {', '.join(lost)}"))
    renderer = bench.renderer(context.answers.history_turns)
    conversations = await asyncio.to_thread(
        lambda: [annotate(result, bench.engine, renderer, bench.dialect) for result in results if result.passed]
    )
    if not any(conversation.annotated_turns for conversation in conversations):
        raise StepFailed("no passing test has a message that a model answers; see the coverage review")
    return conversations


async def _derived(
    conversations: Sequence[AnnotatedConversation], bench: Workbench, context: Context
) -> list[AnnotatedConversation]:
    """Conversations made of the tests, as many as were asked for and really work."""
    answers: DatasetAnswers = context.answers
    slots, seed = bench.engine.index.slots, context.shared.seed
    wanted = with_other_values(conversations, slots, answers.other_values, seed)
    wanted += hard_cases(conversations, bench.assistant.business_flows, slots, answers.hard_cases, seed, bench.dialect)
    return await derive(wanted, bench.engine, bench.actions, bench.renderer(answers.history_turns), bench.dialect)


def _as_decided(conversations: list[AnnotatedConversation], context: Context) -> list[AnnotatedConversation]:
    """The conversations with what the owner decided about wordings; a notice for what concerns none of them."""
    path: Path | None = context.answers.decisions
    if path is None:
        return conversations
    if not path.is_file():
        raise UsageError(f"there is no file {path} with decisions; leave dataset.decisions empty for none")
    decisions = read_decisions(path)
    write_decisions(context.folder / DECISIONS, decisions)
    done, left = decided(conversations, decisions)
    for decision in left:
        place = f"{path.name}:{decision.line}"
        text = f"{place}: {decision.test} has no wording {decision.wording!r} in turn {decision.turn} to {decision.verdict}"
        context.emit(Notice("warning", text))
    return done


# Rephrasing


def _terms(answers: DatasetAnswers) -> Terms:
    return Terms(answers.concurrency, Limits(answers.requests_per_minute, answers.tokens_per_minute), answers.budget_usd)


def _manner(answers: DatasetAnswers) -> Manner:
    languages = tuple(name.strip() for name in answers.languages.split(",") if name.strip())
    return Manner(answers.speech, answers.length, answers.typos, languages)


def _plan(context: Context, bench: Workbench) -> tuple[str, ModelEndpoint | None]:
    """Where wordings come from ("llm", "none" or a path), and the model that checks them, None for no check."""
    answers: DatasetAnswers = context.answers
    listens = context.upstream["coverage"].outputs.summary.get("commands_from") == "llm"
    chosen = ("llm" if listens else "none") if answers.rephraser == "auto" else answers.rephraser
    if answers.num_rephrases == 0 or chosen == "none":
        return "none", None
    model = bench.assistant.settings.llm
    if answers.check == "auto":
        return chosen, model if listens or (chosen == "llm" and within_reach(model)) else None
    if answers.check == "llm" and model is None:
        raise UsageError("no language model is configured in config.yml and endpoints.yml that could check wordings")
    return chosen, model if answers.check == "llm" else None


async def _rephrased(
    conversations: list[AnnotatedConversation], bench: Workbench, context: Context
) -> tuple[list[AnnotatedConversation], dict[str, Any]]:
    """The conversations with other wordings, and the facts about these."""
    answers: DatasetAnswers = context.answers
    chosen, checking = _plan(context, bench)
    if chosen == "none":
        return conversations, rephrasing_facts(conversations, "none", "nothing", 0)
    models = Models(
        context.folder.parent.parent / "completions.sqlite",
        _terms(answers),
        lambda usd: context.emit(Cost(usd)),
    )
    async with models:
        rephrasing = _rephrasing_model(bench, answers)
        rephraser: Rephraser
        if chosen != "llm":
            rephraser = _paraphrases(chosen, bench, context)
        elif rephrasing is not None:
            rephraser = LlmRephraser(await models.client(rephrasing), _manner(answers), answers.rephrase_template)
        else:
            raise UsageError(
                "no language model is configured in config.yml and endpoints.yml; name one in rephrase_model, or choose a "
                "paraphrase file as rephraser"
            )
        understanding = None
        if checking is not None:
            if answers.batch:
                await _check_in_batches(models, checking, rephraser, conversations, bench, context)
            understanding = _understanding(await models.client(checking), bench, answers)
        before = models.calls
        done = await rephrase(
            conversations,
            rephraser,
            answers.num_rephrases,
            bench.engine,
            understanding,
            answers.concurrency,
            _progress(len(conversations), context, lambda: models.calls - before),
        )
    checked_by = f"language model, {answers.equality}" if understanding else "slot values"
    facts = {**rephrasing_facts(done, chosen, checked_by, models.calls - before), **diversity_facts(done)}
    if chosen == "llm" and understanding is None:
        text = "no language model checks whether wordings keep the meaning; look at some with `calmtune dataset show`"
        context.emit(Notice("warning", text))
    if not facts["passing"]:
        text = f"no other wording can be used: {facts['candidates']} were given, {facts['failed']} rejected"
        context.emit(Notice("warning", text))
    return done, facts


async def _check_in_batches(
    models: Models,
    checking: ModelEndpoint,
    rephraser: Rephraser,
    conversations: Sequence[AnnotatedConversation],
    bench: Workbench,
    context: Context,
) -> None:
    """Find out what will be asked by a run whose answers do not count, and have all of it answered in batches."""
    answers: DatasetAnswers = context.answers
    async with CollectingClient(endpoint_of(checking), models.cache) as collecting:
        await rephrase(
            conversations,
            rephraser,
            answers.num_rephrases,
            bench.engine,
            _understanding(collecting, bench, answers),
            answers.concurrency,
        )
        wanted = dict(collecting.wanted)

    def on_progress(done: int, total: int) -> None:
        context.emit(Progress(done, total, "wordings", label="checked in batches"))

    await models.ask_in_batches(checking, wanted, on_progress)


def _rephrasing_model(bench: Workbench, answers: DatasetAnswers) -> ModelEndpoint | None:
    """The model named for it, else the assistant's own; None when there is neither."""
    if answers.rephrase_model is None:
        return bench.assistant.settings.llm
    return named_model(answers.rephrase_model, answers.rephrase_address, answers.rephrase_key_variable)


def _understanding(client: ChatClient, bench: Workbench, answers: DatasetAnswers) -> Understanding:
    settings = bench.assistant.settings
    most_tokens = settings.llm.max_tokens if settings.llm else 256
    generator = LlmCommandGenerator(
        client, bench.renderer(answers.history_turns), bench.engine.index, settings.max_characters, most_tokens
    )
    return Understanding(generator, bench.engine, answers.equality)


def _paraphrases(chosen: str, bench: Workbench, context: Context) -> Rephraser:
    """The owner's file, with notices about entries that concern no test."""
    path = Path(chosen)
    if not path.is_file():
        raise UsageError(f"dataset.rephraser: there is no file {chosen}; wordings come from llm, none or a paraphrase file")
    paraphrases = read_paraphrases(path, chosen)
    for problem in paraphrases.strays(bench.suite.cases):
        context.emit(Notice("warning", str(problem)))
    return paraphrases


def _progress(total: int, context: Context, calls: Callable[[], int]) -> Callable[[AnnotatedConversation], None]:
    """Tells how far it is, with the calls that were answered and how long the rest will take at this pace."""
    done, began = 0, time.monotonic()

    def on_done(conversation: AnnotatedConversation) -> None:
        nonlocal done
        done += 1
        unit = f"conversations, {answered:,} calls" if (answered := calls()) else "conversations"
        left = (time.monotonic() - began) / done * (total - done)
        context.emit(Progress(done, total, unit, left, label=conversation.case.name))

    return on_done
