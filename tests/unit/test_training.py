"""Shared-prefix training against plain rows, on a tiny model; curves and checksums."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import pytest

from core.errors import StepFailed
from core.training.bundle import ModelArtifact, training_program
from core.training.diagnosis import diagnose
from core.training.metrics import Curves, averaged, curves_of
from core.training.plan import PRESETS, SPINS, settings_of
from tests import tiny_model


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    return tiny_model.make(tmp_path_factory.mktemp("tiny") / "model")


def rows(count, prefix="Flows: book, cancel, ask. Commands: start flow, set slot.\n"):
    return [
        {"prompt": f"{prefix}USER: number {n % 7} please\n", "completion": f"set slot n {n % 7}"} for n in range(count)
    ]


def train(folder: Path, tiny: Path, data, validation=None, **overrides) -> subprocess.CompletedProcess[str]:
    """Run the training program as a job would."""
    running = start(folder, tiny, data, validation, **overrides)
    out, err = running.communicate()
    return subprocess.CompletedProcess(running.args, running.returncode, out.decode(), err.decode())


def start(folder: Path, tiny: Path, data, validation=None, **overrides) -> subprocess.Popen[bytes]:
    """The training program, running as a job would; started again in the same folder, it goes on."""
    folder.mkdir(exist_ok=True)
    for name, source in training_program().items():
        (folder / name).write_bytes(source.read_bytes())
    (folder / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in data))
    if validation:
        (folder / "val.jsonl").write_text("".join(json.dumps(row) + "\n" for row in validation))
    settings = asdict(settings_of("small-cpu", **{"dtype": "float32", "rows_per_step": 4, **overrides}))
    config = {
        "model": str(tiny),
        "train": "train.jsonl",
        "val": "val.jsonl" if validation else None,
        "settings": settings,
    }
    (folder / "config.json").write_text(json.dumps(config))
    environment = {
        **os.environ,
        "CALMTUNE_EVENTS": str(folder / "events.jsonl"),
        "HF_HUB_OFFLINE": "1",
        "GOMP_SPINCOUNT": SPINS,
    }
    return subprocess.Popen(
        [sys.executable, "program.py", "config.json"],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def events(folder: Path):
    return [json.loads(line) for line in (folder / "events.jsonl").read_text().splitlines()]


def test_the_program_trains_merges_and_leaves_checksums(tmp_path, tiny):
    done = train(tmp_path / "job", tiny, rows(24), rows(6), epochs=2)
    assert done.returncode == 0, done.stderr[-2000:]
    found = events(tmp_path / "job")
    (check,) = [event["line"] for event in found if "against plain rows" in event.get("line", "")]
    loss, gradient = float(check.split("by ")[1].split(",")[0]), float(check.split("by ")[2])
    assert loss < 1e-5
    assert gradient < 1e-4
    curves = curves_of(found)
    assert curves.train[-1][1] < curves.train[0][1]
    assert curves.validation
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


@pytest.mark.parametrize(
    ("exact", "state"),
    [
        ([0.2, 0.5, 0.7, 0.7, 0.8, 0.7], "healthy"),
        ([0.2, 0.5, 0.7, 0.7, 0.7, 0.6], "overfitting"),
        ([0.0] * 6, "overfitting"),
    ],
)
def test_loss_that_rises_while_as_many_rows_are_written_exactly_is_no_overfitting(exact, state):
    losses = [1.0, 0.5, 0.4, 0.5, 0.6, 0.8]
    curves = Curves([(n, 2 * 0.9**n) for n in range(40)])
    for n, (loss, share) in enumerate(zip(losses, exact, strict=True)):
        curves.add({"step": 5 * n, "values": {"eval_loss": loss, "eval_exact_match": share}})
    assert curves.exact[-1] == (25, exact[-1])
    assert diagnose(curves).state == state


@pytest.mark.parametrize(
    ("train_loss", "validation", "state"),
    [
        ([2 * 0.8**n for n in range(40)], [2 * 0.8**n + 0.3 for n in range(0, 40, 5)], "healthy"),
        ([1.0] * 10 + [float("nan")], [1.0] * 5, "diverged"),
        ([2 * 0.8**n for n in range(20)] + [3.0] * 20, [1.0] * 5, "diverged"),
        ([2 * 0.9**n for n in range(40)], [1.0, 0.5, 0.4, 0.5, 0.6, 0.8], "overfitting"),
        ([2 * 0.98**n for n in range(40)], [2.0, 1.7, 1.4, 1.2, 1.0, 0.8], "underfitting"),
        ([1.0, 0.5], [1.0], "too few points"),
    ],
)
def test_what_a_curve_says(train_loss, validation, state):
    curves = Curves(list(enumerate(train_loss)), [(5 * n, loss) for n, loss in enumerate(validation)])
    assert diagnose(curves).state == state


def test_repeated_steps_after_a_resume_replace_the_earlier():
    curves = Curves()
    for step, loss in ((1, 3.0), (2, 2.0), (3, 1.0), (2, 2.1), (3, 1.1)):
        curves.add({"step": step, "values": {"loss": loss}})
    assert curves.train == [(1, 3.0), (2, 2.1), (3, 1.1)]


def test_averages_begin_at_the_first_value():
    assert averaged([4.0])[0] == pytest.approx(4.0)
    assert math.isnan(averaged([float("nan"), 1.0])[0])


def test_the_recipes_settings_are_presets():
    assert {"recipe-2024", "recipe-2025", "small-cpu"} == set(PRESETS)
    assert PRESETS["recipe-2025"].learning_rate == 1e-4
    assert settings_of("recipe-2025", epochs=5, lora_rank=None).epochs == 5
