"""Rows that are not made here: by `rasa llm finetune prepare-data` now, or in a folder it wrote earlier."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from pathlib import Path

from core.dataset.account import rephrasing_facts
from core.dataset.brought_in import read_prepared
from core.dataset.diversity import diversity_facts
from core.dataset.models import named_model
from core.dataset.output import write_yaml
from core.e2e.rasa import Rasa
from core.e2e.rasa_project import MODELS, RasaProject
from core.errors import StepFailed
from core.evaluation.review import Workbench
from core.wizard.events import Notice
from core.wizard.step import Context
from core.wizard.steps.dataset import DatasetAnswers
from core.wizard.work.coverage import COPY
from core.wizard.work.dataset_outcome import Made

PREPARED = "rasa_output"
"""What the command wrote, as it wrote it."""
_CONFIG = "rephrase_config.yml"
_TAKEN_BROUGHT_IN = {"bring_in", "output_format", "golden_fraction"}
_TAKEN_BY_RASA = {
    "output_format", "num_rephrases", "train_fraction", "rephrase_model", "rephrase_address", "rephrase_key_variable",
    "rephrase_template", "golden_fraction", "golden",
}  # fmt: skip


async def prepared_by(rasa: Rasa, bench: Workbench, context: Context, golden: Collection[str]) -> Made:
    """Rows of the `rasa` command, made of the tests that passed the coverage review and are not golden.

    Raises StepFailed when there is nothing to learn or the command failed, ProblemsError with what is wrong in what it wrote.
    """
    folder = context.folder / PREPARED
    passed = {entry["test"] for entry in context.upstream["coverage"].outputs.summary["passed"]}
    names = await _prepare(rasa, bench, context, folder, passed - set(golden))
    return _read(folder, "rasa", bench, context, golden, names)


def brought_in(bench: Workbench, context: Context) -> Made:
    """Rows of the folder that the answers name; golden are the passed tests that it holds on neither side.

    Raises UsageError, ProblemsError with what is wrong in the folder, StepFailed when there is nothing to learn.
    """
    answers: DatasetAnswers = context.answers
    assert answers.bring_in is not None
    passed = {entry["test"] for entry in context.upstream["coverage"].outputs.summary["passed"]}
    made = _read(answers.bring_in, str(answers.bring_in), bench, context, passed if answers.golden_fraction else ())
    if answers.golden_fraction and not made.divided.golden_tests:
        context.emit(
            Notice(
                "warning",
                "the folder holds every test that passed, so there is no golden set; prepare it with some tests left out to have one",
            )
        )
    return made


def _read(
    folder: Path,
    source: str,
    bench: Workbench,
    context: Context,
    golden: Collection[str],
    names: Mapping[str, str] | None = None,
) -> Made:
    """A prepared folder; of the tests in `golden` those that it holds on neither side are set aside."""
    by_rasa = source == "rasa"
    _tell_unused(context, _TAKEN_BY_RASA if by_rasa else _TAKEN_BROUGHT_IN)
    found = read_prepared(folder, bench.suite, bench.dialect, names)
    if not found.divided.train:
        raise StepFailed(f"{folder} has no rows to train on; prepare it again with tests that pass")
    for warning in found.warnings:
        context.emit(Notice("warning", warning))
    facts = {**rephrasing_facts(found.conversations, source, "rasa", 0), **diversity_facts(found.conversations)}
    del facts["llm_calls"]  # nobody counted them
    learnt = {*found.divided.split.train, *found.divided.split.validation}
    aside = tuple(case.id for case in bench.suite.cases if case.id in golden and case.id not in learnt)
    return Made(found.conversations, replace(found.divided, golden_tests=aside), facts, "rasa")


async def _prepare(rasa: Rasa, bench: Workbench, context: Context, out: Path, tests: Collection[str]) -> dict[str, str]:
    """Run the command on tests of some ids; returns test name → id."""
    answers: DatasetAnswers = context.answers
    coverage = context.upstream["coverage"]
    if not tests:
        raise StepFailed("no test passed the coverage review, so there is nothing to learn from")
    project = RasaProject.copy(rasa, bench.assistant.root, context.folder / COPY)
    await project.train_or_take(coverage.folder / COPY / MODELS)
    options = {
        "--num-rephrases": str(0 if answers.rephraser == "none" else answers.num_rephrases),
        "--train-frac": str(answers.train_fraction),
        "--output-format": answers.output_format,
        **_rephrase_config(answers, project.root),
    }
    return await project.prepare(bench.suite, tests, out, options)


def _rephrase_config(answers: DatasetAnswers, root: Path) -> dict[str, str]:
    """The option with a file that names the model and the prompt for rephrasing; nothing when the answers name neither."""
    content: dict[str, object] = {}
    if answers.rephrase_template is not None:
        content["prompt_template"] = str(answers.rephrase_template.resolve())
    if answers.rephrase_model is not None:
        model = named_model(answers.rephrase_model, answers.rephrase_address, answers.rephrase_key_variable)
        llm = {"provider": model.provider, "model": model.model}
        if model.api_base is not None:
            llm["api_base"] = model.api_base
        if model.api_key_variable is not None:
            llm["api_key"] = f"${{{model.api_key_variable}}}"
        content["llm"] = llm
    if not content:
        return {}
    write_yaml(root / _CONFIG, content)
    return {"--rephrase-config": _CONFIG}


def _tell_unused(context: Context, taken: set[str]) -> None:
    """Say which answers have no part in it."""
    answers: DatasetAnswers = context.answers
    unused = [
        name.replace("_", " ")
        for name, field in DatasetAnswers.model_fields.items()
        if name not in taken
        and getattr(answers, name) != field.default
        and not (isinstance(field.json_schema_extra, dict) and field.json_schema_extra.get("cosmetic"))
        and not (name == "rephraser" and answers.rephraser in ("llm", "none"))
    ]
    if unused:
        context.emit(
            Notice("warning", f"these answers have no part in rows that are made elsewhere: {', '.join(unused)}")
        )
