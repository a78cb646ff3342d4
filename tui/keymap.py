"""Keys of one's own: a file that names actions and their keys, read when the app starts."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from textual.binding import Binding, BindingType
from textual.keys import Keys

from core.assistant.source import YamlMapping, read_yaml
from core.errors import Problem, ProblemsError
from core.near import near

_MODIFIERS = {"ctrl", "shift", "alt", "super", "hyper", "meta"}
_NAMED = {key.value for key in Keys} | {
    "space", "comma", "question_mark", "slash", "full_stop", "minus", "plus", "exclamation_mark", "at", "number_sign", "asterisk",
    "equals_sign", "left_square_bracket", "right_square_bracket", "semicolon", "colon", "apostrophe", "quotation_mark", "less_than_sign",
    "greater_than_sign", "underscore", "tilde", "backslash", "vertical_line", "percent_sign", "ampersand", "dollar_sign",
}  # fmt: skip
_HEAD = """\
# Keys of calmtune's app. An action a line; take the # away and write another key, or several with commas between.
# Names of keys: ctrl+r, f5, escape, enter, left, pageup, question_mark, a, A.
"""


def keymap_file() -> Path:
    """$XDG_CONFIG_HOME/calmtune/keymap.yml."""
    return Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "calmtune" / "keymap.yml"


def shown_file() -> str:
    """The same as a person would write it."""
    path = keymap_file()
    return f"~/{path.relative_to(Path.home())}" if path.is_relative_to(Path.home()) else str(path)


def named_bindings(groups: Iterable[Iterable[BindingType]]) -> dict[str, Binding]:
    """Every key that can be changed, by the name of its action; the first that has a name stands for the others."""
    found: dict[str, Binding] = {}
    for bindings in groups:
        for binding in bindings:
            if isinstance(binding, Binding) and binding.id:
                found.setdefault(binding.id, binding)
    return found


def read_keymap(path: Path, known: Mapping[str, Binding]) -> tuple[dict[str, str], list[Problem]]:
    """(action → keys, what is wrong in the file): what is right in it counts all the same."""
    if not path.is_file():
        return {}, []
    try:
        content = read_yaml(path, path.name)
    except ProblemsError as error:
        return {}, error.problems
    if content is None:
        return {}, []
    if not isinstance(content, YamlMapping):
        return {}, [Problem(path.name, 1, "a keymap is a mapping such as `run: ctrl+r`")]
    keys: dict[str, str] = {}
    problems = []
    for action, value in content.items():
        if wrong := _wrong(str(action), value, known):
            problems.append(Problem(path.name, content.line_of(action), wrong))
        else:
            keys[str(action)] = ",".join(key.strip() for key in str(value).split(","))
    return keys, problems


def _wrong(action: str, value: object, known: Mapping[str, Binding]) -> str:
    if action not in known:
        return f"there is no action {action!r}{near(action, known)}"
    if not isinstance(value, str | int):
        return f"{action}: write a key such as {known[action].key}, or several with commas between"
    for key in str(value).split(","):
        if not _is_key(key.strip()):
            return f"{action}: {key.strip()!r} is no key; write it as {known[action].key}, f5 or question_mark"
    return ""


def _is_key(text: str) -> bool:
    *modifiers, key = text.split("+") if text != "+" else ["+"]
    if not set(modifiers) <= _MODIFIERS or len(set(modifiers)) != len(modifiers):
        return False
    return (len(key) == 1 and key.isprintable() and not key.isspace()) or key in _NAMED or bool(re.fullmatch(r"f([1-9]|1\d|2[0-4])", key))


def template(known: Mapping[str, Binding]) -> str:
    """A file with every action and its key, all left as they are."""
    width = max(len(action) + len(binding.key) for action, binding in known.items()) + 4
    lines = [f"{f'# {action}: {binding.key}':<{width + 2}} # {binding.tooltip or binding.description}" for action, binding in known.items()]
    return _HEAD + "\n" + "\n".join(lines) + "\n"


def write_template(path: Path, known: Mapping[str, Binding]) -> bool:
    """Write it where there is none; False when there is one. Raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(template(known))
    except FileExistsError:
        return False
    return True
