"""The training program with weights shared out among processes (FSDP2), against the same run of one process.

Accelerate shares out weights among GPUs only, so its processes without any pretend to be GPUs here; all else is the real program.
"""

from __future__ import annotations

import signal
import time

import pytest

from core.training.metrics import curves_of
from tests import tiny_model
from tests.unit.test_training import events, rows, start, train
from tests.unit.test_training_choice import (
    WORSENING,
    chosen,
    contradicting,
    loss_of_merged,
    predictions,
    steps_kept,
    validations,
    whole_events,
)

PRETENDED = """
from accelerate import state
from accelerate.utils import DistributedType
plain = state.PartialState.__init__
def pretending(self, *arguments, **more):
    plain(self, *arguments, **more)
    if self.distributed_type == DistributedType.MULTI_CPU:
        self.distributed_type = DistributedType.MULTI_GPU
state.PartialState.__init__ = pretending
"""
FULL = {"method": "full", "learning_rate": 0.003}


@pytest.fixture(scope="module")
def shared_out(tmp_path_factory):
    """Arguments of a run that shares out weights between two processes."""
    folder = tmp_path_factory.mktemp("pretended")
    (folder / "sitecustomize.py").write_text(PRETENDED)
    plan = {"sharded": True, "micro_rows": 1, "checkpointed_layers": 1}
    return {"processes": 2, "environment": {"PYTHONPATH": str(folder)}, "plan": plan}


@pytest.mark.parametrize("settings", [{"dtype": "bfloat16"}, FULL], ids=["lora", "full"])
def test_weights_shared_out_learn_the_same(tmp_path, shared_out, settings):
    tied = tiny_model.make(tmp_path / "model", tied=True)
    for name, more in (("alone", {}), ("together", shared_out)):
        done = train(tmp_path / name, tied, rows(24), rows(6), epochs=2, **settings, **more)
        assert done.returncode == 0, done.stderr[-2000:]
    assert "weights are shared out among 2 GPUs" in done.stdout
    assert "activations of 1 of 2 layers are computed again" in done.stdout
    alone, together = (curves_of(events(tmp_path / name)) for name in ("alone", "together"))
    near = {"rel": 2e-3 if settings.get("dtype") == "bfloat16" else 1e-4}
    for one, other in ((alone.train, together.train), (alone.validation, together.validation)):
        assert [step for step, _ in one] == [step for step, _ in other]
        assert [loss for _, loss in one] == pytest.approx([loss for _, loss in other], **near)
    assert (tmp_path / "together" / "adapter").exists() == ("method" not in settings)
    saved, same = (loss_of_merged(tmp_path / name, rows(6)) for name in ("together", "alone"))
    assert saved == pytest.approx(same, **near)
    assert len(predictions(tmp_path / "together")) == 6


@pytest.mark.parametrize("settings", [{}, FULL], ids=["lora", "full"])
def test_stopped_and_started_again_the_best_weights_are_whole(tmp_path, tmp_path_factory, shared_out, settings):
    eager = tiny_model.make(tmp_path_factory.mktemp("eager") / "model", spread=0.5)
    asked = WORSENING | {"epochs": 8, "evaluations": 8} | settings | shared_out
    running = start(tmp_path, eager, *contradicting(), **asked)
    while running.poll() is None:
        if (tmp_path / "events.jsonl").exists() and any(event.get("done", 0) >= 22 for event in whole_events(tmp_path)):
            break
        time.sleep(0.01)
    running.send_signal(signal.SIGTERM)
    running.communicate()
    last = steps_kept(tmp_path)["last"]
    assert last
    done = train(tmp_path, eager, *contradicting(), **asked)
    assert done.returncode == 0, done.stderr[-2000:]
    assert f"going on from checkpoints/checkpoint-{last[-1]}" in done.stdout
    found, choice = validations(tmp_path), chosen(tmp_path)
    assert choice["step"] < max(found), "the test needs weights from before the end"
    assert loss_of_merged(tmp_path, contradicting()[1]) == pytest.approx(found[choice["step"]]["eval_loss"], rel=1e-3)
