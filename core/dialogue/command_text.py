"""Commands as text: the three forms language models write, and reading them back.

v1 is function style (`StartFlow(book)`), v2 and v3 are verb phrases (`start flow book`). Rendering is lossless: a value that plain text
would change (outer blanks or quotes, line breaks, in v1 also a closing bracket) is written as a JSON string. Numbers and booleans are
written `12.5`, `3` and `True` and come back as text; the slot's type makes them values again. Reading is tolerant of bullets, numbers,
quotes, code fences and upper or lower case.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from core.assistant.settings import Dialect
from core.dialogue.commands import (
    CancelFlow,
    CannotHandle,
    ChitChat,
    Clarify,
    Command,
    HumanHandoff,
    RepeatMessage,
    SearchAndReply,
    SetSlot,
    SkipQuestion,
    StartFlow,
)
from core.errors import UsageError

_NAME = r"[\w.-]*[\w-]"
"""Of a flow or a slot; a full stop after it ends the model's sentence."""
PLAIN: dict[Dialect, dict[type, str]] = {
    "v1": {
        CancelFlow: "CancelFlow()",
        SkipQuestion: "SkipQuestion()",
        SearchAndReply: "SearchAndReply()",
        ChitChat: "ChitChat()",
        HumanHandoff: "HumanHandoff()",
        RepeatMessage: "RepeatLastBotMessages()",
        CannotHandle: "CannotHandle()",
    },
    "v2": {
        CancelFlow: "cancel flow",
        SkipQuestion: "skip question",
        SearchAndReply: "provide info",
        ChitChat: "offtopic reply",
        HumanHandoff: "hand over",
        RepeatMessage: "repeat message",
        CannotHandle: "cannot handle",
    },
}
PLAIN["v3"] = {**PLAIN["v2"], SearchAndReply: "search and reply"}
"""The commands that name neither flow nor slot, as each form writes them."""

OFFERED: dict[Dialect, tuple[type, ...]] = {
    "v1": (
        StartFlow,
        SetSlot,
        CancelFlow,
        Clarify,
        SkipQuestion,
        SearchAndReply,
        ChitChat,
        HumanHandoff,
        RepeatMessage,
    ),
    "v2": (StartFlow, SetSlot, CancelFlow, Clarify, SearchAndReply, ChitChat, HumanHandoff, RepeatMessage),
    "v3": (StartFlow, SetSlot, CancelFlow, Clarify, SearchAndReply, RepeatMessage),
}
"""Commands each form's prompt tells the model about; the others can be written and read all the same."""

_LEAD = r"^[\s\W\d]*?(?<![\w])"
_READERS: tuple[tuple[re.Pattern[str], Any], ...] = (
    (re.compile(_LEAD + rf"start\s+flow\s+['\"`]?({_NAME})", re.I), lambda m: StartFlow(m[1])),
    (
        re.compile(_LEAD + rf"set\s+slot\s+['\"`]?({_NAME})['\"`]?(?:[ \t]+(.*))?$", re.I | re.S),
        lambda m: SetSlot(m[1], _value(m[2] or "")),
    ),
    (re.compile(_LEAD + r"disambiguate\s+flows?\b(.*)$", re.I), lambda m: Clarify(tuple(re.findall(_NAME, m[1])))),
    (re.compile(_LEAD + r"cancel\s+flow\b", re.I), lambda m: CancelFlow()),
    (re.compile(_LEAD + r"skip\s+question\b", re.I), lambda m: SkipQuestion()),
    (re.compile(_LEAD + r"(?:provide\s+info|search\s+and\s+reply)\b", re.I), lambda m: SearchAndReply()),
    (re.compile(_LEAD + r"off-?topic\s+reply\b", re.I), lambda m: ChitChat()),
    (re.compile(_LEAD + r"hand\s+over\b", re.I), lambda m: HumanHandoff()),
    (re.compile(_LEAD + r"repeat\s+message\b", re.I), lambda m: RepeatMessage()),
    (re.compile(_LEAD + r"cannot\s+handle\b", re.I), lambda m: CannotHandle()),
)
_FUNCTIONS: dict[str, Any] = {
    "startflow": lambda arguments: StartFlow(_bare(arguments)),
    "setslot": lambda arguments: _set_slot(arguments),
    "clarify": lambda arguments: Clarify(tuple(filter(None, (_bare(name) for name in arguments.split(","))))),
    "cancelflow": lambda arguments: CancelFlow(),
    "skipquestion": lambda arguments: SkipQuestion(),
    "searchandreply": lambda arguments: SearchAndReply(),
    "chitchat": lambda arguments: ChitChat(),
    "humanhandoff": lambda arguments: HumanHandoff(),
    "repeatlastbotmessages": lambda arguments: RepeatMessage(),
    "cannothandle": lambda arguments: CannotHandle(),
}
_CALL = re.compile(rf"\b({'|'.join(_FUNCTIONS)})\s*\(", re.I)
_UNKNOWN_VALUES = frozenset(
    {
        "none",
        "null",
        "undefined",
        "n/a",
        "unknown",
        "[missing information]",
        "missing information",
        "[missing]",
        "not provided",
        "?",
        "",
    }
)


@dataclass(frozen=True)
class Parsed:
    """What a text says."""

    commands: tuple[Command, ...]
    dropped: tuple[str, ...] = ()
    """Lines or commands that count for nothing: unreadable, unknown flows, slots without a value."""


