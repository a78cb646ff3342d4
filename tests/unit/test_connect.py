"""Pointing configurations at a served model."""

from __future__ import annotations

from dataclasses import replace

import pytest
import yaml

from core.assistant.source import Reader
from core.dialogue.retrieval import difference
from core.errors import UsageError
from core.serving.connect import Connection, patch

CONNECTION = Connection("http://127.0.0.1:8000/v1", "tuned", needs_key=True)
CONFIG = """# my assistant
recipe: default.v1
pipeline:
  # understands users
  - name: CompactLLMCommandGenerator   # the compact one
    llm:
      model_group: big
    user_input:
      max_characters: 300
policies:
  - name: FlowPolicy
"""
ENDPOINTS = """# servers
action_endpoint:
  url: "http://localhost:5055/webhook"   # ours

model_groups:
  - id: big
    models:
      - provider: openai
        model: gpt-4o
"""


@pytest.fixture
def root(tmp_path):
    (tmp_path / "config.yml").write_text(CONFIG)
    (tmp_path / "endpoints.yml").write_text(ENDPOINTS)
    return tmp_path


def test_only_what_must_change_changes(root):
    change = patch(root, CONNECTION)
    lines = [line for line in change.diff.splitlines() if line[:1] in "+-" and line[:3] not in ("+++", "---")]
    assert lines == [
        "+    flow_retrieval:",
        "+      active: false",
        "-      model_group: big",
        "+      model_group: calmtune",
        "+  - id: calmtune",
        "+    models:",
        "+      - provider: self-hosted",
        "+        model: tuned",
        "+        api_base: http://127.0.0.1:8000/v1",
        "+        temperature: 0.0",
        "+        max_tokens: 256",
        "+        api_key: ${HOSTED_VLLM_API_KEY}",
    ]


def test_a_backup_is_made_and_a_second_time_changes_nothing(root):
    backups = patch(root, CONNECTION).apply(root)
    assert sorted(path.read_text() for path in backups) == sorted([CONFIG, ENDPOINTS])
    assert patch(root, CONNECTION).texts == {}


def test_the_assistant_then_names_the_model(root):
    from core.assistant.settings import read_settings
    from core.assistant.source import read_yaml

    patch(root, CONNECTION).apply(root)
    problems = []
    reader = Reader("config.yml", problems)
    settings = read_settings(
        read_yaml(root / "config.yml", "c"), read_yaml(root / "endpoints.yml", "e"), root, reader, reader
    )
    assert (settings.llm.model, settings.llm.api_base) == ("tuned", "http://127.0.0.1:8000/v1")
    assert settings.llm.api_key_variable == "HOSTED_VLLM_API_KEY"
    assert not problems


WITH = {
    "active": True,
    "num_flows": 7,
    "turns_to_embed": 2,
    "should_embed_slots": False,
    "embedding_model": "some/model",
    "embedding_digest": "0" * 64,
}


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (  # nothing is said: it would be on
            "pipeline:\n- name: CompactLLMCommandGenerator\n\npolicies: []\n",
            "pipeline:\n- name: CompactLLMCommandGenerator\n  flow_retrieval:\n    active: false\n\n",
        ),
        (  # comments stay with what they are about
            "pipeline:\n- name: CompactLLMCommandGenerator # compact\n  # the strong one\n  llm: {model_group: big}\n",
            "- name: CompactLLMCommandGenerator # compact\n  flow_retrieval:\n    active: false\n  # the strong one\n  llm:",
        ),
        (  # only the switch is turned
            "pipeline:\n- name: CompactLLMCommandGenerator\n  flow_retrieval:\n    active: true # needs a key\n    num_flows: 9\n",
            "  flow_retrieval:\n    active: false # needs a key\n    num_flows: 9\n",
        ),
        (
            "pipeline:\n- name: CompactLLMCommandGenerator\n  flow_retrieval: # none yet\n  llm: {model_group: big}\n",
            "  flow_retrieval:",
        ),
    ],
)
def test_flow_retrieval_is_switched_off_where_the_model_learnt_without(root, before, after):
    (root / "config.yml").write_text(before)
    text = patch(root, CONNECTION).texts["config.yml"]
    assert after in text
    assert yaml.safe_load(text)["pipeline"][0]["flow_retrieval"]["active"] is False
    patch(root, CONNECTION).apply(root)
    assert patch(root, CONNECTION).texts == {}


