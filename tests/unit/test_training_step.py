"""The training step's account of its curves: what is told live, the gate and the evidence beside it."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import pytest

from core.training.archive import ARCHIVE
from core.training.checksums import checksum
from core.training.diagnosis import Diagnosis
from core.wizard import base_model
from core.wizard.events import Notice
from core.wizard.session import Session
from core.wizard.shared import SharedAnswers
from core.wizard.step import Context, Outputs, Upstream
from core.wizard.steps.training import TrainingAnswers
from core.wizard.work import production, training
from tests.rigs.curves import curves_like
from tests.rigs.finished import finish_all, manifest


class OneJob:
    """Jobs of a machine on which training was over before: it tells its events and leaves a model."""

    def __init__(self, state: str) -> None:
        curves, _ = curves_like(state, 1)
        self._events = [
            {"type": "metric", "step": step, "values": {name: value}}
            for name, points in (
                ("loss", curves.train),
                ("eval_loss", curves.validation),
                ("eval_exact_match", curves.exact),
            )
            for step, value in points
        ]
        told = {"step": 1, "state": "overfitting", "sentence": "it rose", "good": False}
        self._events.append({"type": "diagnosis", **told})

        self.fetched: list[str] = []

    async def run(self, job, on_event, place, ending=None):
        self.job = job
        with zipfile.ZipFile(job.files[ARCHIVE]) as archive:
            assert {"__main__.py", "core/training/diagnosis.py", "config.json", "train.jsonl"} <= set(archive.namelist())
            assert "val.jsonl" not in archive.namelist()
        for event in self._events:
            on_event(event)

    async def fetch(self, job, paths, into: Path):
        kind = json.loads(job_configuration(self.job))["artifact"]
        for name in paths:
            if name == "manifest.json":
                (into / name).write_text(json.dumps(manifest(kind)))
            elif name != ARCHIVE:  # it is in the step's folder already
                (into / name).mkdir(exist_ok=True)
        self.fetched = [*self.fetched, *paths]


def job_configuration(job) -> str:
    return (zipfile.Path(job.files[ARCHIVE]) / "config.json").read_text()


async def trained(
    folder: Path, state: str, monkeypatch, answers: TrainingAnswers | None = None, jobs: OneJob | None = None
) -> tuple[Outputs, list[object]]:
    (folder / "train.jsonl").write_text('{"prompt": "a", "completion": "b"}\n')
    (folder / "val.jsonl").write_text("")
    monkeypatch.setattr(base_model, "resolve_here", lambda *_: as_is(folder))
    dataset = Upstream(Outputs({}, {"train_rows": "train.jsonl", "val_rows": "val.jsonl"}), folder)
    told: list[object] = []
    shared = SharedAnswers.model_construct(seed=1)
    context = Context(
        answers or TrainingAnswers(), shared, {"dataset": dataset}, folder, told.append, jobs or OneJob(state)
    )
    return await training.run(context), told


async def as_is(folder: Path) -> Path:
    return folder


@pytest.mark.parametrize(("state", "passed"), [("overfitting", False), ("converged", True), ("underfitting", True)])
async def test_the_gate_names_the_state_and_shows_the_evidence(tmp_path, monkeypatch, state, passed):
    outputs, told = await trained(tmp_path, state, monkeypatch)
    (gate,) = outputs.gates
    assert gate.measured.startswith(f"{state}: validation loss ")
    assert gate.measured == outputs.summary["diagnosis"]
    assert gate.passed is passed
    assert "; validation loss " in gate.detail
    assert "; rows written exactly " in gate.detail
    assert [event for event in told if isinstance(event, Notice)] == [Notice("warning", "overfitting: it rose")]


@pytest.mark.parametrize("gpus", [0, 1, 2])
async def test_several_gpus_train_together(tmp_path, monkeypatch, gpus):
    jobs = OneJob("converged")
    outputs, _ = await trained(tmp_path, "converged", monkeypatch, TrainingAnswers(gpus=gpus), jobs)
    assert jobs.job.files == {ARCHIVE: tmp_path / outputs.files["archive"]}
    assert outputs.summary["archive"] == checksum(tmp_path / ARCHIVE)
    _, *arguments = jobs.job.command
    assert arguments[-2:] == [ARCHIVE, str(tmp_path)]
    together = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    assert arguments[:-2] == (together if gpus == 2 else [])
    assert jobs.job.resources.gpus == gpus


@pytest.mark.parametrize(
    ("found", "measured"),
    [
        (Diagnosis("too few points", "0 validation points"), "0.100 at the end"),
        (Diagnosis("broken labels", "the loss is 0"), "broken labels: the loss is 0"),
        (Diagnosis("diverged", "it rose"), "diverged: it rose"),
    ],
)
def test_the_production_model_has_no_validation_but_may_be_broken(found, measured):
    gate = production.curve_gate(found, 0.1)
    assert (gate.measured, gate.passed) == (measured, found.good)


@pytest.mark.parametrize(
    ("asked", "machine", "kind"),
    [
        ("auto", "local", "merged"),
        ("auto", "ssh:box", "adapter"),
        ("merged", "ssh:box", "merged"),
        ("adapter", "local", "adapter"),
    ],
)
def test_an_adapter_travels_and_a_merged_model_stays_unless_told_otherwise(asked, machine, kind):
    assert TrainingAnswers(artifact=asked, machine=machine).artifact_kind == kind


@pytest.mark.parametrize("kind", ["merged", "adapter"])
async def test_only_what_was_asked_for_is_fetched_and_given_on_as_the_model(tmp_path, monkeypatch, kind):
    jobs = OneJob("converged")
    answers = TrainingAnswers(artifact=kind, base_model="tiny/model")
    outputs, _ = await trained(tmp_path, "converged", monkeypatch, answers, jobs)
    told = json.loads(job_configuration(jobs.job))
    assert (told["name"], told["artifact"]) == ("tiny/model", kind)
    assert jobs.fetched[0] == "manifest.json"
    assert ("model" in jobs.fetched) is (kind == "merged")
    assert outputs.files["model"] == ("model" if kind == "merged" else "adapter")
    assert outputs.files["adapter"] == "adapter"
    assert outputs.summary["artifact"] == kind
    card = (tmp_path / outputs.files["card"]).read_text()
    assert card == (tmp_path / outputs.files["model"] / "README.md").read_text()
    assert "Not evaluated yet." in card


def test_another_kind_of_artifact_is_another_training_but_another_machine_is_not(tmp_path):
    (tmp_path / "bot").mkdir()
    session = Session.create(tmp_path / "home", "one")
    session.answer("session", {"assistant": str(tmp_path / "bot")})
    finish_all(session)
    assert session.status("training").state == "fresh"
    session.answer("training", {"machine": "ssh:box"})
    assert session.status("training").state == "fresh", "auto is content with what is there"
    session.answer("training", {"artifact": "adapter"})
    status = session.status("training")
    assert (status.state, status.reason) == ("stale", "artifact auto → adapter")
    session.answer("training", {})
    assert session.status("training").state == "fresh"
    session.close()
