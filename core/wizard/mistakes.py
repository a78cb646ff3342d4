"""Words for wrong answers."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from core.near import near

_LIMITS = {
    "greater_than_equal": ("at least", "ge"),
    "greater_than": ("more than", "gt"),
    "less_than_equal": ("at most", "le"),
    "less_than": ("less than", "lt"),
}
_KINDS = {"string": "text", "int": "a whole number", "float": "a number", "bool": "true or false", "path": "a path as text"}
_LONGEST = 60
"""Characters of a wrong value that are shown."""


def in_words(details: Mapping[str, Any], known: Collection[str]) -> str:
    """ "training.epochs: 0 is not at least 1", of one error of pydantic; `known` are the questions where it stands."""
    where = ".".join(str(part) for part in details["loc"] if not str(part).startswith("function-"))
    kind, context, value = details["type"], details.get("ctx", {}), details.get("input")
    if kind == "extra_forbidden":
        return f"{where} is not a question{near(str(details['loc'][-1]), known)}"
    if kind == "missing":
        return f"{where} is missing and must be answered"
    said = f"{where}: " if where else ""
    if kind in _LIMITS:
        words, name = _LIMITS[kind]
        return f"{said}{value} is not {words} {context[name]:g}"
    if kind == "literal_error":
        choices = context["expected"].replace(" or ", ", ").replace("'", "").split(", ")
        return f"{said}{shown(value)} is not one of {', '.join(choices)}{near(value, choices) if isinstance(value, str) else ''}"
    if kind == "string_pattern_mismatch":
        return f"{said}{shown(value)} is not written as such answers are"
    if kind in ("model_type", "model_attributes_type", "dict_type"):
        return f"{where} must be a mapping of questions to answers, not {shown(value)}"
    if (needed := _KINDS.get(kind.partition("_")[0])) is not None:
        return f"{said}must be {needed}, not {shown(value)}"
    return f"{said}{shown(value)}: {details['msg'][0].lower()}{details['msg'][1:]}"


def shown(value: Any) -> str:
    """A wrong value in a sentence: text in quotes, anything else as YAML has it."""
    if value is None or isinstance(value, bool):
        return {None: "nothing", True: "true", False: "false"}[value]
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list):
        return "a list"
    text = repr(value)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"
