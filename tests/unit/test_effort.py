"""Effort, preset and explicit answers; and the plan as the training step tells it."""

from __future__ import annotations

import json
from dataclasses import asdict

import pytest

from core import demo
from core.training.base_models import find
from core.training.effort import settings_for
from core.training.plan import PRESETS, settings_of
from core.wizard.estimate import TRAINING, foretold
from core.wizard.shared import SharedAnswers
from core.wizard.step import Context, Outputs, Upstream
from core.wizard.steps.production import STEP as PRODUCTION
from core.wizard.steps.production import ProductionAnswers
from core.wizard.steps.training import STEP, TrainingAnswers
from core.wizard.training_plan import chosen_settings, make_plan, this_machine, write_plan

EIGHT, SMALL = "meta-llama/Llama-3.1-8B-Instruct", "HuggingFaceTB/SmolLM2-135M-Instruct"


def chosen(**answers):
    given = TrainingAnswers(**answers)
    return chosen_settings(given, 42, find(given.base_model))


def test_what_the_demo_trains_with_stays(tmp_path):
    answers = demo.answers(tmp_path)["training"]
    assert chosen(**answers).settings == settings_of("small-cpu", **answers, seed=42)
    assert chosen().settings == PRESETS["small-cpu"]


@pytest.mark.parametrize(
    ("answers", "expected"),
    [
        ({"base_model": EIGHT}, {"epochs": 3, "lora_rank": 16, "learning_rate": 1e-4, "evaluations": 8}),
        ({"base_model": EIGHT, "effort": "draft"}, {"epochs": 1, "lora_rank": 8, "learning_rate": 1.5e-4}),
        ({"base_model": EIGHT, "effort": "thorough"}, {"epochs": 5, "lora_rank": 32, "learning_rate": 1e-4}),
        ({"base_model": EIGHT, "effort": "draft", "epochs": 2, "lora_rank": 4}, {"epochs": 2, "lora_rank": 4}),
        ({"base_model": EIGHT, "effort": "draft", "preset": "recipe-2024"}, {"epochs": 4, "lora_rank": 32}),
        ({"base_model": EIGHT, "preset": "recipe-2025", "epochs": 9}, {"epochs": 9, "rows_per_step": 8}),
        ({"base_model": "Qwen/Qwen3-4B-Instruct-2507"}, {"learning_rate": 2e-4}),
        ({"base_model": "Qwen/Qwen3.5-4B"}, {"learning_rate": 2e-4}),
        ({"base_model": "nobody/knows-this"}, {"learning_rate": 2e-4}),
        ({"base_model": SMALL, "effort": "draft"}, {"epochs": 0.5, "learning_rate": 1.5e-3}),
    ],
)
def test_answers_win_then_the_preset_then_the_effort(answers, expected):
    settings = asdict(chosen(**answers).settings)
    assert {name: settings[name] for name in expected} == expected


def test_every_derived_value_has_its_reason():
    found = settings_for("thorough", 8_000_000_000, lora_rank=4)
    assert found.reasons.keys() >= {"epochs", "learning_rate", "lora_rank", "evaluations"}
    assert found.reasons["lora_rank"] == "as answered"
    assert "8.0 B" in found.reasons["learning_rate"]
    assert chosen(preset="recipe-2025").reasons["epochs"] == "preset recipe-2025"


def test_more_effort_is_never_less_of_anything():
    for parameters in (10**8, 4 * 10**9, None):
        draft, standard, thorough = (
            settings_for(effort, parameters).settings for effort in ("draft", "standard", "thorough")
        )
        for name in ("epochs", "lora_rank", "evaluations"):
            assert getattr(draft, name) <= getattr(standard, name) <= getattr(thorough, name), name
        assert thorough.rows_per_step < 32


def test_a_gpu_is_asked_for_where_the_model_is_large():
    assert TrainingAnswers(base_model=EIGHT).gpus_needed == 0, "this machine is taken as it is"
    assert TrainingAnswers(base_model=EIGHT, machine="ssh:box").gpus_needed == 1
    assert TrainingAnswers(base_model=SMALL, machine="ssh:box").gpus_needed == 0
    assert TrainingAnswers(base_model=EIGHT, machine="ssh:box", gpus=0).gpus_needed == 0
    assert TrainingAnswers(base_model=SMALL, machine="ssh:box", preset="recipe-2025").gpus_needed == 1


@pytest.fixture
def dataset(tmp_path):
    flows = "Flows: " + "book a bed, cancel a bed, ask for the price. " * 20
    for name, count in (("train", 60), ("val", 12)):
        rows = [{"prompt": f"{flows}\nUSER: number {n}", "completion": f"set slot n {n}"} for n in range(count)]
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return Upstream(Outputs({}, {"train_rows": "train.jsonl", "val_rows": "val.jsonl"}), tmp_path)


def context(step_answers, tmp_path, **upstream):
    shared = SharedAnswers(assistant=tmp_path)
    return Context(step_answers, shared, upstream, tmp_path / "run", lambda event: None, jobs=None)


def test_the_step_tells_its_plan_before_it_runs(dataset, tmp_path):
    said = foretold(STEP, context(TrainingAnswers(), tmp_path, dataset=dataset))[TRAINING]
    assert said.startswith("60 rows, 4 steps, ")
    assert " unique (" in said
    assert " min on " in said
    dear = TrainingAnswers(machine_usd_per_hour=60)
    assert "$" in foretold(STEP, context(dear, tmp_path, dataset=dataset))[TRAINING]
    elsewhere = TrainingAnswers(base_model=EIGHT, machine="ssh:box")
    said = foretold(STEP, context(elsewhere, tmp_path, dataset=dataset))[TRAINING]
    assert " min" not in said, "another machine is not asked for an estimate"
    assert said.endswith(" of memory on")


def test_the_production_model_tells_its_plan_over_all_rows(dataset, tmp_path):
    training = Upstream(Outputs({"answers": TrainingAnswers().model_dump(mode="json")}), tmp_path)
    both = context(ProductionAnswers(), tmp_path, dataset=dataset, training=training)
    assert PRODUCTION.foretell(both).startswith("72 rows, ")
    kept = context(ProductionAnswers(retrain=False), tmp_path, dataset=dataset, training=training)
    assert PRODUCTION.foretell(kept) == ""


def test_no_rows_no_plan(tmp_path):
    empty = Upstream(Outputs({}, {"train_rows": "train.jsonl", "val_rows": "val.jsonl"}), tmp_path)
    assert foretold(STEP, context(TrainingAnswers(), tmp_path, dataset=empty)) == {}


def test_the_plan_is_written_with_all_parts_and_reasons(dataset, tmp_path):
    answers = TrainingAnswers()
    made = make_plan(answers, 42, find(SMALL), [dataset.path("train_rows")], dataset.path("val_rows"), this_machine())
    assert made is not None
    write_plan(made, tmp_path)
    kept = json.loads((tmp_path / "plan.json").read_text())
    assert kept["sentence"] == made.sentence
    parts = {"weights", "adapter", "activations", "logits", "overhead"}
    assert sum(kept["memory"][part] for part in parts) == kept["memory"]["total"]
    assert kept["reasons"].keys() >= {
        "tokens", "shared prefixes", "epochs", "learning_rate", "lora_rank", "method", "checkpointing", "micro-batch", "minutes", "model",
    }  # fmt: skip
