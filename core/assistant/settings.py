"""Settings of an assistant: config.yml and endpoints.yml."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from core.assistant.source import Reader, YamlList, YamlMapping

Dialect = Literal["v1", "v2", "v3"]
"""Form of the commands a generator's model writes."""

_DIALECTS: dict[str, Dialect] = {
    "LLMCommandGenerator": "v1",
    "SingleStepLLMCommandGenerator": "v1",
    "MultiStepLLMCommandGenerator": "v1",
    "CompactLLMCommandGenerator": "v2",
    "SearchReadyLLMCommandGenerator": "v3",
}
_ENVIRONMENT_VALUE = re.compile(r"\$\{(\w+)\}\Z")
_KEY_VARIABLES = {"openai": "OPENAI_API_KEY", "azure": "AZURE_API_KEY", "self-hosted": "HOSTED_VLLM_API_KEY"}


@dataclass(frozen=True)
class ModelEndpoint:
    """A language model as the assistant names it."""

    model: str
    provider: str = "openai"
    api_base: str | None = None
    """None for the provider's own address. May be `${VARIABLE}`."""
    api_key_variable: str | None = None
    """Environment variable with the key; the key itself is never read from a file."""
    timeout_seconds: float = 7.0
    temperature: float = 0.0
    max_tokens: int = 256


@dataclass(frozen=True)
class FlowRetrieval:
    """Which flows a prompt lists."""

    active: bool = False
    num_flows: int = 20
    turns_to_embed: int = 1
    should_embed_slots: bool = True


@dataclass(frozen=True)
class Settings:
    """What config.yml and endpoints.yml say, with defaults filled in."""

    generator: str | None = None
    """Name of the command generator in the pipeline; None when there is none."""
    dialect: Dialect = "v2"
    llm: ModelEndpoint | None = None
    prompt_template: Path | None = None
    """The owner's own template, resolved against the project's folder."""
    flow_retrieval: FlowRetrieval = FlowRetrieval()
    max_characters: int = 420
    include_date_time: bool = False
    other_components: tuple[str, ...] = ()
    """Pipeline components beside the command generator."""
    policies: tuple[str, ...] = ()
    action_url: str | None = None
    actions_module: str | None = None
    rephrases_responses: bool = False
    language: str = "en"
    assistant_id: str | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)


def read_settings(config: Any, endpoints: Any, root: Path, config_reader: Reader, endpoints_reader: Reader) -> Settings:
    """Settings from parsed files (None for a missing one). Problems go to the readers."""
    config = config if isinstance(config, YamlMapping) else YamlMapping()
    endpoints = endpoints if isinstance(endpoints, YamlMapping) else YamlMapping()
    components = [item for item in config.get("pipeline") or [] if isinstance(item, YamlMapping) and item.get("name")]
    generators = [item for item in components if str(item["name"]).rpartition(".")[2] in _DIALECTS]
    generator = generators[0] if generators else YamlMapping()
    if len(generators) > 1:
        config_reader.error(generators[1].line_of("name"), "only one command generator may be in the pipeline")
    if not generators:
        config_reader.warn(
            0, "no LLM command generator in the pipeline; commands take the form of CompactLLMCommandGenerator"
        )
    name = str(generator["name"]).rpartition(".")[2] if generator else None
    return Settings(
        generator=name,
        dialect=_DIALECTS[name] if name else "v2",
        llm=_endpoint(generator, endpoints, config_reader),
        prompt_template=_template(generator, root, config_reader),
        flow_retrieval=_retrieval(generator, config_reader),
        max_characters=int(_number(_part(generator, "user_input"), "max_characters", config_reader, 420)),
        include_date_time=generator.get("include_date_time") is True,
        other_components=tuple(str(item["name"]) for item in components if item is not generator),
        policies=tuple(
            str(item["name"])
            for item in config.get("policies") or []
            if isinstance(item, YamlMapping) and "name" in item
        ),
        action_url=_part(endpoints, "action_endpoint").get("url"),
        actions_module=_part(endpoints, "action_endpoint").get("actions_module"),
        rephrases_responses=_part(endpoints, "nlg").get("type") == "rephrase",
        language=str(config.get("language", "en")),
        assistant_id=config.get("assistant_id"),
    )


def _part(mapping: YamlMapping, key: str) -> YamlMapping:
    value = mapping.get(key)
    return value if isinstance(value, YamlMapping) else YamlMapping()


def _number(mapping: YamlMapping, key: str, reader: Reader, default: float) -> float:
    found = reader.number(mapping, key) if mapping else None
    return default if found is None else found


def _endpoint(generator: YamlMapping, endpoints: YamlMapping, reader: Reader) -> ModelEndpoint | None:
    """The generator's model: of a group in endpoints.yml, or written in place."""
    written = _part(generator, "llm")
    group = written.get("model_group")
    if group is None:
        return _model(written) if written.get("model") or written.get("model_name") else None
    groups = endpoints.get("model_groups")
    for candidate in groups if isinstance(groups, YamlList) else []:
        if isinstance(candidate, YamlMapping) and candidate.get("id") == group:
            models = [model for model in candidate.get("models") or [] if isinstance(model, YamlMapping)]
            if models:
                return _model(models[0])
    reader.warn(
        written.line_of("model_group"), f"model group {group} is not in endpoints.yml; no language model can be asked"
    )
    return None


def _model(written: YamlMapping) -> ModelEndpoint:
    provider = str(written.get("provider") or written.get("type") or "openai")
    key = _ENVIRONMENT_VALUE.match(str(written.get("api_key", "")))
    return ModelEndpoint(
        model=str(written.get("model") or written.get("model_name") or written.get("deployment") or ""),
        provider=provider,
        api_base=written.get("api_base") or written.get("base_url"),
        api_key_variable=key[1] if key else _KEY_VARIABLES.get(provider),
        timeout_seconds=float(written.get("timeout") or written.get("request_timeout") or 7.0),
        temperature=float(written.get("temperature") or 0.0),
        max_tokens=int(written.get("max_tokens") or written.get("max_completion_tokens") or 256),
    )


def _template(generator: YamlMapping, root: Path, reader: Reader) -> Path | None:
    for key in ("prompt_template", "prompt"):
        if isinstance(written := generator.get(key), str):
            path = root / written
            if not path.is_file():
                reader.error(generator.line_of(key), f"the prompt template {written} does not exist")
            return path
    return None


def _retrieval(generator: YamlMapping, reader: Reader) -> FlowRetrieval:
    written = _part(generator, "flow_retrieval")
    if not written:
        return FlowRetrieval()
    return FlowRetrieval(
        active=reader.flag(written, "active", True),
        num_flows=int(_number(written, "num_flows", reader, 20)),
        turns_to_embed=int(_number(written, "turns_to_embed", reader, 1)),
        should_embed_slots=reader.flag(written, "should_embed_slots", True),
    )
