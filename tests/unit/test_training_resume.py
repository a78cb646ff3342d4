"""The training program stopped and killed, also while it writes a checkpoint: started again it comes to what an undisturbed run does."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from core.training.archive import ARCHIVE
from core.training.checksums import checksum
from core.training.metrics import curves_of
from tests import tiny_model
from tests.rigs.program import module
from tests.rigs.warm import WarmProcess
from tests.unit.test_training import events, rows, start, train

STEPS, EVERY = 143, 11
"""Steps of the run, not a whole number of passes and logged by twos; a checkpoint at every eleventh, so some lie between two logs."""
SETTINGS = {"epochs": 26, "evaluations": 7, "checkpoints": 13, "learning_rate": 0.01, "early_stop": False}
DATA = rows(22), rows(5)


@pytest.fixture(scope="module")
def eager(tmp_path_factory):
    return tiny_model.make(tmp_path_factory.mktemp("eager") / "model", spread=0.5)


@pytest.fixture(scope="module")
def whole(tmp_path_factory, eager):
    """The folder of a run that nothing disturbed."""
    folder = tmp_path_factory.mktemp("whole") / "job"
    done = train(folder, eager, *DATA, **SETTINGS)
    assert done.returncode == 0, done.stderr[-2000:]
    assert manifest(folder)["steps"] == STEPS
    return folder


def manifest(folder: Path):
    return json.loads((folder / "manifest.json").read_text())


def weights(folder: Path):
    from safetensors.torch import load_file

    return load_file(folder / "adapter" / "adapter_model.safetensors")


def assert_same_run(folder: Path, whole: Path) -> None:
    """Curves, weights and what the manifest tells, as if nothing had happened."""
    found, expected = curves_of(events(folder)), curves_of(events(whole))
    for name in ("train", "validation", "exact", "grad_norm", "learning_rate", "epoch"):
        points, wanted = getattr(found, name), getattr(expected, name)
        assert [step for step, _ in points] == [step for step, _ in wanted], name
        assert [value for _, value in points] == pytest.approx([value for _, value in wanted], rel=1e-5), name
    straight = weights(whole)
    for name, tensor in weights(folder).items():
        assert tensor.allclose(straight[name], rtol=1e-5, atol=1e-7), name
    told, expected_facts = manifest(folder), manifest(whole)
    assert told["chosen"] == pytest.approx(expected_facts["chosen"], rel=1e-5)
    for fact in ("steps", "archive", "unique_token_ratio"):
        assert told[fact] == expected_facts[fact], fact
    assert not (folder / "checkpoints").exists()


def until(folder: Path, model: Path, step: int, **more) -> subprocess.Popen[bytes] | WarmProcess:
    """The program, started or started again, when it has come to `step`."""
    told = folder / "events.jsonl"
    before = len(told.read_text()) if told.exists() else 0
    running = start(folder, model, *DATA, **SETTINGS, **more)
    while running.poll() is None:
        if told.exists() and f'"done": {step},' in told.read_text()[before:]:
            return running
        time.sleep(0.005)
    raise AssertionError(f"the program ended with {running.returncode} before step {step}: {running.communicate()}")


def resumed_from(folder: Path) -> list[int]:
    said = [event.get("line", "") for event in events(folder)]
    return [int(line.rpartition("-")[2]) for line in said if line.startswith("going on from ")]


@pytest.mark.parametrize("seed", range(2))
def test_stops_and_kills_at_any_moment_change_nothing(tmp_path, eager, whole, seed):
    draw, reached = random.Random(seed), 0
    for number in (signal.SIGTERM, signal.SIGKILL, signal.SIGTERM):
        at = draw.randint(reached + 1, reached + 40)
        running = until(tmp_path, eager, at)
        time.sleep(draw.uniform(0, 0.03))
        running.send_signal(number)
        running.communicate()
        assert running.returncode == (75 if number == signal.SIGTERM else -signal.SIGKILL)
        last = [event["done"] for event in events(tmp_path) if "done" in event][-1]
        kept = max(int(path.parent.name.split("-")[1]) for path in tmp_path.glob("checkpoints/*/complete.json"))
        assert kept == last if number == signal.SIGTERM else last - EVERY <= kept <= last
        reached = kept
    assert train(tmp_path, eager, *DATA, **SETTINGS).returncode == 0
    assert len(resumed_from(tmp_path)) == 3
    assert_same_run(tmp_path, whole)


def test_asked_to_finish_it_ends_one_step_on_and_keeps_the_best_so_far(tmp_path, eager):
    running = until(tmp_path, eager, 70)
    running.send_signal(signal.SIGTERM)
    running.communicate()
    kept = max(int(path.parent.name.split("-")[1]) for path in tmp_path.glob("checkpoints/*/complete.json"))
    done = train(tmp_path, eager, *DATA, **SETTINGS, environment={"CALMTUNE_FINISH": "1"})
    assert done.returncode == 0, done.stderr[-2000:]
    assert manifest(tmp_path)["steps"] == kept + 1
    validations = [step for step, _ in curves_of(events(tmp_path)).validation]
    assert manifest(tmp_path)["chosen"]["step"] in validations
    assert max(validations) <= kept + 1
    assert f"training ends at step {kept + 1} of {STEPS}, as asked" in done.stdout


KILL = """
import os, shutil, signal
import peft, torch, transformers

