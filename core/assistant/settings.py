"""Settings of an assistant: config.yml and endpoints.yml."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from core.assistant.source import Reader, YamlMapping
from core.near import near

Dialect = Literal["v1", "v2", "v3"]
"""Form of the commands a generator's model writes."""

DIALECTS: dict[str, Dialect] = {
    "LLMCommandGenerator": "v1",
    "SingleStepLLMCommandGenerator": "v1",
    "MultiStepLLMCommandGenerator": "v1",
    "CompactLLMCommandGenerator": "v2",
    "SearchReadyLLMCommandGenerator": "v3",
}
"""Command generators that can be in a pipeline."""
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
    """Which flows a prompt lists where the assistant runs. The defaults hold where config.yml says nothing."""

    active: bool = True
    """False lists every flow; no embedding model is needed then."""
    num_flows: int = 20
    """Flows that fit a message best, at least 1; the active ones and those always included come on top."""
    turns_to_embed: int = 1
    """User messages compared with the flows, the last ones, with the answers between them; at least 1."""
    should_embed_slots: bool = True
    """True compares with a flow's slots too, not only with its name and description."""
    written_at: str = field(default="", compare=False)
    """Where it is written, such as config.yml:7; empty where config.yml says nothing."""

    @property
    def facts(self) -> dict[str, Any]:
        """What decides which flows are listed, JSON-ready."""
        chosen = {name: getattr(self, name) for name in ("num_flows", "turns_to_embed", "should_embed_slots")}
        return {"active": True, **chosen} if self.active else {"active": False}


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


def read_settings(config: Any, endpoints: Any, root: Path, config_reader: Reader, endpoints_reader: Reader) -> Settings:
    """Settings from parsed files (None for a missing one). Problems go to the readers."""
    config, endpoints = _whole(config, config_reader), _whole(endpoints, endpoints_reader)
    components = list(_named(config, "pipeline", config_reader))
    generators = [item for item in components if short_name(item) in DIALECTS]
    generator = generators[0] if generators else YamlMapping()
    name = short_name(generator) if generators else None
    if len(generators) > 1:
        config_reader.error(generators[1].line_of("name"), "only one command generator may be in the pipeline")
    if config and not generators:
        config_reader.warn(
            0, "no LLM command generator in the pipeline; commands take the form of CompactLLMCommandGenerator"
        )
    policies = list(_named(config, "policies", config_reader))
    for item in (*(item for item in components if item not in generators), *policies):
        if short_name(item) != "FlowPolicy":
            meant = near(item["name"], DIALECTS) if not generators else ""
            config_reader.warn(item.line_of("name"), f"{item['name']} takes no part here; flows run without it{meant}")
    action_endpoint = endpoints_reader.part(endpoints, "action_endpoint")
    nlg = endpoints_reader.part(endpoints, "nlg")
    rephrases = nlg.get("type") == "rephrase"
    if nlg:
        what = "the rephraser" if rephrases else "what `nlg` names"
        endpoints_reader.warn(endpoints.line_of("nlg"), f"responses are said as written; {what} takes no part here")
    _check_actions(action_endpoint, endpoints_reader)
    return Settings(
        generator=name,
        dialect=DIALECTS[name] if name else "v2",
        llm=_endpoint(generator, endpoints, config_reader, endpoints_reader),
        prompt_template=_template(generator, root, config_reader),
        flow_retrieval=_retrieval(generator, config_reader),
        max_characters=int(_number(config_reader.part(generator, "user_input"), config_reader, 420, "max_characters")),
        include_date_time=config_reader.flag(generator, "include_date_time", False),
        other_components=tuple(str(item["name"]) for item in components if item is not generator),
        policies=tuple(str(item["name"]) for item in policies),
        action_url=endpoints_reader.text(action_endpoint, "url") or None,
        actions_module=endpoints_reader.text(action_endpoint, "actions_module") or None,
        rephrases_responses=rephrases,
        language=config_reader.text(config, "language") or "en",
        assistant_id=config_reader.text(config, "assistant_id") or None,
    )


def _whole(content: Any, reader: Reader) -> YamlMapping:
    if content is not None and not isinstance(content, YamlMapping):
        reader.error(1, "the file must be a mapping, such as `language: en`")
    return content if isinstance(content, YamlMapping) else YamlMapping()


