"""YAML with positions: plain dicts and lists that know their lines, so that every complaint names one.

Safe loading only, with the scalars of YAML 1.2: only true and false are booleans (`yes`, `no`, `on`, `off` are text,
as assistants mean them), dates and times stay text, 010 is ten. Keys may be given once only. Aliases and merge keys
work. Size, number of values, copies and nesting are limited, so that no file takes minutes or all memory.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml

from core.assistant.lines import Lines
from core.collector import without_collector
from core.errors import Problem, ProblemsError
from core.near import near

LARGEST_FILE = 20_000_000
"""Bytes; larger files are refused rather than read for minutes."""
MOST_VALUES = 1_000_000
"""Values (keys count) of one file; about a kilobyte of memory each while it is read."""
MOST_COPIES = 100_000
"""Values that the aliases of one file may repeat; more is an alias bomb."""
DEEPEST = 150
"""Levels of nesting; flows of people have fewer than thirty."""


class YamlMapping(dict[str, Any]):
    """A YAML mapping. `lines` spans it; `line_of(key)` is where a key stands; `written` has the scalars as text."""

    lines: Lines
    key_lines: dict[str, int]
    written: dict[str, str]

    def line_of(self, key: str) -> int:
        return self.key_lines.get(key, self.lines.first)


class YamlList(list[Any]):
    """A YAML sequence. `item_lines[i]` spans item i."""

    lines: Lines
    item_lines: list[Lines]


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """The safe loader with the scalars of YAML 1.2, and limits."""

    values = depth = 0

    def descend_resolver(self, parent: yaml.Node | None, index: Any) -> None:
        """Called for each value; the loader's own looks up paths, of which there are none."""
        self.values += 1
        self.depth += 1
        if self.values > MOST_VALUES:
            raise _TooMuch(parent, f"more than {MOST_VALUES:,} values in one file; split it")
        if self.depth > DEEPEST:
            raise _TooMuch(parent, f"not readable: nested too deeply, over {DEEPEST} levels")

    def ascend_resolver(self) -> None:
        self.depth -= 1


class _TooMuch(Exception):
    def __init__(self, node: yaml.Node | None, message: str) -> None:
        super().__init__(message)
        self.line = node.start_mark.line + 1 if node is not None else 0


SCALARS: tuple[tuple[str, re.Pattern[str], list[str]], ...] = (
    ("tag:yaml.org,2002:bool", re.compile(r"^(?:true|True|TRUE|false|False|FALSE)$"), list("tTfF")),
    ("tag:yaml.org,2002:int", re.compile(r"^(?:[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+)$"), list("-+0123456789")),
    (
        "tag:yaml.org,2002:float",
        re.compile(
            r"^[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?$|^[-+]?\.(?:inf|Inf|INF)$|^\.(?:nan|NaN|NAN)$"
        ),
        list("-+0123456789."),
    ),
    ("tag:yaml.org,2002:null", re.compile(r"^(?:~|null|Null|NULL|)$"), ["~", "n", "N", ""]),
    ("tag:yaml.org,2002:merge", re.compile(r"^<<$"), ["<"]),
)
"""(tag, what plain scalars it takes, their first characters)."""
_PATTERNS = {tag: pattern for tag, pattern, _ in SCALARS}
_LINE_BREAK = re.compile("\r\n|[\n\r\x85\u2028\u2029]")  # what the YAML reader counts as one
_Loader.yaml_implicit_resolvers = {}
for _scalar in SCALARS:
    _Loader.add_implicit_resolver(*_scalar)


def read_yaml(path: Path, shown_as: str) -> Any:
    """The content of a file as YamlMapping, YamlList and plain scalars; None for an empty one.

    `shown_as` is the path problems name. Raises ProblemsError.
    """
    return parse_yaml(_text_of(path, shown_as), shown_as)


def _text_of(path: Path, shown_as: str) -> str:
    try:
        if path.stat().st_size > LARGEST_FILE:
            raise _problem(shown_as, 0, f"the file is larger than {LARGEST_FILE // 1_000_000} MB; split it")
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = path.read_bytes()[: error.start].count(b"\n") + 1
        raise _problem(shown_as, line, "the file is not UTF-8; save it as UTF-8") from error
    except OSError as error:
        raise _problem(shown_as, 0, f"the file cannot be read: {error.strerror}") from error
    return text


def parse_yaml(text: str, shown_as: str) -> Any:
    """As `read_yaml`, from text."""
    with without_collector():
        node = _compose(text, shown_as)
        return None if node is None else _Builder(shown_as, text).build(node)


