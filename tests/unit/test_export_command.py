"""`calmtune export`: what it takes along, what it prints, what it refuses; and the same while a step runs."""

from __future__ import annotations

import asyncio
import json
import os
import re
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from core.errors import UsageError
from core.serving.export.copying import MARK, SUMS
from core.serving.export.folder import FolderStore
from core.serving.export.store import PIECE
from core.training.bundle import ModelArtifact
from core.training.checksums import checksums
from core.wizard.events import Progress
from core.wizard.exporting import TakenAway, export_in_step
from core.wizard.session import Session
from core.wizard.step import Context, Gate, Outputs
from tests.rigs.finished import (
    COVERAGE,
    DATASET,
    DEPLOYMENT,
    FULL_EVALUATION,
    PLAIN_EVALUATION,
    TRAINED,
    TRAINED_FILES,
    TRAINING,
    finish,
)

ROOT = Path(__file__).resolve().parents[2]
HELP = """\
Usage: calmtune export [OPTIONS] [PLACE | SESSION]

  Copy the final model to PLACE, with manifest, model card and the files to
  serve it elsewhere.

  PLACE is a folder (written with a slash, as in ./models),
  s3://bucket/prefix, gs://bucket/prefix or az://container/prefix. What was
  cut goes on where it was. SHA256SUMS is there when all of it was read back
  and is equal.

  Without PLACE, copy the answers, reports and finished outputs of SESSION
  (models left out) to a folder.

Options:
  --session TEXT  Session whose model goes to PLACE; the newest when not
                  given.
  --out PATH      Without PLACE: folder to write.  [default: calmtune-export]
  --json          Print one JSON document on stdout.
  -h, --help      Show this message and exit.
"""


def model_in(folder: Path, content: bytes = b"weights", **facts: str) -> None:
    """What training leaves: a folder with a card, and a manifest beside it."""
    folder.mkdir(parents=True)
    (folder / "model.safetensors").write_bytes(content)
    (folder / "config.json").write_text("{}")
    manifest = {"files": checksums(folder), **facts}
    (folder / "README.md").write_text("# Command generator")
    (folder.parent / ("manifest.json" if facts.get("artifact") else f"{folder.name}.json")).write_text(json.dumps(manifest))


@pytest.fixture
def session(tmp_path):
    (tmp_path / "bot").mkdir()
    made = Session.create(tmp_path / ".calmtune" / "sessions", "one")
    made.answer("session", {"assistant": str(tmp_path / "bot")})
    finish(made, "coverage", COVERAGE)
    finish(made, "dataset", DATASET)
    finish(made, "training", TRAINING, (), TRAINED, TRAINED_FILES)
    finish(made, "evaluation", FULL_EVALUATION)
    yield made
    made.close()


def produce(session: Session, quantised: bool = False, passed: bool = True, kind: str = "merged") -> Path:
    """The production step done; its folder."""
    status = session.status("production")
    folder = session.begin(status)
    name = {"merged": "model", "adapter": "adapter"}[kind]
    model_in(folder / name, artifact=kind)
    files = {"model": name, "manifest": "manifest.json"}
    if quantised:
        model_in(folder / "quantised", b"less", kind="int4")
        files |= {"quantised": "quantised", "quantised_manifest": "quantised.json"}
    gate = Gate("golden tests", "≥ 80.0 %", "10.0 %", passed)
    done = session.finish(status, Outputs(PLAIN_EVALUATION, files, (gate,)))
    assert done.folder is not None
    return done.folder


def deploy(session: Session) -> None:
    names = {"docker": "deploy/docker.sh", "kubernetes": "deploy/kubernetes.yaml"}
    finish(session, "deployment", DEPLOYMENT, (), names, dict.fromkeys(names.values(), "…"))


@pytest.fixture
def calmtune(tmp_path, session):
    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        session.close()
        return subprocess.run(
            [sys.executable, "-m", "tui.cli", *arguments],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            env={**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "80"},
            stdin=subprocess.DEVNULL,
            check=False,
        )

    return run


