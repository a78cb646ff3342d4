"""Shared-prefix training against plain rows, on a tiny model; curves and checksums."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import pytest

from core.errors import StepFailed
from core.training.archive import ARCHIVE, write_archive
from core.training.bundle import ModelArtifact
from core.training.metrics import curves_of
from core.training.plan import PRESETS, SPINS, settings_of
from tests import tiny_model
from tests.rigs.warm import WarmProcess

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    return tiny_model.make(tmp_path_factory.mktemp("tiny") / "model")


def rows(count, prefix="Flows: book, cancel, ask. Commands: start flow, set slot.\n"):
    return [
        {"prompt": f"{prefix}USER: number {n % 7} please\n", "completion": f"set slot n {n % 7}"} for n in range(count)
    ]


def train(folder: Path, tiny: Path, data, validation=None, /, **overrides) -> subprocess.CompletedProcess[str]:
    """Run the training program as a job would."""
    running = start(folder, tiny, data, validation, **overrides)
    out, err = running.communicate()
    return subprocess.CompletedProcess(running.args, running.returncode, out.decode(), err.decode())


def start(
    folder: Path, tiny: Path, data, validation=None, /, processes=1, environment=None, cold=False, **overrides
) -> subprocess.Popen[bytes] | WarmProcess:
    """The training program, running as a job would; started again in the same folder, it goes on. One that is `cold` imports what it needs
    itself."""
    prepare(folder, data, validation, **overrides)
    environment = {
        **os.environ,
        **(environment or {}),
        "CALMTUNE_EVENTS": str(folder / "events.jsonl"),
        "HF_HUB_OFFLINE": "1",
        "GOMP_SPINCOUNT": SPINS,
    }
    if processes == 1 and not cold:
        return WarmProcess([ARCHIVE, str(tiny)], folder, environment)
    together = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", str(processes)] if processes > 1 else []
    return subprocess.Popen(
        [sys.executable, *together, ARCHIVE, str(tiny)],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def prepare(folder: Path, data, validation=None, /, plan=None, artifact="merged", **overrides) -> None:
    """The training archive in a folder."""
    folder.mkdir(exist_ok=True)
    for name, kept in (("train", data), ("val", validation)):
        (folder / f"{name}.rows").write_text("".join(json.dumps(row) + "\n" for row in kept or ()))
    settings = asdict(settings_of("small-cpu", **{"dtype": "float32", "rows_per_step": 4, **overrides}))
    val = folder / "val.rows" if validation else None
    config = {"name": "someone/tiny", "artifact": artifact, "settings": settings, "plan": plan}
    write_archive(folder / ARCHIVE, config, folder / "train.rows", val)


def events(folder: Path):
    return [json.loads(line) for line in (folder / "events.jsonl").read_text().splitlines()]


def test_the_program_trains_merges_and_leaves_checksums(tmp_path, tiny):
    done = train(tmp_path / "job", tiny, rows(24), rows(6), epochs=2, cold=True)
    assert done.returncode == 0, done.stderr[-2000:]
    found = events(tmp_path / "job")
    (check,) = [event["line"] for event in found if "against plain rows" in event.get("line", "")]
    loss, gradient = float(check.split("by ")[1].split(",")[0]), float(check.split("by ")[2])
    assert loss < 1e-5
    assert gradient < 1e-4
    curves = curves_of(found)
    assert curves.train[-1][1] < curves.train[0][1]
    assert curves.validation
    last = next(event["values"] for event in reversed(found) if "tokens_per_second" in event.get("values", {}))
    assert last["tokens_per_second"] > last["unique_tokens_per_second"] > 0
    assert 0.05 < last["memory_gb"] < 24
    assert (tmp_path / "job" / "loss.png").read_bytes().startswith(b"\x89PNG")
    assert "</svg>" in (tmp_path / "job" / "loss.svg").read_text()
    artifact = ModelArtifact(tmp_path / "job" / "model", tmp_path / "job" / "manifest.json")
    artifact.verify()
    (artifact.folder / "config.json").write_text("{}")
    with pytest.raises(StepFailed, match=r"config.json is not the file that was trained"):
        artifact.verify()


def test_both_forms_of_rows_are_the_same_to_it(tmp_path, tiny):
    as_messages = [
        {"messages": [{"role": "user", "content": row["prompt"]}, {"role": "assistant", "content": row["completion"]}]}
        for row in rows(8)
    ]
    for name, data in (("a", rows(8)), ("b", as_messages)):
        assert train(tmp_path / name, tiny, data, epochs=1).returncode == 0
    assert curves_of(events(tmp_path / "a")).train == curves_of(events(tmp_path / "b")).train


def test_a_row_that_does_not_fit_is_named_and_nothing_is_cut(tmp_path, tiny):
    data = [*rows(3), {"prompt": "x" * 5000, "completion": "start flow a", "original_test_name": "tests.yml::too much"}]
    done = train(tmp_path / "job", tiny, data)
    assert done.returncode == 1
    assert "train.jsonl:4: the row (tests.yml::too much) has" in done.stdout
    assert "Traceback" not in done.stderr


@pytest.fixture(scope="module")
def whole(tmp_path_factory, tiny):
    """Curves of a run whose steps are each one tree."""
    folder = tmp_path_factory.mktemp("whole") / "job"
    assert train(folder, tiny, rows(24), rows(6), epochs=2).returncode == 0
    return curves_of(events(folder))


OTHER_WAYS = {
    "rows one by one": {"attention": "flash"},
    "two rows at a time": {"plan": {"micro_rows": 2}},
    "activations computed again": {"plan": {"checkpointed_layers": 1}},
    "two processes": {"processes": 2},
}


@pytest.mark.parametrize("way", OTHER_WAYS)
def test_other_ways_through_a_step_come_to_the_same(tmp_path, tiny, whole, way):
    done = train(tmp_path / "job", tiny, rows(24), rows(6), epochs=2, **OTHER_WAYS[way])
    assert done.returncode == 0, done.stderr[-2000:]
    said = done.stdout
    curves = curves_of(events(tmp_path / "job"))
    for one, other in ((curves.train, whole.train), (curves.validation, whole.validation)):
        assert [step for step, _ in one] == [step for step, _ in other]
        assert [loss for _, loss in one] == pytest.approx([loss for _, loss in other], rel=1e-4)
    if way == "rows one by one":
        assert "attention cannot be computed by flash here: it needs a GPU; rows are trained one by one" in said
    if way == "activations computed again":
        assert "activations of 1 of 2 layers are computed again" in said


@pytest.mark.parametrize("tied", [False, True])
def test_weights_shared_out_among_processes_have_the_same_gradient_and_are_kept_whole(tmp_path, tied):
    tiny = tiny_model.make(tmp_path / "model", tied=tied)
    program = [str(ROOT / "tests" / "rigs" / "sharded.py"), str(tiny)]
    done = subprocess.run(
        [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2", *program],
        env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    gradients, *kept = done.stdout.splitlines()
    assert float(gradients.removeprefix("gradients ")) < 1e-5
    whole = 20 if tied else 21
    assert kept == [
        "kept 28 of an adapter float32", "kept 28 of an adapter bfloat16", f"kept {whole} of all weights float32",
    ]  # fmt: skip


OUT_OF_MEMORY = """
import torch
plain = torch.nn.functional.cross_entropy
def limited(logits, labels, **more):
    if torch.is_grad_enabled() and len(labels) > {most}:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
    return plain(logits, labels, **more)
