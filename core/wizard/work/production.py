"""The final model: trained on everything, judged by tests that none has seen."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from core.errors import StepFailed
from core.training.archive import ARCHIVE
from core.training.bundle import ModelArtifact
from core.training.derailed import follows
from core.training.diagnosis import Diagnosis
from core.training.metrics import read_curves
from core.wizard import quotes
from core.wizard.events import Log, Notice
from core.wizard.model_card import CARD, model_card, write_card
from core.wizard.step import Context, Gate, Outputs, Upstream
from core.wizard.steps.evaluation import EvaluationAnswers
from core.wizard.steps.training import METRICS, TrainingAnswers
from core.wizard.training_plan import FILE as PLAN
from core.wizard.work import judging, quantised
from core.wizard.work.judging import TestSet, judge, outputs_of
from core.wizard.work.training import left_files, train

ROWS = "combined_train_val.jsonl"
_NO_GOLDEN_SET = (
    "there is no golden set: validation was learnt too, so the tests show that nothing broke, not how well the model does on what it "
    "has not seen"
)


def estimate(context: Context) -> str:
    """What the comparison with the strong model will take, in words; "" without one."""
    dataset = context.upstream["dataset"]
    golden = dataset.outputs.summary.get("golden_test_ids", ())
    if not context.answers.retrain and not golden:
        return ""
    return judging.estimate(context, _bars(context), dataset, golden or dataset.outputs.summary["val_test_ids"])


def foretell(context: Context) -> str:
    """The plan of training again, in words; "" without it."""
    if not context.answers.retrain:
        return ""
    dataset = context.upstream["dataset"]
    settings = TrainingAnswers.model_validate(context.upstream["training"].outputs.summary["answers"])
    return quotes.foretell(context, settings, [dataset.path("train_rows"), dataset.path("val_rows")], None)


async def run(context: Context) -> Outputs:
    dataset, training = context.upstream["dataset"], context.upstream["training"]
    bars, answers = _bars(context), context.answers
    settings = TrainingAnswers.model_validate(training.outputs.summary["answers"])
    quantised.require_whole(answers.quantised, settings)
    if answers.retrain:
        outputs, rows = await _retrained(context, settings, bars), context.folder / ROWS
    else:
        outputs, rows = await _kept(context, training, dataset, bars), dataset.path("train_rows")
    if answers.quantised == "none":
        return outputs
    copy = quantised.Copy(answers.quantised, settings.machine, settings.gpus_needed, answers.quantise_python)
    return await quantised.with_copy(context, copy, outputs, rows, bars, _sets(dataset, bars))


async def _retrained(context: Context, settings: TrainingAnswers, bars: EvaluationAnswers) -> Outputs:
    """Train on all rows and judge what comes of it."""
    dataset, training = context.upstream["dataset"], context.upstream["training"]
    rows = merge_rows(dataset.path("train_rows"), dataset.path("val_rows"), context.folder / ROWS)
    context.emit(Log(f"training on all {rows} rows"))
    summary, diagnosis, _ = await train(context, settings, context.folder / ROWS, None)
    artifact = ModelArtifact.in_folder(context.folder)
    files = {**left_files(artifact), "rows": ROWS, "metrics": METRICS, "archive": ARCHIVE}
    if (context.folder / PLAN).is_file():
        files["plan"] = PLAN
    if not dataset.outputs.summary.get("golden_test_ids"):
        context.emit(Notice("warning", _NO_GOLDEN_SET))
    judged = await judge(context, bars, Upstream(Outputs({}, files), context.folder), dataset, _sets(dataset, bars))
    evaluated = outputs_of(judged, bars.accept, retraining=summary)
    curve = curve_gate(diagnosis, summary["train_loss"])
    course = course_gate(context.folder / METRICS, training.path("metrics"), summary["settings"]["epochs"])
    gates = [curve, course, *evaluated.gates]
    text = model_card(artifact.read_manifest(), dataset.outputs.summary, gates, evaluated.summary)
    files["card"] = write_card(text, context.folder, artifact.folder)
    return Outputs(evaluated.summary, {**files, **evaluated.files}, gates, artifact.digest)


def curve_gate(diagnosis: Diagnosis, train_loss: float | None) -> Gate:
    """Whether training went well, as far as training loss alone can say."""
    known = diagnosis.good and train_loss is not None
    ended = f"{train_loss:.3f} at the end" if known else str(diagnosis)
    return Gate("training loss", "not diverged", ended, diagnosis.good, detail="; ".join(diagnosis.evidence))


def course_gate(metrics: Path, earlier: Path, passes: float) -> Gate:
    """Whether training loss took the course of step 3's, which was validated. Both files are a run's metrics.jsonl."""
    compared = follows(read_curves(metrics), read_curves(earlier), passes)
    detail = "" if compared.followed else "look at the rows that only this run has, or train again with another seed"
    required = "training loss within 2 sd of step 3's"
    return Gate("course of training", required, compared.sentence, compared.followed, detail=detail)


def _bars(context: Context) -> EvaluationAnswers:
    """The answers of step 4, which hold here too."""
    return EvaluationAnswers.model_validate(context.upstream["evaluation"].outputs.summary["answers"])


def _sets(dataset: Upstream, bars: EvaluationAnswers) -> list[TestSet]:
    """The golden tests, which alone are unseen now, and all that was learnt; without golden tests the sides as they were."""
    train, validation = (dataset.outputs.summary[f"{side}_test_ids"] for side in ("train", "val"))
    golden = dataset.outputs.summary.get("golden_test_ids", ())
    if golden:
        return [
            TestSet("golden", golden, bars.validation_min),
            TestSet("training", [*train, *validation], bars.train_min),
        ]
    return [TestSet("validation", validation, bars.validation_min), TestSet("training", train, bars.train_min)]


def merge_rows(train_rows: Path, validation_rows: Path, into: Path) -> int:
    """Write both files' rows to a new one; returns their number. Raises StepFailed when a row got lost."""
    lines = [
        line
        for path in (train_rows, validation_rows)
        for line in path.read_text(encoding="utf-8").splitlines()
        if line.strip()
    ]
    into.write_text("\n".join(lines) + "\n", encoding="utf-8")
    with into.open(encoding="utf-8") as file:
        written = sum(1 for _ in file)
    if written != len(lines):
        raise StepFailed(f"{into} has {written} rows instead of {len(lines)}")
    return written


