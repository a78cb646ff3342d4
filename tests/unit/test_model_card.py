"""The model card: what it says at each stage, the licence, and what must not be in it."""

from __future__ import annotations

import re

import pytest
import yaml

from core.training.base_models import MODELS_VARIABLE
from core.training.licences import licence_of
from core.wizard.model_card import CARD, model_card, write_card
from core.wizard.step import Gate
from tests.rigs.finished import DATASET, FULL_EVALUATION, manifest

LISTED = "Qwen/Qwen3-8B"
GATES = (Gate("validation tests", "≥ 70.0 %", "75.0 %", True), Gate("training tests", "≥ 95.0 %", "100.0 %", True))


def of_base(name: str, kind: str = "merged", **more):
    return manifest(kind, base={"name": name, "files": {}}, **more)


def front_matter(card: str) -> dict:
    _, head, _ = card.split("---\n", 2)
    return yaml.safe_load(head)


@pytest.fixture(autouse=True)
def nothing_at_hand(tmp_path, monkeypatch):
    monkeypatch.setenv("CALMTUNE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hub"))


@pytest.mark.parametrize(
    ("kind", "library", "relation"), [("merged", "transformers", "finetune"), ("adapter", "peft", "adapter")]
)
def test_the_front_matter_is_the_hubs(kind, library, relation):
    assert front_matter(model_card(of_base(LISTED, kind), DATASET)) == {
        "license": "apache-2.0",
        "base_model": LISTED,
        "base_model_relation": relation,
        "library_name": library,
        "pipeline_tag": "text-generation",
        "tags": ["calmtune", "calm", "command-generation", "lora"],
    }


def test_before_an_evaluation_it_tells_data_training_and_how_to_serve():
    card = model_card(of_base(LISTED), DATASET)
    assert "Not evaluated yet." in card
    assert f"| training | 36 | `{'12' * 32}` |" in card
    assert f"| validation | 8 | `{'34' * 32}` |" in card
    assert "1 training, 1 validation, 1 golden (no rows are made of golden tests)" in card
    assert "| Step taken | 6 of 9 |" in card
    assert "| Validation loss | 0.28 |" in card
    assert "| Validation rows written exactly | 87.5 % |" in card
    assert "| Tokens for each one computed | 5.50 (shared prefixes) |" in card
    assert "| Learning rate | 0.0005 |" in card
    assert "calmtune serve FOLDER\nvllm serve FOLDER --served-model-name calmtune\n" in card


def test_an_adapter_is_served_on_its_base():
    assert f"vllm serve {LISTED} --enable-lora --max-lora-rank 16 --lora-modules calmtune=FOLDER" in model_card(
        of_base(LISTED, "adapter"), DATASET
    )


def test_a_verdict_has_gates_and_pass_rates_with_intervals():
    card = model_card(of_base(LISTED), DATASET, GATES, FULL_EVALUATION)
    assert "**Passed** all 2 gates." in card
    assert "| validation tests | ≥ 70.0 % | 75.0 % | yes |" in card
    assert "| validation | 4 | 3 | 75.0 % | 30.0 % to 95.0 % |" in card
    failing = (*GATES, Gate("golden tests", "≥ 80.0 %", "0.0 %", False))
    assert "**Not good enough**: golden tests." in model_card(of_base(LISTED), DATASET, failing, FULL_EVALUATION)


def test_without_validation_rows_nothing_is_made_up():
    rows = {"train": {"count": 44, "sha256": "56" * 32}, "val": None}
    card = model_card(of_base(LISTED, rows=rows, chosen={"step": 9, "why": "no validation"}), DATASET)
    assert "| Validation loss | none |" in card
    assert "| Validation rows written exactly | not measured |" in card
    assert "| validation |" not in card


def test_a_folder_of_the_owners_is_named_without_its_path(tmp_path):
    folder = tmp_path / "secret-place" / "my-base"
    folder.mkdir(parents=True)
    card = model_card(of_base(str(folder), "adapter"), DATASET, GATES, FULL_EVALUATION)
    assert "`my-base` (a folder of its owner's)" in card
    assert "base_model" not in front_matter(card)
    assert "license" not in front_matter(card)
    assert "not known here" in card
    assert str(tmp_path) not in card
    assert not re.search(r"(^|[\s`(=])/\w", card), "no path"


def test_the_licence_is_that_of_the_bases_own_card_before_the_list(tmp_path):
    assert licence_of("someone/unknown") is None
    assert licence_of(LISTED).name == "apache-2.0"
    assert licence_of("meta-llama/Llama-3.1-8B-Instruct").fields == {"license": "llama3.1"}
    (tmp_path / "config.json").write_text("{}")
    assert licence_of(str(tmp_path)) is None
    (tmp_path / "config.json").write_text('{"license": "mit"}')
    assert licence_of(str(tmp_path)).why == "its config.json"
    (tmp_path / "README.md").write_text("---\nlicense: other\nlicense_name: acme\ntags: [a]\n---\n# A model\n")
    assert licence_of(str(tmp_path)).fields == {"license": "other", "license_name": "acme"}
    for broken in ("# no front matter\n---\n", "---\n: [\n---\n", "---\nlicense: mit\n"):
        (tmp_path / "README.md").write_text(broken)
        assert licence_of(str(tmp_path)).why == "its config.json"


def test_a_licence_of_the_owners_own_list(tmp_path, monkeypatch):
    own = {"parameters": 1, "licence": "Acme 1.0", "gated": False, "context": 10, "attention": "full"}
    (tmp_path / "models.yml").write_text(yaml.safe_dump({"as_of": "2026-01-01", "models": {"acme/one": own}}))
    monkeypatch.setenv(MODELS_VARIABLE, str(tmp_path / "models.yml"))
    head = front_matter(model_card(of_base("acme/one"), DATASET))
    assert (head["license"], head["license_name"]) == ("other", "Acme 1.0")


def test_a_card_lies_in_the_steps_folder_and_beside_the_files_of_the_artifact(tmp_path):
    (tmp_path / "model").mkdir()
    assert write_card("text\n", tmp_path, tmp_path / "model") == "model_card.md"
    assert (tmp_path / "model_card.md").read_text() == (tmp_path / "model" / CARD).read_text() == "text\n"
