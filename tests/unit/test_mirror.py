"""Checkpoints of a job on a machine that vanishes are kept here, and go with the job to the next machine."""

from __future__ import annotations

import json

import pytest

from core.errors import Interrupted, StepFailed
from core.wizard.jobs import JobKeeper
from core.wizard.journal import Journal
from provisioning.job import Job, JobStatus
from provisioning.target import Chunk, silent


def lines(*events):
    return b"".join(json.dumps(event).encode() + b"\n" for event in events)


class Vanishing:
    """A place whose machines vanish after each checkpoint, until one holds."""

    name = "sky"
    vanishes = True

    def __init__(self, machines: int, recovers: bool, whole: bool = True) -> None:
        self.left, self.recovers, self.whole = machines, recovers, whole
        self.sent: list[dict[str, str]] = []

    def submit(self, job, say=silent):
        self.sent.append({
            name: "\n".join(sorted(file.name for file in path.rglob("*"))) if path.is_dir() else path.read_text()
            for name, path in job.files.items()
        })  # fmt: skip
        return job.name

    def follow(self, id, offset=0):
        number = len(self.sent)
        yield Chunk(self.sent[-1].get("events.jsonl", "").encode(), 0)
        yield Chunk(lines({"type": "metric", "step": number}, {"type": "checkpoint", "step": number}), 1)
        yield Chunk(lines({"type": "metric", "step": number + 0.5}), 2)

    def fetch(self, id, paths, into):
        if not self.whole:
            raise StepFailed("it is just being replaced")
        place = into / paths[0] / f"checkpoint-{len(self.sent)}"
        place.mkdir(parents=True)
        (place / "complete.json").write_text("{}")

    def status(self, id):
        if len(self.sent) < self.left:
            return JobStatus(id, "interrupted", detail="the machine is not there", lost=True)
        return JobStatus(id, "succeeded", 0)


@pytest.fixture
def keeper(tmp_path):
    journal = Journal(tmp_path / "session.db")
    yield lambda target: JobKeeper(journal, {"sky": target}, "one", "training", "k" * 12)
    journal.close()


async def test_a_spot_machine_that_is_taken_back_is_replaced_from_the_last_checkpoint(keeper, tmp_path):
    target, heard = Vanishing(3, recovers=True), []
    await keeper(target).run(Job("train", ("python",)), heard.append, "sky")
    assert [sorted(files) for files in target.sent] == [[], ["checkpoints", "events.jsonl"], ["checkpoints", "events.jsonl"]]
    assert target.sent[1]["checkpoints"].startswith("checkpoint-1")
    assert target.sent[2]["checkpoints"].startswith("checkpoint-2")
    assert json.loads(target.sent[1]["events.jsonl"].splitlines()[0]) == {"type": "metric", "step": 1}
    assert [event["line"] for event in heard if event["type"] == "log"] == ["the machine was taken back; going on on another one"] * 2
    assert [event["step"] for event in heard if event["type"] == "metric"] == [1, 1.5, 2, 2.5, 3, 3.5], "each once"
    assert not list((tmp_path / "mirrors").iterdir()), "what has succeeded needs none"


async def test_on_demand_the_owner_is_told_and_the_next_run_goes_on(keeper):
    target = Vanishing(2, recovers=False)
    with pytest.raises(Interrupted, match="the machine is not there; run again to continue from its last checkpoint"):
        await keeper(target).run(Job("train", ("python",)), lambda event: None, "sky")
    await keeper(target).run(Job("train", ("python",)), lambda event: None, "sky")
    assert target.sent[1]["checkpoints"].startswith("checkpoint-1")


async def test_a_checkpoint_that_cannot_be_fetched_is_let_pass(keeper):
    target = Vanishing(2, recovers=True, whole=False)
    await keeper(target).run(Job("train", ("python",)), lambda event: None, "sky")
    assert target.sent == [{}, {}]
