"""Flow retrieval in a config.yml: switched as the model was trained, with the file's comments where they were."""

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
        _put_after_name(generator, wanted)
        return
    for name, value in wanted.items():
        if section.get(name) != value:
            section[name] = value


def _put_after_name(generator: Any, wanted: Mapping[str, Any]) -> None:
    """A new section behind the generator's name; comments between that and what follows stay before what follows."""
    from ruamel.yaml.tokens import CommentToken

    section = _commented(wanted)
    generator.pop("flow_retrieval", None)
    generator.insert(list(generator).index("name") + 1, "flow_retrieval", section)
    comment = generator.ca.items.get("name", (None, None, None))[2]
    if comment is None:
        return
    same_line, line_end, below = comment.value.partition("\n")
    if not below:
        return
    while isinstance(section[next(reversed(section))], dict):
        section = section[next(reversed(section))]
    moved = CommentToken(line_end + below, comment.start_mark, None)
    section.ca.items[next(reversed(section))] = [None, None, moved, None]
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