async def _kept(context: Context, training: Upstream, dataset: Upstream, bars: EvaluationAnswers) -> Outputs:
    """The model of step 3 as the final one, in this step's folder with a card of its own; it has yet to pass the golden tests."""
    files = {name: training.outputs.files[name] for name in ("model", "manifest")}
    shutil.rmtree(context.folder / files["model"], ignore_errors=True)
    shutil.copytree(
        training.path("model"),
        context.folder / files["model"],
        copy_function=_link,
        ignore=shutil.ignore_patterns(CARD),
    )
    shutil.copyfile(training.path("manifest"), context.folder / files["manifest"])
    artifact = ModelArtifact(context.folder / files["model"], context.folder / files["manifest"])
    golden = dataset.outputs.summary.get("golden_test_ids", ())
    if golden:
        judged = await judge(context, bars, training, dataset, [TestSet("golden", golden, bars.validation_min)])
        evaluated = outputs_of(judged, bars.accept, retrained=False)
    else:
        evaluated = Outputs({"retrained": False})
    before = context.upstream["evaluation"].outputs
    gates, summary = [*before.gates, *evaluated.gates], {**before.summary, **evaluated.summary}
    text = model_card(artifact.read_manifest(), dataset.outputs.summary, gates, summary)
    files["card"] = write_card(text, context.folder, artifact.folder)
    return Outputs(evaluated.summary, {**files, **evaluated.files}, evaluated.gates, training.outputs.digest)


def _link(source: str, place: str) -> None:
    """Another name of the same file, so that weights take no space twice; a copy where the disk has no such names."""
    try:
        os.link(source, place)
    except OSError:
        shutil.copy2(source, place)