def test_flow_retrieval_is_set_as_the_model_learnt(root):
    from core.assistant.project import load_assistant

    (root / "flows.yml").write_text("flows: {a: {description: x, steps: [{action: action_listen}]}}")
    (root / "domain.yml").write_text("version: '3.1'")
    with_retrieval = replace(CONNECTION, flow_retrieval=WITH)
    patch(root, with_retrieval).apply(root)
    assert patch(root, with_retrieval).texts == {}
    written = yaml.safe_load((root / "config.yml").read_text())["pipeline"][0]["flow_retrieval"]
    assert written == {
        "active": True,
        "num_flows": 7,
        "turns_to_embed": 2,
        "should_embed_slots": False,
        "embeddings": {"model_group": "calmtune-embeddings"},
    }
    groups = {group["id"]: group for group in yaml.safe_load((root / "endpoints.yml").read_text())["model_groups"]}
    assert groups["calmtune-embeddings"]["models"] == [
        {"provider": "huggingface", "model": "some/model", "encode_kwargs": {"normalize_embeddings": True}}
    ]
    assert difference(WITH, load_assistant(root).settings.flow_retrieval.facts) == ""
    assert "# my assistant" in (root / "config.yml").read_text()


def test_an_embedding_model_is_named_in_place_where_the_model_is(root, tmp_path):
    (root / "config.yml").write_text(
        "pipeline:\n- name: SingleStepLLMCommandGenerator\n  # strong\n  llm:\n    model_name: gpt-4\n"
    )
    text = patch(root, replace(CONNECTION, flow_retrieval={**WITH, "embedding_model": str(tmp_path)})).texts[
        "config.yml"
    ]
    written = yaml.safe_load(text)["pipeline"][0]["flow_retrieval"]["embeddings"]
    assert written["model"] == str(tmp_path.resolve())
    assert "        normalize_embeddings: true\n  # strong\n  llm:" in text


def test_a_model_named_in_place_stays_in_place(root):
    (root / "config.yml").write_text(
        "pipeline:\n- name: SingleStepLLMCommandGenerator\n  llm:\n    model_name: gpt-4 # old\n    provider: openai\n"
    )
    change = patch(root, CONNECTION)
    assert list(change.texts) == ["config.yml"]
    assert "provider: self-hosted" in change.texts["config.yml"]


def test_no_generator_is_a_sentence(root):
    (root / "config.yml").write_text("pipeline:\n- name: WhitespaceTokenizer\n")
    with pytest.raises(UsageError, match="no LLM command generator"):
        patch(root, CONNECTION)
    (root / "config.yml").unlink()
    with pytest.raises(UsageError, match=r"no config.yml"):
        patch(root, CONNECTION)


def test_endpoints_are_made_when_there_are_none(root):
    (root / "endpoints.yml").unlink()
    patch(root, CONNECTION).apply(root)
    assert yaml.safe_load((root / "endpoints.yml").read_text())["model_groups"][0]["id"] == "calmtune"


def test_the_prompt_of_training_goes_with_the_model(root):
    with_prompt = replace(CONNECTION, prompt="{{ user_message }}\n")
    change = patch(root, with_prompt)
    assert "+    prompt_template: prompts/calmtune.jinja2" in change.diff.splitlines()
    assert "+{{ user_message }}" in change.diff.splitlines()
    assert len(change.apply(root)) == 2, "a new file has no backup"
    assert (root / "prompts" / "calmtune.jinja2").read_text() == "{{ user_message }}\n"
    assert yaml.safe_load((root / "config.yml").read_text())["pipeline"][0]["prompt_template"] == "prompts/calmtune.jinja2"
    assert patch(root, with_prompt).texts == {}


def test_a_prompt_of_an_earlier_model_is_replaced(root):
    patch(root, replace(CONNECTION, prompt="old\n")).apply(root)
    backups = patch(root, replace(CONNECTION, prompt="new\n")).apply(root)
    assert [path.read_text() for path in backups] == ["old\n"]
    assert (root / "prompts" / "calmtune.jinja2").read_text() == "new\n"