torch.nn.functional.cross_entropy = limited
"""


@pytest.mark.parametrize(("most", "ends"), [(45, 0), (20, 1)])
def test_a_step_too_large_for_the_memory_is_tried_once_with_half_the_rows(tmp_path, tiny, whole, most, ends):
    (tmp_path / "patch").mkdir()
    (tmp_path / "patch" / "sitecustomize.py").write_text(OUT_OF_MEMORY.format(most=most))
    limited = {"PYTHONPATH": str(tmp_path / "patch")}
    done = train(tmp_path / "job", tiny, rows(24), rows(6), epochs=2, environment=limited, cold=True)
    assert done.returncode == ends, done.stderr[-2000:]
    assert "a micro-batch of 4 rows does not fit the memory; trying 2 of 4 rows at a time" in done.stdout
    assert "Traceback" not in done.stderr
    if ends:
        assert "a micro-batch of 2 rows does not fit the memory; take fewer rows a step" in done.stdout
        return
    losses = curves_of(events(tmp_path / "job")).train
    assert [loss for _, loss in losses] == pytest.approx([loss for _, loss in whole.train], rel=1e-4)


def test_a_run_that_diverges_is_stopped_and_leaves_nothing(tmp_path, tmp_path_factory):
    certain = tiny_model.make(tmp_path_factory.mktemp("certain") / "model", spread=0.5)
    done = train(tmp_path / "job", certain, rows(160), epochs=2, learning_rate=1e3)
    assert done.returncode == 1, done.stderr[-2000:]
    found = events(tmp_path / "job")
    steps = curves_of(found).train[-1][0]
    assert steps < 80
    said = [event["line"] for event in found if event["type"] == "log"]
    assert f"training stops at step {steps} of 80, diverged: " in said[-2]
    assert "lower the learning rate to a third" in said[-1]
    assert "there is no earlier validation to go back to" in said[-1]
    assert [event["state"] for event in found if event["type"] == "diagnosis"][-1] == "diverged"
    assert not (tmp_path / "job" / "model").exists()
    assert "Traceback" not in done.stderr


def test_a_run_that_diverges_goes_back_to_its_best_validation(tmp_path, tmp_path_factory):
    certain = tiny_model.make(tmp_path_factory.mktemp("certain") / "model", spread=0.5)
    done = train(tmp_path / "job", certain, rows(160), rows(8), epochs=2, learning_rate=1e3, evaluations=80)
    assert done.returncode == 0, done.stderr[-2000:]
    found = events(tmp_path / "job")
    curves = curves_of(found)
    assert any("training stops at step" in event.get("line", "") for event in found)
    chosen = json.loads((tmp_path / "job" / "manifest.json").read_text())["chosen"]
    assert chosen["step"] < curves.train[-1][0] < 80
    exact = dict(curves.exact)
    best = max(curves.validation, key=lambda point: (exact[point[0]], -point[1]))
    assert (chosen["step"], chosen["loss"]) == pytest.approx(best)
    assert (tmp_path / "job" / "adapter" / "adapter_model.safetensors").is_file()


def test_without_early_stop_a_run_goes_to_its_end(tmp_path, tmp_path_factory):
    certain = tiny_model.make(tmp_path_factory.mktemp("certain") / "model", spread=0.5)
    done = train(tmp_path / "job", certain, rows(80), epochs=1, learning_rate=1e3, early_stop=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert curves_of(events(tmp_path / "job")).train[-1][0] == 20


def test_the_recipes_settings_are_presets():
    assert {"recipe-2024", "recipe-2025", "small-cpu"} == set(PRESETS)
    assert PRESETS["recipe-2025"].learning_rate == 1e-4
    assert settings_of("recipe-2025", epochs=5, lora_rank=None).epochs == 5