def inspect_yaml(path: Path, shown_as: str) -> tuple[Any, tuple[Problem, ...]]:
    """As `read_yaml`, but with what can be read although some keys are wrong, and the problems with those.

    Raises ProblemsError where nothing can be read.
    """
    text = _text_of(path, shown_as)
    with without_collector():
        node = _compose(text, shown_as)
        builder = _Builder(shown_as, text)
        return (None if node is None else builder.read(node)), tuple(builder.problems)


def _compose(text: str, shown_as: str) -> yaml.Node | None:
    try:
        node: yaml.Node | None = yaml.compose(text, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise _problem(
            shown_as, mark.line + 1 if mark else 0, f"not valid YAML: {error.problem or error.context}"
        ) from error
    except yaml.reader.ReaderError as error:
        found = yaml.reader.Reader.NON_PRINTABLE.search(text)
        line = text.count("\n", 0, found.start()) + 1 if found else 0
        raise _problem(shown_as, line, "not valid YAML: a control character stands there; remove it") from error
    except _TooMuch as error:
        raise _problem(shown_as, error.line, str(error)) from error
    except RecursionError as error:
        raise _problem(shown_as, 0, "not readable: nested too deeply") from error
    return node


def _problem(file: str, line: int, message: str) -> ProblemsError:
    return ProblemsError([Problem(file, line, message)])


class _Builder:
    def __init__(self, file: str, text: str) -> None:
        self.file = file
        self.text_lines = _LINE_BREAK.split(text)
        self.seen: set[int] = set()
        self.copies = 0
        self.problems: list[Problem] = []
        self.open: set[int] = set()

    def build(self, node: yaml.Node) -> Any:
        value = self.read(node)
        if self.problems:
            raise ProblemsError(self.problems)
        return value

    def read(self, node: yaml.Node) -> Any:
        """As `build`, but what is wrong with single keys is only in `problems`."""
        try:
            value, _ = self._value(node)
        except RecursionError as error:
            raise _problem(self.file, node.start_mark.line + 1, "not readable: nested too deeply") from error
        return value

    def _value(self, node: yaml.Node) -> tuple[Any, int]:
        """The value and its last line."""
        line = node.start_mark.line + 1
        self.copies += id(node) in self.seen
        self.seen.add(id(node))
        if self.copies > MOST_COPIES:
            raise _problem(
                self.file, line, f"more than {MOST_COPIES:,} copies; aliases that multiply each other are not read"
            )
        if not node.tag.startswith("tag:yaml.org,2002:"):
            self.problems.append(Problem(self.file, line, f"the tag {node.tag} is not read; remove it"))
        if isinstance(node, yaml.ScalarNode):
            return self._scalar(node), self._last_line(node)
        if id(node) in self.open:
            raise _problem(self.file, line, "an alias contains itself")
        self.open.add(id(node))
        value: Any
        if isinstance(node, yaml.MappingNode):
            value = self._mapping(node)
        else:
            assert isinstance(node, yaml.SequenceNode)
            value = self._sequence(node)
        self.open.discard(id(node))
        return value, value.lines.last

    def _scalar(self, node: yaml.ScalarNode) -> Any:
        text = node.value
        kind = node.tag.rpartition(":")[2]
        pattern = _PATTERNS.get(node.tag)
        if pattern is not None and not pattern.match(text):  # possible with a tag written out, such as `!!int`
            self.problems.append(Problem(self.file, node.start_mark.line + 1, f"{text!r} is not of the type !!{kind}"))
            return None
        if kind == "bool":
            return text.casefold() == "true"
        if kind == "null":
            return None
        if kind == "int":
            return int(text, 0) if text[:2] in ("0o", "0x") else int(text) if len(text) < 300 else text
        if kind == "float":
            return float(re.sub(r"\.(inf|nan)", r"\1", text.casefold()))
        return text

    def _mapping(self, node: yaml.MappingNode) -> YamlMapping:
        mapping = YamlMapping()
        mapping.key_lines, mapping.written = {}, {}
        own: set[str] = set()
        first = last = node.start_mark.line + 1
        for key_node, value_node in node.value:
            line = key_node.start_mark.line + 1
            value, end = self._value(value_node)
            # An alias points at lines above; its own line is that of the key.
            last = max(last, self._last_line(key_node), end if value_node.start_mark.line + 1 >= line else line)
            if key_node.tag == "tag:yaml.org,2002:merge":
                self._merge(mapping, value, line)
                continue
            if not isinstance(key_node, yaml.ScalarNode):
                self.problems.append(Problem(self.file, line, "a key must be a plain word"))
                continue
            key = key_node.value
            if key in own:
                self.problems.append(
                    Problem(self.file, line, f"{key} is given twice (first in line {mapping.key_lines[key]})")
                )
                continue
            own.add(key)
            mapping[key] = value
            mapping.key_lines[key] = line
            if isinstance(value_node, yaml.ScalarNode):
                mapping.written[key] = value_node.value
        mapping.lines = Lines(self.file, first, last)
        return mapping

    def _merge(self, mapping: YamlMapping, value: Any, line: int) -> None:
        """`<<: *other`: keys of the mapping itself, and of earlier ones, stand."""
        for part in value if isinstance(value, YamlList) else [value]:
            if not isinstance(part, YamlMapping):
                self.problems.append(Problem(self.file, line, "<< takes a mapping or a list of mappings"))
                continue
            for name in part.keys() - mapping.keys():
                mapping.key_lines[name] = line
                if name in part.written:
                    mapping.written[name] = part.written[name]
            mapping.update({name: part[name] for name in part if name not in mapping})

    def _sequence(self, node: yaml.SequenceNode) -> YamlList:
        sequence = YamlList()
        sequence.item_lines = []
        first = last = node.start_mark.line + 1
        for item in node.value:
            value, end = self._value(item)
            line = item.start_mark.line + 1
            sequence.append(value)
            sequence.item_lines.append(Lines(self.file, line, max(line, end)))
            last = max(last, end)
        sequence.lines = Lines(self.file, first, last)
        return sequence

    def _last_line(self, node: yaml.Node) -> int:
        """Line of the last character of a scalar; the marks of block scalars include the blank lines that follow."""
        start, end = int(node.start_mark.line), int(node.end_mark.line)
        if end > start and node.end_mark.column == 0:
            end -= 1
        while end > start and not self.text_lines[end].strip():
            end -= 1
        return end + 1


class Reader:
    """Reads one file's values with checks that collect problems instead of stopping."""

    def __init__(self, file: str, problems: list[Problem]) -> None:
        self.file = file
        self.problems = problems

    def error(self, line: int, message: str) -> None:
        self.problems.append(Problem(self.file, line, message))

    def warn(self, line: int, message: str) -> None:
        self.problems.append(Problem(self.file, line, message, "warning"))

    def text(self, mapping: YamlMapping, key: str, default: str = "") -> str:
        """A text value; numbers and booleans count as the text they are written as."""
        value = mapping.get(key)
        if value is None:
            return default
        if isinstance(value, (dict, list)):
            self.error(mapping.line_of(key), f"{key} must be text")
            return default
        return mapping.written.get(key, str(value))

    def flag(self, mapping: YamlMapping, key: str, default: bool) -> bool:
        value = mapping.get(key)
        if value is None:
            return default
        if not isinstance(value, bool):
            self.error(mapping.line_of(key), f"{key} must be true or false, not {value!r}")
            return default
        return value

    def number(self, mapping: YamlMapping, key: str) -> float | None:
        value = mapping.get(key)
        if value is not None and (isinstance(value, bool) or not isinstance(value, (int, float))):
            self.error(mapping.line_of(key), f"{key} must be a number, not {value!r}")
            return None
        return None if value is None else float(value)

    def part(self, mapping: YamlMapping, key: str) -> YamlMapping:
        """A mapping inside; an empty one when the key is absent."""
        value = mapping.get(key)
        if value is not None and not isinstance(value, YamlMapping):
            self.error(mapping.line_of(key), f"{key} must be a mapping")
        return value if isinstance(value, YamlMapping) else YamlMapping()

    def items(self, mapping: YamlMapping, key: str) -> Iterator[tuple[Any, int]]:
        """(item, line) pairs of a list value; nothing when the key is absent."""
        value = mapping.get(key)
        if value is None:
            return
        if not isinstance(value, YamlList):
            self.error(mapping.line_of(key), f"{key} must be a list")
            return
        yield from ((item, lines.first) for item, lines in zip(value, value.item_lines, strict=True))

    def known_keys(
        self, mapping: YamlMapping, known: Sequence[str], what: str, report: Callable[[int, str], None] | None = None
    ) -> None:
        """Report keys that are not known (as warnings unless `report` says otherwise), with the nearest known one."""
        for key in mapping:
            if key not in known:
                hint = near(key, known, self.problems)
                (report or self.warn)(mapping.line_of(key), f"{key} is not a key of {what}{hint}")