def names_in(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


MODEL = {"model/model.safetensors", "model/config.json", "model/README.md", "manifest.json", SUMS, MARK}


def test_its_help(calmtune):
    done = calmtune("export", "--help")
    assert done.stdout.replace("python -m tui.cli", "calmtune") == HELP
    assert "export" in calmtune("--help").stdout


def test_the_model_goes_to_a_folder_with_what_it_takes_to_serve_it(calmtune, session, tmp_path):
    produce(session)
    deploy(session)
    done = calmtune("export", "./copy")
    place = tmp_path / "copy"
    assert (done.returncode, done.stdout) == (0, f"{place}\n"), done.stderr
    assert names_in(place) == MODEL | {"deploy/docker.sh", "deploy/kubernetes.yaml"}
    ModelArtifact.in_folder(place).verify()
    assert "6 files, 0.0 MB, read back and equal" in done.stderr
    again = calmtune("export", "copy", "--session", "one", "--json")
    told = json.loads(again.stdout)
    assert {**told, "bytes": 0} == {
        "session": "one", "place": str(place), "files": 6, "bytes": 0, "sent_files": 0, "sent_bytes": 0,
    }  # fmt: skip


def test_the_same_lines_on_any_output_and_no_others(calmtune, session, tmp_path):
    produce(session)
    lines = calmtune("export", f"{tmp_path}/copy").stderr.splitlines()
    assert lines[0] == f"exporting the model of session one to {tmp_path}/copy"
    assert all(re.fullmatch(r"  (sending|reading back): [\d.]+ of [\d.]+ MB", line) for line in lines[1:-1])
    assert len(lines) == len(set(lines))  # and each says something new, also when a file is too small to be seen in the count
    assert lines[-1] == "4 files, 0.0 MB, read back and equal; 0.0 MB had to be sent"


def test_the_quantised_copy_is_the_model_where_there_is_one(calmtune, session, tmp_path):
    produce(session, quantised=True)
    assert calmtune("export", "./copy").returncode == 0
    assert names_in(tmp_path / "copy") == MODEL
    assert (tmp_path / "copy" / "model" / "model.safetensors").read_bytes() == b"less"
    assert json.loads((tmp_path / "copy" / "manifest.json").read_text())["kind"] == "int4"


def test_an_adapter_keeps_its_name(calmtune, session, tmp_path):
    produce(session, kind="adapter")
    assert calmtune("export", "./copy").returncode == 0
    assert ModelArtifact.in_folder(tmp_path / "copy").folder.name == "adapter"


def test_without_a_final_model(calmtune):
    done = calmtune("export", "./copy")
    assert done.returncode == 2
    assert "session one has no final model (production is ready); `calmtune resume one` makes it" in done.stderr


def test_a_model_that_is_not_good_enough(calmtune, session, tmp_path):
    produce(session, passed=False)
    done = calmtune("export", "./copy")
    assert done.returncode == 5
    assert "golden tests 10.0 %, required ≥ 80.0 %" in done.stderr
    assert not (tmp_path / "copy").exists()


def test_a_model_that_was_changed(calmtune, session, tmp_path):
    (produce(session) / "model" / "config.json").write_text("{ }")
    done = calmtune("export", "./copy")
    assert done.returncode == 1
    assert "config.json is not the file that was trained" in done.stderr
    assert not (tmp_path / "copy").exists()


def test_into_the_models_own_folder(calmtune, session, tmp_path):
    folder = produce(session)
    done = calmtune("export", f"{folder}/model/copy")
    assert done.returncode == 2
    assert "lies in the folder of the model itself" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("ftp://host/x",), "ftp:// is no place to export to"),
        (("s3://",), "needs the name of a bucket"),
        (("models",), "for a folder of that name write ./models"),
        (("./models", "--session", "two"), "is no session"),
        (("./models", "--out", "copy"), "give either PLACE or --out"),
    ],
)
def test_mistakes_are_sentences(calmtune, arguments, sentence):
    done = calmtune("export", *arguments)
    assert done.returncode == 2
    assert sentence in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


def test_papers_without_a_place(calmtune, session, tmp_path):
    produce(session)
    for arguments in (("one", "--out", "a"), ("--session", "one", "--out", "b"), ("--out", "c"), ("one",)):
        assert calmtune("export", *arguments).returncode == 0
    for folder in ("a", "b", "c", "calmtune-export"):
        assert {"answers.yml", "production/manifest.json"} <= names_in(tmp_path / folder)
        assert not list((tmp_path / folder).rglob("*.safetensors"))
    assert json.loads(calmtune("export", "--out", "d", "--json").stdout) == {"session": "one", "folder": "d"}


# While a step runs


@pytest.fixture
def taken(tmp_path):
    model_in(tmp_path / "run" / "model", bytes(4 * PIECE), artifact="merged")
    return TakenAway(ModelArtifact.in_folder(tmp_path / "run"), None)


def context(tmp_path: Path, emit) -> Context:
    return Context(answers=None, shared=None, upstream={}, folder=tmp_path, emit=emit, jobs=None)  # type: ignore[arg-type]


def test_a_step_tells_how_far_it_is(tmp_path, taken):
    events: list[Progress] = []
    done = asyncio.run(export_in_step(context(tmp_path, events.append), taken, FolderStore(tmp_path / "copy")))
    assert done.files == 4
    assert {event.label for event in events} == {"sending", "reading back"}
    assert events[-1].done == events[-1].total == round(done.bytes / 1e6, 1)
    assert events[-1].unit == "MB"


def test_a_step_that_is_cancelled_leaves_the_export_and_goes_on_later(tmp_path, taken):
    store, cancelled = FolderStore(tmp_path / "copy"), threading.Event()

    async def cancel() -> None:
        told, loop = asyncio.Event(), asyncio.get_running_loop()

        def emit(event: Progress) -> None:
            loop.call_soon_threadsafe(told.set)
            cancelled.wait()

        running = asyncio.create_task(export_in_step(context(tmp_path, emit), taken, store))
        await told.wait()
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        cancelled.set()

    asyncio.run(cancel())  # waits for the thread
    assert not (tmp_path / "copy" / SUMS).exists()
    again = taken.export(store, lambda what, done, total: None)
    assert again.sent_bytes < again.bytes


@pytest.mark.parametrize("text", ["ftp://x", "s3://key:word@bucket/x"])
def test_an_answer_that_is_no_place_is_refused_when_it_is_given(session, text):
    with pytest.raises(UsageError, match=r"deployment.export_to: .*(no place to export to|takes a bucket's name only)"):
        session.answer("deployment", {"export_to": text})
    session.answer("deployment", {"export_to": "s3://bucket/x"})
    session.answer("deployment", {"export_to": ""})
