"""The assistant's configuration changed, and a first conversation held with it."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from core.assistant.project import Assistant, load_assistant
from core.dialogue.generator import LlmCommandGenerator, endpoint_of
from core.dialogue.production_prompt import production_template
from core.dialogue.prompt import PromptRenderer
from core.dialogue.retrieval import all_fit, difference
from core.dialogue.source import CommandSource, Prediction, UserMessage
from core.dialogue.tracker import Tracker
from core.e2e.output import transcript
from core.e2e.results import TestResult
from core.e2e.runner import engine_for, run_test
from core.errors import StepFailed
from core.evaluation.review import Workbench, workbench
from core.llm.client import ChatClient
from core.serving.connect import Connection, patch
from core.wizard.events import Log, Notice
from core.wizard.retrieval import embedder_of, recorded, require_as_recorded
from core.wizard.shared import SharedAnswers
from core.wizard.step import Context, Gate, Outputs, Upstream
from core.wizard.work.judging import cases_of


async def run(context: Context) -> Outputs:
    root: Path = context.shared.assistant
    served = context.upstream["deployment"].outputs.summary
    dataset = context.upstream["dataset"]
    copy = context.folder / "assistant"
    shutil.copytree(
        root, copy, dirs_exist_ok=True, ignore=shutil.ignore_patterns(".*", "__pycache__", "models", "*.bak")
    )
    retrieval = recorded(dataset)
    shared: SharedAnswers = context.shared
    dialect, embedder = dataset.outputs.summary["dialect"], embedder_of(shared)
    bench = workbench(shared.assistant, shared.tests, dialect, shared.patterns, embedder)
    try:
        _tell_difference(context, bench.assistant, retrieval)
        await asyncio.to_thread(require_as_recorded, bench, dataset)
        connection = _connection(bench, dataset, context.upstream["deployment"])
        change = patch(copy, connection)
        change.apply(copy)
        (context.folder / "configuration.diff").write_text(change.diff, encoding="utf-8")
        for line in change.diff.splitlines():
            context.emit(Log(line))
        result, gates = await _converse(bench, dataset, copy)
    finally:
        bench.close()
    lines = [f"test: {result.case.id}", *transcript(result), *([result.error] if result.error else [])]
    (context.folder / "smoke.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    for line in lines:
        context.emit(Log(line))
    backups: list[Path] = []
    if context.answers.in_place and all(gate.passed for gate in gates):
        backups = patch(root, connection).apply(root)
    summary = {
        "endpoint": served["endpoint"],
        "changed": [str(root)] if backups else [],
        "backups": [str(path) for path in backups],
        "test_passed": result.passed,
        "conversation": lines,
    }
    files = {"assistant": "assistant", "diff": "configuration.diff", "conversation": "smoke.txt"}
    return Outputs(summary, files, gates)


def connection_of(shared: SharedAnswers, dataset: Upstream, deployment: Upstream) -> Connection:
    """What the assistant's configuration will be told. Raises what reading the assistant raises."""
    bench = workbench(shared.assistant, shared.tests, dataset.outputs.summary["dialect"], shared.patterns, embedder_of(shared))
    try:
        return _connection(bench, dataset, deployment)
    finally:
        bench.close()


def _connection(bench: Workbench, dataset: Upstream, deployment: Upstream) -> Connection:
    served = deployment.outputs.summary
    return Connection(served["endpoint"], served["model"], served["needs_key"], recorded(dataset), _prompt(bench, dataset))


def _prompt(bench: Workbench, dataset: Upstream) -> str | None:
    """The template to leave in the assistant; None where it shows the model the prompts of training by itself."""
    facts = dataset.outputs.summary
    if facts.get("prompts", "own") != "own" or bench.owners_template is not None:
        return None
    return production_template(bench.renderer(facts["history_turns"]))


class _AsInProduction:
    """Asks with the prompts of production, and notes the messages for which training had others."""

    def __init__(self, source: CommandSource, trained: PromptRenderer, served: PromptRenderer) -> None:
        self._source, self._renderers = source, (trained, served)
        self.differing: list[str] = []

    async def predict(self, tracker: Tracker, message: UserMessage) -> Prediction:
        one, other = [await renderer.rendered(tracker, message.text) for renderer in self._renderers]
        if one != other:
            self.differing.append(message.text)
        return await self._source.predict(tracker, message)


async def _converse(bench: Workbench, dataset: Upstream, connected: Path) -> tuple[TestResult, list[Gate]]:
    """Play the first test that the model did not learn from as the connected assistant would: its model, its prompts."""
    settings = load_assistant(connected).settings
    if settings.llm is None:
        raise StepFailed("the changed configuration names no model; see configuration.diff")
    if changed := difference(recorded(dataset), settings.flow_retrieval.facts):
        raise StepFailed(
            f"the changed configuration retrieves flows otherwise than the model learnt ({changed}); see flow_retrieval in "
            "configuration.diff"
        )
    facts = dataset.outputs.summary
    (case,) = cases_of(bench, (facts.get("golden_test_ids") or facts["val_test_ids"] or facts["train_test_ids"])[:1])
    engine, trained = bench.engine, bench.renderer(dataset.outputs.summary["history_turns"])
    served = trained
    if settings.prompt_template is not None:
        served = PromptRenderer(
            engine.assistant, bench.dialect, settings.prompt_template, index=engine.index, retriever=bench.retriever
        )
    async with ChatClient(endpoint_of(settings.llm), concurrency=1) as client:
        generator = LlmCommandGenerator(client, served, engine.index, settings.max_characters)
        source = _AsInProduction(generator, trained, served)
        result = await run_test(engine_for(engine, case, bench.actions, False), case, source)
    answered = result.error is None and all(
        record.prediction is None or record.prediction.completion for record in result.turns
    )
    other = f"another for {source.differing[0]!r}" if source.differing else "the same"
    return result, [
        Gate("first conversation", "every message answered by the new model", result.error or "all", answered),
        Gate("prompts as in training", "the same for every message", other, not source.differing),
    ]


def _tell_difference(context: Context, assistant: Assistant, retrieval: Mapping[str, Any]) -> None:
    """Say where the configuration as it is would show the model other flows than it was trained with."""
    before = assistant.settings.flow_retrieval
    changed = difference(before.facts, retrieval)
    if changed and not all_fit(assistant, before):
        where = before.written_at or "config.yml"
        text = (
            f"{where}: as it is, flow_retrieval would make prompts others than in training; it is changed ({changed})"
        )
        context.emit(Notice("warning", text))
    if retrieval.get("embedding_model"):
        text = (
            "the assistant finds flows with the same model and settings, but words flows and messages its own way for that: compare some "
            "of its prompts with the rows, or prepare them with flow_retrieval: off"
        )
        context.emit(Notice("warning", text))
