"""config.yml and endpoints.yml as settings."""

from __future__ import annotations

import pytest

from core.assistant.project import load_assistant
from core.assistant.settings import ModelEndpoint, Settings
from core.errors import ProblemsError

FLOWS = "flows: {a: {description: x, steps: [{action: action_listen}]}}"
GROUP = """
model_groups:
- id: strong
  models:
  - {provider: self-hosted, model: tuned, api_base: "http://127.0.0.1:8000/v1", api_key: "${TUNED_KEY}", timeout: "${T}"}
"""


@pytest.mark.parametrize(
    ("generator", "dialect"),
    [
        ("LLMCommandGenerator", "v1"),
        ("SingleStepLLMCommandGenerator", "v1"),
        ("package.module.CompactLLMCommandGenerator", "v2"),
        ("SearchReadyLLMCommandGenerator", "v3"),
    ],
)
def test_the_generator_decides_the_form_of_commands(make_assistant, generator, dialect):
    settings = make_assistant(FLOWS, config=f"pipeline:\n- name: {generator}").settings
    assert (settings.generator, settings.dialect) == (generator.rpartition(".")[2], dialect)


def test_a_model_of_a_group(make_assistant):
    config = "pipeline:\n- name: CompactLLMCommandGenerator\n  llm: {model_group: strong}"
    assert make_assistant(FLOWS, config=config, endpoints=GROUP).settings.llm == ModelEndpoint(
        "tuned", "self-hosted", "http://127.0.0.1:8000/v1", "TUNED_KEY", timeout_seconds=7.0
    )


def test_a_model_in_place(make_assistant):
    config = (
        "pipeline: [{name: SingleStepLLMCommandGenerator, llm: {model_name: gpt-4, request_timeout: 3, max_tokens: 9}}]"
    )
    assert make_assistant(FLOWS, config=config).settings.llm == ModelEndpoint(
        "gpt-4", "openai", None, "OPENAI_API_KEY", timeout_seconds=3.0, max_tokens=9
    )


def test_a_key_in_a_file_is_neither_kept_nor_shown(make_assistant):
    config = "pipeline: [{name: CompactLLMCommandGenerator, llm: {model: m, api_key: sk-secret}}]"
    assistant = make_assistant(FLOWS, config=config)
    assert "sk-secret" not in repr(assistant)
    assert "write api_key: ${VARIABLE}" in str(assistant.warnings[0])


def test_without_files_there_are_defaults_and_a_warning(write_assistant):
    folder = write_assistant(FLOWS)
    (folder / "config.yml").unlink()
    assistant = load_assistant(folder)
    assert assistant.settings == Settings()
    assert [str(warning) for warning in assistant.warnings] == ["config.yml: there is no config.yml; defaults are used"]


@pytest.mark.parametrize(
    ("config", "endpoints", "warning"),
    [
        ("pipeline: []", None, "config.yml: no LLM command generator in the pipeline"),
        ("pipeline: [{name: CompactLLMComandGenerator}]", None, "without it; did you mean CompactLLMCommandGenerator?"),
        (
            "pipeline: [{name: CompactLLMCommandGenerator}, {name: NLUCommandAdapter}]",
            None,
            "NLUCommandAdapter takes no part",
        ),
        (
            "pipeline: [{name: CompactLLMCommandGenerator, llm: {model_group: x}}]",
            None,
            "model group x is not in endpoints.yml",
        ),
        (None, "nlg: {type: rephrase}", "endpoints.yml:1: responses are said as written"),
    ],
)
def test_what_takes_no_part_is_said(make_assistant, config, endpoints, warning):
    assert warning in "\n".join(map(str, make_assistant(FLOWS, config=config, endpoints=endpoints).warnings))


@pytest.mark.parametrize(
    ("config", "complaint"),
    [
        ("- a", "config.yml:1: the file must be a mapping"),
        ("pipeline: fast", "config.yml:1: pipeline must be a list"),
        ("pipeline: [CompactLLMCommandGenerator]", "an entry of pipeline must be a mapping"),
        (
            "pipeline:\n- name: CompactLLMCommandGenerator\n- name: SearchReadyLLMCommandGenerator",
            "config.yml:3: only one command generator",
        ),
        (
            "pipeline:\n- name: CompactLLMCommandGenerator\n  prompt_template: no.jinja2",
            "config.yml:3: the prompt template",
        ),
        ("pipeline: [{name: CompactLLMCommandGenerator, llm: {model: m, timeout: soon}}]", "timeout must be a number"),
        (
            "pipeline:\n- name: CompactLLMCommandGenerator\n  flow_retrieval:\n    num_flows: 0",
            "config.yml:4: num_flows must be at least 1, not 0",
        ),
    ],
)
def test_complaints(write_assistant, config, complaint):
    with pytest.raises(ProblemsError) as caught:
        load_assistant(write_assistant(FLOWS, config=config))
    assert complaint in str(caught.value)


@pytest.mark.parametrize(
    ("written", "facts"),
    [
        ("", {"active": True, "num_flows": 20, "turns_to_embed": 1, "should_embed_slots": True}),
        ("flow_retrieval: {active: false, num_flows: 5}", {"active": False}),
        (
            "flow_retrieval: {num_flows: 5, turns_to_embed: 2, should_embed_slots: false}",
            {"active": True, "num_flows": 5, "turns_to_embed": 2, "should_embed_slots": False},
        ),
    ],
)
def test_flow_retrieval_is_on_where_nothing_is_said(make_assistant, written, facts):
    settings = make_assistant(FLOWS, config=f"pipeline:\n- name: CompactLLMCommandGenerator\n  {written}").settings
    assert settings.flow_retrieval.facts == facts
    assert settings.flow_retrieval.written_at == ("config.yml:3" if written else "")