def _check_actions(endpoint: YamlMapping, reader: Reader) -> None:
    """Report what of an action endpoint takes no part."""
    if "url" in endpoint and "actions_module" in endpoint:
        reader.warn(endpoint.line_of("actions_module"), "actions_module is left aside: the server under `url` is asked")
    if reader.text(endpoint, "url").startswith("grpc"):
        reader.error(endpoint.line_of("url"), "action servers are asked over HTTP only; give an address with http://")
    known = ("url", "actions_module", "protocol", "enable_selective_domain")
    reader.known_keys(endpoint, known, "action_endpoint; it is left aside")


def _named(config: YamlMapping, key: str, reader: Reader) -> Iterator[YamlMapping]:
    """The entries of a list whose entries have a `name`."""
    for item, line in reader.items(config, key):
        if isinstance(item, YamlMapping) and isinstance(item.get("name"), str):
            yield item
        else:
            reader.error(line, f"an entry of {key} must be a mapping such as `- name: FlowPolicy`")


def short_name(item: Mapping[str, Any]) -> str:
    """Name of a component: `SomeGenerator` of `package.module.SomeGenerator`."""
    return str(item["name"]).rpartition(".")[2]


def _number(mapping: YamlMapping, reader: Reader, default: float, *keys: str) -> float:
    """The first of several keys that is given; a `${VARIABLE}` counts as not given."""
    for key in keys:
        if mapping.get(key) is not None and not _ENVIRONMENT_VALUE.match(str(mapping[key])):
            found = reader.number(mapping, key)
            return default if found is None or not math.isfinite(found) else found
    return default


def _endpoint(
    generator: YamlMapping, endpoints: YamlMapping, config_reader: Reader, endpoints_reader: Reader
) -> ModelEndpoint | None:
    """The generator's model: of a group in endpoints.yml, or written in place."""
    written = config_reader.part(generator, "llm")
    group = written.get("model_group")
    if group is None:
        return _model(written, config_reader) if _model_name(written) else None
    for candidate, _ in endpoints_reader.items(endpoints, "model_groups"):
        if isinstance(candidate, YamlMapping) and candidate.get("id") == group:
            models = [
                model for model, _ in endpoints_reader.items(candidate, "models") if isinstance(model, YamlMapping)
            ]
            if len(models) > 1:
                endpoints_reader.warn(
                    models[1].lines.first, f"model group {group} has {len(models)} models; only the first is asked"
                )
            if models:
                return _model(models[0], endpoints_reader)
    config_reader.warn(
        written.line_of("model_group"), f"model group {group} is not in endpoints.yml; no language model can be asked"
    )
    return None


def _model_name(written: YamlMapping) -> str:
    return str(written.get("model") or written.get("model_name") or written.get("deployment") or "")


def _model(written: YamlMapping, reader: Reader) -> ModelEndpoint:
    provider = str(written.get("provider") or written.get("type") or "openai")
    key = _ENVIRONMENT_VALUE.match(str(written.get("api_key", "")))
    if key is None and written.get("api_key"):
        reader.warn(written.line_of("api_key"), "a key in a file is not read; write api_key: ${VARIABLE}")
    return ModelEndpoint(
        model=_model_name(written),
        provider=provider,
        api_base=reader.text(written, "api_base") or reader.text(written, "base_url") or None,
        api_key_variable=key[1] if key else _KEY_VARIABLES.get(provider),
        timeout_seconds=_number(written, reader, 7.0, "timeout", "request_timeout"),
        temperature=_number(written, reader, 0.0, "temperature"),
        max_tokens=int(_number(written, reader, 256, "max_tokens", "max_completion_tokens")),
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
    written = reader.part(generator, "flow_retrieval")
    if not written:
        return FlowRetrieval()
    return FlowRetrieval(
        active=reader.flag(written, "active", True),
        num_flows=_positive(written, "num_flows", 20, reader),
        turns_to_embed=_positive(written, "turns_to_embed", 1, reader),
        should_embed_slots=reader.flag(written, "should_embed_slots", True),
        written_at=f"{reader.file}:{generator.line_of('flow_retrieval')}",
    )


def _positive(written: YamlMapping, key: str, default: int, reader: Reader) -> int:
    found = int(_number(written, reader, default, key))
    if found < 1:
        reader.error(written.line_of(key), f"{key} must be at least 1, not {found}")
    return found
