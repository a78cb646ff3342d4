"""Entries of a command generator in config.yml, flow retrieval above all: as in training, with the file's comments where they were."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_SETTINGS = ("active", "num_flows", "turns_to_embed", "should_embed_slots")


def set_flow_retrieval(generator: Any, recorded: Mapping[str, Any], embeddings: Mapping[str, Any]) -> None:
    """Make a command generator of a round-trip YAML document retrieve flows as `recorded`; what is right already is not touched.

    It is written out even where it is off, since retrieval is on in assistants that say nothing. `embeddings`: the model, or empty.
    """
    wanted = {name: recorded[name] for name in _SETTINGS if name in recorded}
    if embeddings:
        wanted["embeddings"] = dict(embeddings)
    section = generator.get("flow_retrieval")
    if not isinstance(section, dict):
        put_after_name(generator, "flow_retrieval", wanted)
        return
    for name, value in wanted.items():
        if section.get(name) != value:
            section[name] = value


def put_after_name(generator: Any, key: str, value: Any) -> None:
    """A new entry behind the generator's name; comments between that and what follows stay before what follows."""
    from ruamel.yaml.tokens import CommentToken

    generator.pop(key, None)
    written = _commented(value) if isinstance(value, dict) else value
    generator.insert(list(generator).index("name") + 1, key, written)
    comment = generator.ca.items.get("name", (None, None, None))[2]
    if comment is None:
        return
    same_line, line_end, below = comment.value.partition("\n")
    if not below:
        return
    section, last = generator, key
    while isinstance(section[last], dict):
        section = section[last]
        last = next(reversed(section))
    section.ca.items[last] = [None, None, CommentToken(line_end + below, comment.start_mark, None), None]
    if same_line:
        comment.value = same_line + line_end
    else:
        del generator.ca.items["name"]


def _commented(content: Mapping[str, Any]) -> Any:
    """Nested mappings to which comments can be tied."""
    from ruamel.yaml.comments import CommentedMap

    return CommentedMap(
        {key: _commented(value) if isinstance(value, dict) else value for key, value in content.items()}
    )
