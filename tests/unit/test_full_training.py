"""Training all weights: what is learnt, which weights are taken, what is left, through kills too."""

from __future__ import annotations

import json

import pytest

from core.training.metrics import curves_of
from tests import tiny_model
from tests.unit.test_training import events, rows, train
from tests.unit.test_training_choice import (
    WORSENING,
    chosen,
    contradicting,
    decode,
    loss_of_merged,
    predictions,
    row,
    steps_kept,
    until,
    validations,
)

FULL = {"method": "full", "learning_rate": 0.003}


@pytest.fixture(scope="module")
def tied(tmp_path_factory):
    """A tiny model whose head is its embedding."""
    return tiny_model.make(tmp_path_factory.mktemp("tied") / "model", tied=True)


@pytest.fixture(scope="module")
def eager(tmp_path_factory):
    return tiny_model.make(tmp_path_factory.mktemp("eager") / "model", spread=0.5)


def weights(folder):
    from safetensors.torch import load_file

    return load_file(folder / "model" / "model.safetensors")


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_all_weights_learn_and_what_was_tied_stays_tied(tmp_path, tied, dtype):
    import torch
    from safetensors.torch import load_file
    from transformers import AutoModelForCausalLM

    job = tmp_path / "job"
    done = train(job, tied, rows(24), rows(6), epochs=4, dtype=dtype, **FULL)
    assert done.returncode == 0, done.stderr[-2000:]
    found = validations(job)
    assert found[max(found)]["eval_loss"] < found[min(found)]["eval_loss"] - 0.5
    before, after = load_file(tied / "model.safetensors"), weights(job)
    assert after.keys() == before.keys(), "the head is not written a second time"
    assert {weight.dtype for weight in after.values()} == {getattr(torch, dtype)}
    assert all((weight.float() - before[name]).abs().max() > 1e-4 for name, weight in after.items())
    model = AutoModelForCausalLM.from_pretrained(job / "model", dtype="auto")
    assert model.lm_head.weight is model.model.embed_tokens.weight
    assert model.dtype == getattr(torch, dtype)
    assert not (job / "adapter").exists()
    assert (job / "model" / "chat_template.jinja").is_file()
    (check,) = [event["line"] for event in events(job) if "against plain rows" in event.get("line", "")]
    assert "rows are trained one by one" not in done.stdout
    if dtype == "float32":
        assert float(check.split("by ")[2]) < 1e-4


def test_what_it_writes_is_what_greedy_decoding_writes(tmp_path, eager):
    data = [row(number) for number in range(8)]
    done = train(tmp_path, eager, [row(n) for n in range(40)], data, epochs=5, evaluations=2, **FULL)
    assert done.returncode == 0, done.stderr[-2000:]
    written, _ = decode(tmp_path, data)
    assert [entry["predicted"] for entry in predictions(tmp_path)] == written
    assert chosen(tmp_path)["exact_match"] == sum(
        text == body["completion"] for text, body in zip(written, data, strict=True)
    ) / len(data)


@pytest.fixture(scope="module")
def worsening(tmp_path_factory, eager):
    folder = tmp_path_factory.mktemp("worsening") / "job"
    done = train(folder, eager, *contradicting(), **WORSENING | FULL)
    assert done.returncode == 0, done.stderr[-2000:]
    return folder


def test_when_validation_gets_worse_the_earlier_weights_are_taken(worsening):
    found, choice = validations(worsening), chosen(worsening)
    best = max(found, key=lambda step: (found[step]["eval_exact_match"], -found[step]["eval_loss"], -step))
    assert choice["step"] == best < max(found)
    assert found[max(found)]["eval_loss"] > 1.1 * found[best]["eval_loss"]
    assert loss_of_merged(worsening, contradicting()[1]) == pytest.approx(found[best]["eval_loss"], rel=1e-3)


def test_killed_and_started_again_it_comes_to_the_same_weights(tmp_path, eager, worsening):
    best = chosen(worsening)["step"]
    killed = until(tmp_path, eager, best + 25, **FULL)
    killed.kill()
    killed.communicate()
    kept = steps_kept(tmp_path)
    assert kept["best"] == [best]
    assert kept["last"]
    done = train(tmp_path, eager, *contradicting(), **WORSENING | FULL)
    assert done.returncode == 0, done.stderr[-2000:]
    assert f"going on from checkpoints/checkpoint-{kept['last'][-1]}" in done.stdout
    assert chosen(tmp_path)["step"] == best
    assert [values["eval_loss"] for values in validations(tmp_path).values()] == pytest.approx(
        [values["eval_loss"] for values in validations(worsening).values()], rel=1e-4
    )
    straight = weights(worsening)
    for name, weight in weights(tmp_path).items():
        assert weight.allclose(straight[name], rtol=1e-4, atol=1e-6), name
    assert json.loads((tmp_path / "manifest.json").read_text())["files"].keys() >= {"model.safetensors", "tokenizer.json"}


def test_several_processes_come_to_the_same(tmp_path, tied):
    for name, processes in (("one", 1), ("two", 2)):
        done = train(tmp_path / name, tied, rows(16), rows(6), epochs=2, processes=processes, **FULL)
        assert done.returncode == 0, done.stderr[-2000:]
    alone, together = (curves_of(events(tmp_path / name)) for name in ("one", "two"))
    for one, other in ((alone.train, together.train), (alone.validation, together.validation)):
        assert [step for step, _ in one] == [step for step, _ in other]
        assert [loss for _, loss in one] == pytest.approx([loss for _, loss in other], rel=1e-4)
    assert loss_of_merged(tmp_path / "two", rows(6)) == pytest.approx(loss_of_merged(tmp_path / "one", rows(6)), rel=1e-4)


def test_weights_in_4_bits_without_a_gpu_are_refused_with_a_sentence(tmp_path, tied):
    import torch

    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    done = train(tmp_path, tied, rows(4), method="qlora")
    assert done.returncode == 1
    assert "QLoRA needs a GPU for weights in 4 bits, and this machine has none; take the method lora" in done.stdout
    assert "Traceback" not in done.stderr
