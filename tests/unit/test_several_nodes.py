"""The training program on two nodes: real processes that share nothing but the loopback, with work folders of their own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from core.training.archive import ARCHIVE
from core.training.metrics import curves_of
from core.training.plan import SPINS
from core.wizard.needs import need_of
from core.wizard.steps.training import TrainingAnswers
from core.wizard.training_need import together_command
from provisioning import member
from provisioning.job import Job
from tests import tiny_model
from tests.unit.test_sky_nodes import cloud, folders, server, target  # noqa: F401
from tests.unit.test_training import events, prepare, rows, train
from tests.unit.test_training_choice import (
    WORSENING,
    chosen,
    contradicting,
    loss_of_merged,
    steps_kept,
    validations,
    whole_events,
)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    return tiny_model.make(tmp_path_factory.mktemp("tiny") / "model")


def start_nodes(folder: Path, tiny: Path, data, validation, /, **settings) -> list[subprocess.Popen[bytes]]:
    """A member on each of two nodes, whose folders are head/ and node1/; started again, they go on."""
    (folder / "node1").mkdir(parents=True, exist_ok=True)
    prepare(folder / "head", data, validation, **settings)
    (folder / "node1" / ARCHIVE).write_bytes((folder / "head" / ARCHIVE).read_bytes())
    told = {
        "SKYPILOT_NODE_IPS": "127.0.0.1\n127.0.0.1", "SKYPILOT_TASK_ID": f"sky-{folder}-{time.monotonic()}", "HF_HUB_OFFLINE": "1",
        "GOMP_SPINCOUNT": SPINS,
    }  # fmt: skip
    started = []
    for rank, name in enumerate(("head", "node1")):
        own = {"SKYPILOT_NODE_RANK": str(rank), "CALMTUNE_EVENTS": str(folder / name / "events.jsonl")}
        command = [sys.executable, member.__file__, "2", "1", ARCHIVE, str(tiny)]
        with (folder / f"{name}.log").open("ab") as log:
            started.append(subprocess.Popen(command, cwd=folder / name, env={**os.environ, **told, **own}, stdout=log, stderr=log))
    return started


def test_two_rented_nodes_learn_what_one_process_does(tmp_path, tiny, target):  # noqa: F811
    alone = train(tmp_path / "alone", tiny, rows(24), rows(6), epochs=2)
    assert alone.returncode == 0, alone.stderr[-2000:]
    together = together_command(TrainingAnswers(machine="sky:small", gpus=0, nodes=2))
    job = Job(
        "train", (sys.executable, *together.command, ARCHIVE, str(tiny)), {**together.files, ARCHIVE: tmp_path / "alone" / ARCHIVE},
        {"HF_HUB_OFFLINE": "1", "GOMP_SPINCOUNT": SPINS}, resources=need_of(0, 2),
    )  # fmt: skip
    id = target.submit(job)
    list(target.follow(id))
    head, other = folders(tmp_path, "train")
    assert target.status(id).state == "succeeded", (head / "log.txt").read_text()[-3000:]
    one, two = (curves_of(events(folder)) for folder in (tmp_path / "alone", head))
    for curve, same in ((one.train, two.train), (one.validation, two.validation)):
        assert [step for step, _ in curve] == [step for step, _ in same]
        assert [loss for _, loss in curve] == pytest.approx([loss for _, loss in same], rel=1e-4)
    assert loss_of_merged(head, rows(6)) == pytest.approx(loss_of_merged(tmp_path / "alone", rows(6)), rel=1e-4)
    assert (other / "events.jsonl").read_text() == "", "one speaks for all"
    assert not (other / "manifest.json").exists()


@pytest.mark.slow
def test_stopped_and_started_again_the_other_node_gets_the_checkpoint(tmp_path, tmp_path_factory):
    eager = tiny_model.make(tmp_path_factory.mktemp("eager") / "model", spread=0.5)
    asked = {**WORSENING, "epochs": 8, "evaluations": 8}
    head = tmp_path / "head"
    nodes = start_nodes(tmp_path, eager, *contradicting(), **asked)
    while nodes[0].poll() is None:
        if (head / "events.jsonl").exists() and any(event.get("done", 0) >= 22 for event in whole_events(head)):
            break
        time.sleep(0.01)
    nodes[0].send_signal(signal.SIGTERM)
    for node in nodes:
        node.wait()  # the other one ends as well
    last = steps_kept(head)["last"]
    assert last
    nodes = start_nodes(tmp_path, eager, *contradicting(), **asked)
    assert [node.wait() for node in nodes] == [0, 0], (tmp_path / "head.log").read_text()[-3000:]
    assert f"going on from checkpoints/checkpoint-{last[-1]}" in (tmp_path / "head.log").read_text()
    found, choice = validations(head), chosen(head)
    assert choice["step"] < max(found), "the test needs weights from before the end"
    assert loss_of_merged(head, contradicting()[1]) == pytest.approx(found[choice["step"]]["eval_loss"], rel=1e-3)


@pytest.mark.slow
def test_a_node_that_dies_ends_the_others(tmp_path, tiny):
    nodes = start_nodes(tmp_path, tiny, rows(64), rows(6), epochs=50)
    while nodes[0].poll() is None:
        if (tmp_path / "head" / "events.jsonl").exists() and any("done" in event for event in whole_events(tmp_path / "head")):
            break
        time.sleep(0.01)
    nodes[1].kill()
    assert nodes[1].wait() < 0
    assert nodes[0].wait() != 0


def test_what_a_member_is_told():
    told = {"SKYPILOT_TASK_ID": "sky-1", "SKYPILOT_NODE_RANK": "1", "SKYPILOT_NODE_IPS": "10.0.0.4\n10.0.0.5"}
    first, same = (member.torchrun("2", "8", ["training.pyz", "base"], {**told, "SKYPILOT_NODE_RANK": rank}) for rank in "01")
    other = member.torchrun("2", "8", ["training.pyz", "base"], {**told, "SKYPILOT_TASK_ID": "sky-2"})
    value = {name: [line[line.index(name) + 1] for line in (first, same, other)] for name in ("--rdzv_id", "--master_addr", "--node_rank")}
    assert value["--master_addr"] == ["10.0.0.4"] * 3
    assert value["--node_rank"] == ["0", "1", "1"]
    assert value["--rdzv_id"][0] == value["--rdzv_id"][1] != value["--rdzv_id"][2]
    assert first[-2:] == ["training.pyz", "base"]


def test_a_member_without_a_job_says_so(tmp_path):
    alone = subprocess.run([sys.executable, member.__file__, "2", "1", "x"], capture_output=True, text=True, env={}, check=False)
    assert alone.returncode == 1
    assert alone.stdout.strip() == "this is no node of a job on several: SKYPILOT_TASK_ID is not in the environment"