def render(command: Command, dialect: Dialect) -> str:
    """One command in one form. Raises UsageError for commands that no model writes (session start, intents, errors)."""
    functions = dialect == "v1"
    if isinstance(command, StartFlow):
        return f"StartFlow({command.flow})" if functions else f"start flow {command.flow}"
    if isinstance(command, SetSlot):
        value = _written(command.value, functions)
        return f"SetSlot({command.name}, {value})" if functions else f"set slot {command.name} {value}"
    if isinstance(command, Clarify):
        return f"Clarify({', '.join(command.flows)})" if functions else " ".join(["disambiguate flows", *command.flows])
    text = PLAIN[dialect].get(type(command))
    if text is None:
        raise UsageError(f"{command!r} has no written form; language models do not give it")
    return text


def render_all(commands: Sequence[Command], dialect: Dialect) -> str:
    """Commands one a line."""
    return "\n".join(render(command, dialect) for command in commands)


def as_lines(commands: Iterable[Command]) -> list[str]:
    """Commands in one spelling; those that no model writes by their name."""
    return [as_line(command) for command in commands]


def as_line(command: Command) -> str:
    """A command in one spelling; one that no model writes by its name."""
    try:
        return render(command, "v2")
    except UsageError:
        return type(command).__name__


def parse(
    text: str,
    dialect: Dialect,
    known_flows: Collection[str] | None = None,
    drop_unknown_values: bool = True,
    meant: Collection[tuple[str, str]] = (),
) -> Parsed:
    """Read a model's answer. Flows outside `known_flows` are dropped; the other form is understood as well.

    A slot's value of "none", "?" and the like says that a model knows none, and is dropped, unless it is `meant`: a (slot, value) pair
    that the assistant knows. `drop_unknown_values` False takes all as they are.
    """
    commands: list[Command] = []
    dropped: list[str] = []
    kept: Command | None
    for line in text.splitlines():
        if not line.strip() or line.strip().startswith("```"):
            continue
        found = _calls(line) if dialect == "v1" else _phrase(line)
        found = found or (_phrase(line) if dialect == "v1" else _calls(line))
        if not found:
            dropped.append(line.strip())
        for command in found:
            if isinstance(command, SetSlot):
                kept = command if not drop_unknown_values or _says_something(command, meant) else None
            else:
                kept = _known(command, known_flows)
            if kept is None:
                dropped.append(render(command, dialect))
            else:
                commands.append(kept)
    return Parsed(tuple(commands), tuple(dropped))


def _says_something(command: SetSlot, meant: Collection[tuple[str, str]]) -> bool:
    value = str(command.value).strip().casefold()
    return value not in _UNKNOWN_VALUES or (command.name, value) in meant


def _known(command: Command, flows: Collection[str] | None) -> Command | None:
    if flows is None:
        return command
    if isinstance(command, StartFlow):
        return command if command.flow in flows else None
    if isinstance(command, Clarify) and command.flows:
        known = tuple(flow for flow in command.flows if flow in flows)
        return Clarify(known) if known else None
    return command


def _phrase(line: str) -> list[Command]:
    for pattern, build in _READERS:
        if match := pattern.match(line):
            return [build(match)]
    return []


def _calls(line: str) -> list[Command]:
    """All v1 commands of a line, e.g. `StartFlow(a), SetSlot(b, c)`."""
    found: list[Command] = []
    at = 0
    while match := _CALL.search(line, at):
        end = _closing(line, match.end())
        command = _FUNCTIONS[match[1].casefold()](line[match.end() : end])
        if command is not None:
            found.append(command)
        at = end + 1
    return found


def _closing(line: str, start: int) -> int:
    """Position of the bracket that closes a call: outside JSON strings, matching inner pairs; the last one as a fallback."""
    depth, position, decoder = 0, start, json.JSONDecoder()
    while position < len(line):
        if line[position] == '"' and line[start:position].rstrip().endswith(","):
            try:
                _, position = decoder.raw_decode(line, position)
                continue
            except ValueError:
                pass
        if line[position] == "(":
            depth += 1
        elif line[position] == ")":
            if depth == 0:
                return position
            depth -= 1
        position += 1
    last = line.rfind(")")
    return last if last >= start else len(line)


def _set_slot(arguments: str) -> SetSlot | None:
    name, comma, value = arguments.partition(",")
    return SetSlot(_bare(name), _value(value)) if comma and _bare(name) else None


def _bare(name: str) -> str:
    return name.strip().strip("'\"`").strip()


def _written(value: Any, function: bool) -> str:
    """A value as text that reads back the same."""
    if not isinstance(value, str):
        whole = isinstance(value, float) and value.is_integer()
        return "None" if value is None else str(int(value) if whole else value)
    plain = (
        value == value.strip()
        and value.isprintable()
        and not (value and value[0] in "'\"`")
        and not (value and value[-1] in "'\"`")
        and value.casefold() not in _UNKNOWN_VALUES
        and not (function and any(character in value for character in "()"))
    )
    return value if plain else json.dumps(value, ensure_ascii=not value.isprintable())


def _value(text: str) -> str:
    """A value as written; one pair of outer quotes is taken off, JSON escapes inside double quotes are read."""
    text = text.strip()
    if len(text) >= 2 and text[0] == text[-1] == '"':
        try:
            return str(json.loads(text))
        except ValueError:
            return text[1:-1]
    if len(text) >= 2 and text[0] == text[-1] and text[0] in "'`":
        return text[1:-1]
    return text
