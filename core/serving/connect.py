"""Pointing an assistant's configuration at a served model, with comments and everything else kept."""

from __future__ import annotations

import difflib
import io
import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from core.assistant.settings import DIALECTS, short_name
from core.atomic import write_atomically
from core.dialogue import production_prompt
from core.dialogue.retrieval import OFF
from core.errors import UsageError
from core.serving.retrieval_settings import put_after_name, set_flow_retrieval

GROUP = "calmtune"
EMBEDDINGS_GROUP = "calmtune-embeddings"
KEY_VARIABLE = "HOSTED_VLLM_API_KEY"


@dataclass(frozen=True)
class Connection:
    """What the assistant must know of the served model."""

    api_base: str
    """Such as http://127.0.0.1:8000/v1."""
    model: str
    """Name under which it is served."""
    needs_key: bool
    """True when the server asks for a key; it is read from $HOSTED_VLLM_API_KEY, never written here."""
    flow_retrieval: Mapping[str, Any] = field(default_factory=lambda: OFF)
    """As recorded with the rows the model learnt from: prompts must list the same flows where the assistant runs."""
    prompt: str | None = None
    """Text of the template that renders the prompts of training; None where the owner's own template does."""


@dataclass(frozen=True)
class Patch:
    """New texts of an assistant's configuration files."""

    texts: dict[str, str]
    """File name → whole new text; only files that change."""
    diff: str
    """Unified diff; empty when nothing changes."""

    def apply(self, root: Path) -> list[Path]:
        """Write the texts, each atomically, after copying the old file to `<name>.<time>.bak`; returns the backups."""
        backups = []
        for name, text in self.texts.items():
            path = root / name
            if path.exists():
                backups.append(path.with_name(f"{path.name}.{time.strftime('%Y%m%d-%H%M%S')}.bak"))
                shutil.copy2(path, backups[-1])
            path.parent.mkdir(exist_ok=True)
            write_atomically(path, text)
        return backups


def patch(root: Path, connection: Connection) -> Patch:
    """The change to config.yml and endpoints.yml in `root` that makes its command generator use the model, with prompts as in training.

    Assistants that name their model in place (`llm: {model: …}` without a group) keep that form; all others get a model group.
    Running it again on its own outcome changes nothing. Raises UsageError when config.yml has no command generator.
    """
    config_path = _existing(root, "config")
    if config_path is None:
        raise UsageError(f"{root} has no config.yml to point at the model")
    endpoints_path = _existing(root, "endpoints") or root / "endpoints.yml"
    config, config_yaml = _loaded(config_path.read_text(encoding="utf-8"))
    generator = _generator(config)
    if generator is None:
        raise UsageError(
            f"{config_path.name} has no LLM command generator in its pipeline; add one, e.g. CompactLLMCommandGenerator"
        )
    before = _text_of(endpoints_path)
    endpoints, endpoints_yaml = _loaded(before)
    in_place = _in_place(generator)
    if in_place:
        generator["llm"] = _model(connection)
    else:
        _set_group(generator)
        _put_group(endpoints, GROUP, _model(connection))
    embeddings = _embeddings(connection)
    if embeddings and not in_place:
        _put_group(endpoints, EMBEDDINGS_GROUP, embeddings)
        embeddings = {"model_group": EMBEDDINGS_GROUP}
    set_flow_retrieval(generator, connection.flow_retrieval, embeddings)
    if connection.prompt is not None and generator.get("prompt_template") != production_prompt.FILE:
        put_after_name(generator, "prompt_template", production_prompt.FILE)
    texts = {config_path.name: _dumped(config_yaml, config)}
    if not in_place:
        texts[endpoints_path.name] = _dumped(endpoints_yaml, endpoints)
    if connection.prompt is not None:
        texts[production_prompt.FILE] = connection.prompt
    old = {name: _text_of(root / name) for name in texts}
    changed = {name: text for name, text in texts.items() if text != old[name]}
    return Patch(changed, "".join(_diff(name, old[name], text) for name, text in changed.items()))


def _text_of(path: Path) -> str:
    return path.read_text(encoding="utf-8") if path.exists() else ""


def _model(connection: Connection) -> dict[str, Any]:
    body: dict[str, Any] = {
        "provider": "self-hosted", "model": connection.model, "api_base": connection.api_base, "temperature": 0.0, "max_tokens": 256,
    }  # fmt: skip
    if connection.needs_key:
        body["api_key"] = f"${{{KEY_VARIABLE}}}"
    return body


def _in_place(generator: Any) -> bool:
    llm = generator.get("llm")
    return isinstance(llm, dict) and "model_group" not in llm and ("model" in llm or "model_name" in llm)


def _set_group(generator: Any) -> None:
    if not isinstance(generator.get("llm"), dict):
        generator["llm"] = {}
    generator["llm"]["model_group"] = GROUP


def _put_group(endpoints: Any, id: str, model: dict[str, Any]) -> None:
    groups = endpoints.setdefault("model_groups", [])
    for group in groups:
        if group.get("id") == id:
            group["models"] = [model]
            return
    groups.append({"id": id, "models": [model]})


def _embeddings(connection: Connection) -> dict[str, Any]:
    """The embedding model for the assistant; empty where its prompts list every flow."""
    name = connection.flow_retrieval.get("embedding_model")
    if name is None:
        return {}
    folder = Path(name).expanduser()
    model = str(folder.resolve()) if folder.is_dir() else name
    # Vectors of length 1 are ranked alike by every measure of distance.
    return {"provider": "huggingface", "model": model, "encode_kwargs": {"normalize_embeddings": True}}


def _generator(config: Any) -> Any:
    pipeline = config.get("pipeline") if isinstance(config, dict) else None
    for component in pipeline or []:
        if isinstance(component, dict) and "name" in component and short_name(component) in DIALECTS:
            return component
    return None


def _existing(root: Path, stem: str) -> Path | None:
    return next((path for suffix in (".yml", ".yaml") if (path := root / f"{stem}{suffix}").is_file()), None)


def _loaded(text: str) -> tuple[Any, Any]:
    """The content of a YAML text and a writer that keeps its comments, quotes, order and indentation."""
    from ruamel.yaml import YAML
    from ruamel.yaml.util import load_yaml_guess_indent

    yaml = YAML()
    yaml.preserve_quotes = True
    yaml.width = 4096
    _, width, offset = load_yaml_guess_indent(text) if text.strip() else (None, 4, 2)
    yaml.indent(mapping=2, sequence=width or 2, offset=offset or 0)
    return (yaml.load(text) if text.strip() else None) or {}, yaml


def _dumped(yaml: Any, content: Any) -> str:
    text = io.StringIO()
    yaml.dump(content, text)
    return text.getvalue()


def _diff(name: str, old: str, new: str) -> str:
    return "".join(difflib.unified_diff(old.splitlines(True), new.splitlines(True), f"a/{name}", f"b/{name}"))