def killed(*arguments, **more):
    os.kill(os.getpid(), signal.SIGKILL)

def torn(write):
    def writes(what, to, *arguments, **more):
        write(what, to, *arguments, **more)
        if str(to).endswith({at!r}) and "checkpoint-33" in str(to):
            os.truncate(to, os.path.getsize(to) // 2)
            killed()
    return writes

torch.save = torn(torch.save)
transformers.TrainerState.save_to_json = torn(transformers.TrainerState.save_to_json)
if {at!r} == "complete.json":
    replace = os.replace
    os.replace = lambda source, to: killed() if "checkpoint-33" in str(to) else replace(source, to)
if {at!r} == "removal":
    remove = shutil.rmtree
    shutil.rmtree = lambda path, **more: killed() if "checkpoint-22" in str(path) else remove(path, **more)
if {at!r} == "merge":
    peft.PeftModel.merge_and_unload = killed
"""


@pytest.mark.parametrize(
    ("at", "goes_on_from"),
    [("optimizer.pt", 22), ("trainer_state.json", 22), ("complete.json", 22), ("removal", 33), ("merge", STEPS)],
)
def test_a_kill_while_a_checkpoint_or_the_model_is_written_changes_nothing(tmp_path, eager, whole, at, goes_on_from):
    (tmp_path / "patch").mkdir()
    (tmp_path / "patch" / "sitecustomize.py").write_text(KILL.format(at=at))
    patched = {"PYTHONPATH": str(tmp_path / "patch")}
    done = train(tmp_path / "job", eager, *DATA, **SETTINGS, environment=patched, cold=True)
    assert done.returncode == -signal.SIGKILL, done.stderr[-2000:]
    done = train(tmp_path / "job", eager, *DATA, **SETTINGS)
    assert done.returncode == 0, done.stderr[-2000:]
    assert resumed_from(tmp_path / "job") == [goes_on_from]
    left_aside = "checkpoints/checkpoint-33 is left aside: it was not written to its end" in done.stdout
    assert left_aside is (goes_on_from == 22)
    assert_same_run(tmp_path / "job", whole)


def test_a_damaged_checkpoint_is_named_and_not_used(tmp_path, eager, whole):
    running = until(tmp_path, eager, 30)
    running.terminate()
    running.communicate()
    (optimizer,) = tmp_path.glob("checkpoints/*/optimizer.pt")
    os.truncate(optimizer, optimizer.stat().st_size - 1)
    done = train(tmp_path, eager, *DATA, **SETTINGS)
    assert done.returncode == 0, done.stderr[-2000:]
    assert f"checkpoints/{optimizer.parent.name} is left aside: " in done.stdout
    assert "was changed (optimizer.pt)" in done.stdout
    assert resumed_from(tmp_path) == []
    assert_same_run(tmp_path, whole)


def test_going_on_with_another_archive_is_said(tmp_path, eager, whole):
    running = until(tmp_path, eager, 5)
    running.terminate()
    running.communicate()
    done = train(tmp_path, eager, *DATA, **SETTINGS, plan={"micro_rows": 2})
    assert done.returncode == 0, done.stderr[-2000:]
    assert f"the checkpoint is of the training archive {manifest(whole)['archive']}; this one has another" in done.stdout
    assert manifest(tmp_path)["archive"] == checksum(tmp_path / ARCHIVE) != manifest(whole)["archive"]


def test_processes_that_train_together_stop_and_die_together(tmp_path, eager):
    import psutil

    whole, folder = tmp_path / "whole", tmp_path / "job"
    assert train(whole, eager, *DATA, **SETTINGS, processes=2).returncode == 0
    for step, number in ((5, signal.SIGTERM), (25, signal.SIGKILL)):
        running = until(folder, eager, step, processes=2)
        workers = psutil.Process(running.pid).children(recursive=True)
        assert len(workers) >= 2
        running.send_signal(number)
        running.communicate()
        assert psutil.wait_procs(workers, timeout=30)[1] == []
    done = train(folder, eager, *DATA, **SETTINGS, processes=2)
    assert done.returncode == 0, done.stderr[-2000:]
    after_stop, after_kill = resumed_from(folder)
    assert 5 <= after_stop < after_kill
    assert_same_run(folder, whole)


def test_a_signal_while_processes_ask_one_another_is_not_lost(monkeypatch):
    import torch

    report, before = module("report"), signal.getsignal(signal.SIGTERM)
    monkeypatch.setenv("WORLD_SIZE", "2")
    told = report.Report(SimpleNamespace(args=SimpleNamespace(device="cpu")))
    try:
        monkeypatch.setattr(torch.distributed, "all_reduce", lambda *_: signal.raise_signal(signal.SIGTERM))
        told.on_train_end(None, None, None)
        assert not told.stopped
        monkeypatch.setattr(torch.distributed, "all_reduce", lambda *_: None)
        told.on_train_end(None, None, None)
        assert told.stopped
    finally:
        signal.signal(signal.SIGTERM, before)
