"""Reading the domain: one file or a tree of files, merged."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, get_args

from core.assistant.domain import Button, Domain, MappingType, Response, Slot, SlotMapping, SlotType, Variation
from core.assistant.flow_reader import check_template, predicate, rejections
from core.assistant.lines import Lines
from core.assistant.source import Reader, YamlList, YamlMapping
from core.errors import Problem

_DOMAIN_KEYS = (
    "version",
    "actions",
    "responses",
    "slots",
    "intents",
    "entities",
    "forms",
    "session_config",
    "config",
    "metadata",
    "e2e_actions",
    "keys",
)
_SLOT_KEYS = (
    "type",
    "initial_value",
    "values",
    "mappings",
    "influence_conversation",
    "shared_for_coexistence",
    "validation",
    "min_value",
    "max_value",
    "description",
    "auto_fill",
    "metadata",
    "is_builtin",
)
_VARIATION_KEYS = (
    "text",
    "buttons",
    "image",
    "custom",
    "channel",
    "condition",
    "id",
    "metadata",
    "allow_interruptions",
    "attachment",
    "quick_replies",
    "elements",
    "translation",
    "button_type",
)
_MAPPING_TYPES = get_args(MappingType)
_SLOT_TYPES = get_args(SlotType)


class DomainReader:
    """Merges files one after the other; `domain` is the whole."""

    def __init__(self, problems: list[Problem]) -> None:
        self._problems = problems
        self._slots: dict[str, Slot] = {}
        self._responses: dict[str, Response] = {}
        self._actions: dict[str, None] = {}
        self._intents: dict[str, None] = {}
        self._entities: dict[str, None] = {}
        self._expiration = 60.0
        self._carry_over = True
        self._raw: dict[str, Any] = {}

    @property
    def domain(self) -> Domain:
        return Domain(
            slots=self._slots,
            responses=self._responses,
            actions=tuple(self._actions),
            intents=tuple(self._intents),
            entities=tuple(self._entities),
            session_expiration_minutes=self._expiration,
            carry_over_slots=self._carry_over,
            raw=self._raw,
        )

    def add(self, content: Any, file: str) -> None:
        """Take over one parsed file."""
        reader = Reader(file, self._problems)
        if content is None:
            return
        if not isinstance(content, YamlMapping):
            reader.error(1, "a domain file must be a mapping with slots, responses, actions and the like")
            return
        reader.known_keys(content, _DOMAIN_KEYS, "a domain")
        self._names(content, "actions", self._actions, reader)
        self._names(content, "intents", self._intents, reader)
        self._names(content, "entities", self._entities, reader)
        for name, body, line in _entries(content, "slots", reader):
            self._merge("slot", self._slots, self._slot(name, body, line, reader), reader)
        for name, body, line in _entries(content, "responses", reader):
            self._merge("response", self._responses, self._response(name, body, line, reader), reader)
        session = reader.part(content, "session_config")
        minutes = reader.number(session, "session_expiration_time")
        self._expiration = self._expiration if minutes is None else minutes
        self._carry_over = reader.flag(session, "carry_over_slots_to_new_session", self._carry_over)
        for key, value in content.items():
            _merge_raw(self._raw, key, _plain(value))

    def _names(self, content: YamlMapping, key: str, into: dict[str, None], reader: Reader) -> None:
        """A list of names; an entry may be a mapping whose only key is the name."""
        for item, line in reader.items(content, key):
            if isinstance(item, YamlMapping) and len(item) == 1:
                into[str(next(iter(item)))] = None
            elif isinstance(item, (str, int)):
                into[str(item)] = None
            else:
                reader.error(line, f"an entry of {key} must be a name")

    def _merge(self, what: str, into: dict[str, Any], new: Any, reader: Reader) -> None:
        old = into.get(new.name)
        if old is not None and _without_lines(old) != _without_lines(new):
            where = f"{old.lines.file}:{old.lines.first}"
            reader.error(new.lines.first, f"{what} {new.name} is defined differently in {where}; keep one of the two")
        into.setdefault(new.name, new)

    def _slot(self, name: str, body: Any, line: int, reader: Reader) -> Slot:
        if not isinstance(body, YamlMapping):
            reader.error(line, f"slot {name} must be a mapping with a type")
            return Slot(name, "any", Lines(reader.file, line, line))
        reader.known_keys(body, _SLOT_KEYS, f"slot {name}")
        kind = reader.text(body, "type", "any")
        if kind not in _SLOT_TYPES:
            reader.error(body.line_of("type"), f"slot {name}: type {kind} is not one of {', '.join(_SLOT_TYPES)}")
            kind = "any"
        values = tuple(self._values(name, body, reader))
        if kind == "categorical":
            self._check_values(name, values, body, reader)
        checks = reader.part(body, "validation")
        initial = _plain(body.get("initial_value"))
        if not _fits(initial, kind, values):
            where = body.line_of("initial_value")
            reader.warn(where, f"slot {name}: the initial value {initial!r} is no value of type {kind}")
        return Slot(
            name=name,
            type=kind,  # type: ignore[arg-type]
            lines=Lines(reader.file, line, body.lines.last),
            initial_value=initial,
            values=values,
            mappings=tuple(self._mappings(name, body, reader)) or (SlotMapping("from_llm"),),
            rejections=rejections(checks, reader),
            refill_utter=reader.text(checks, "refill_utter"),
            min_value=reader.number(body, "min_value"),
            max_value=reader.number(body, "max_value"),
        )

    def _values(self, name: str, body: YamlMapping, reader: Reader) -> Iterable[Any]:
        for value, line in reader.items(body, "values"):
            if isinstance(value, (dict, list)):
                reader.error(line, f"slot {name}: a value is text, a number, true or false")
            else:
                yield value

    def _check_values(self, name: str, values: Sequence[Any], body: YamlMapping, reader: Reader) -> None:
        if not values:
            reader.error(body.line_of("values"), f"slot {name} is categorical and needs `values`")
        folded = [str(value).casefold() for value in values]
        for value in sorted({value for value in folded if folded.count(value) > 1}):
            reader.warn(body.line_of("values"), f"slot {name}: the value {value} is given more than once")

    def _mappings(self, name: str, body: YamlMapping, reader: Reader) -> Iterable[SlotMapping]:
        for item, line in reader.items(body, "mappings"):
            kind = item.get("type") if isinstance(item, YamlMapping) else item
            if kind not in _MAPPING_TYPES:
                reader.error(line, f"slot {name}: mapping type {kind!r} is not one of {', '.join(_MAPPING_TYPES)}")
            else:
                options = {key: value for key, value in item.items() if key != "type"} if isinstance(item, dict) else {}
                if "conditions" in options:
                    options["conditions"] = self._mapping_conditions(name, item, reader)
                yield SlotMapping(kind, _plain(options))  # type: ignore[arg-type]  # one of the literals, checked above

    def _mapping_conditions(self, name: str, mapping: YamlMapping, reader: Reader) -> list[Any]:
        """The conditions of a mapping, those that are none left out."""
        found = []
        for condition, line in reader.items(mapping, "conditions"):
            if isinstance(condition, YamlMapping):
                found.append(condition)
            else:
                reader.error(line, f"slot {name}: a condition of a mapping is written `- active_flow: flow`")
        return found

    def _response(self, name: str, body: Any, line: int, reader: Reader) -> Response:
        if not isinstance(body, YamlList) or not body:
            reader.error(line, f"response {name} must be a list of variations such as `- text: Hello`")
            return Response(name, (), Lines(reader.file, line, line))
        variations = tuple(
            self._variation(name, item, lines.first, reader) for item, lines in zip(body, body.item_lines, strict=True)
        )
        return Response(name, tuple(v for v in variations if v is not None), Lines(reader.file, line, body.lines.last))

    def _variation(self, name: str, item: Any, line: int, reader: Reader) -> Variation | None:
        if isinstance(item, str):
            return Variation(text=item)
        if not isinstance(item, YamlMapping):
            reader.error(line, f"response {name}: a variation must be a mapping such as `- text: Hello`")
            return None
        reader.known_keys(item, _VARIATION_KEYS, f"response {name}")
        metadata = item.get("metadata")
        variation = Variation(
            text=reader.text(item, "text") if item.get("text") is not None else None,
            buttons=tuple(self._buttons(name, item, reader)),
            condition=self._condition(name, item, reader),
            channel=reader.text(item, "channel") or None,
            id=reader.text(item, "id") or None,
            image=reader.text(item, "image") or None,
            custom=_plain(item.get("custom")),
            metadata=_plain(metadata) if isinstance(metadata, dict) else {},
        )
        if variation.is_jinja:
            buttons = (text for button in variation.buttons for text in (button.title, button.payload))
            for text in (variation.text or "", *buttons):
                check_template(text, item.line_of("text"), reader)
        return variation

    def _buttons(self, name: str, item: YamlMapping, reader: Reader) -> Iterable[Button]:
        for button, line in reader.items(item, "buttons"):
            if not isinstance(button, YamlMapping) or "title" not in button:
                reader.error(line, f"response {name}: a button needs a title and a payload")
            else:
                title = reader.text(button, "title")
                yield Button(title, reader.text(button, "payload", title))

    def _condition(self, name: str, item: YamlMapping, reader: Reader) -> Any:
        """A predicate; the older list of `{type: slot, name, value}` becomes one."""
        written = item.get("condition")
        if written is None:
            return None
        line = item.line_of("condition")
        if not isinstance(written, YamlList):
            return predicate(written, line, reader)
        parts = []
        for part in written:
            if not isinstance(part, YamlMapping) or part.get("type") != "slot" or "name" not in part:
                reader.error(line, f"response {name}: a condition of the older form is `type: slot`, `name`, `value`")
                continue
            parts.append(f"slots.{part['name']} = {_literal(part.get('value'))}")
        return predicate(" and ".join(parts) or "true", line, reader)


def _literal(value: Any) -> str:
    """A value as a condition writes it."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (int, float)):
        return str(value)
    quote = '"' if "'" in str(value) else "'"
    return f"{quote}{value}{quote}"


def _entries(content: YamlMapping, key: str, reader: Reader) -> Iterable[tuple[str, Any, int]]:
    part = reader.part(content, key)
    return ((name, body, part.line_of(name)) for name, body in part.items())


def _without_lines(value: Slot | Response) -> tuple[Any, ...]:
    return tuple(getattr(value, name) for name in value.__dataclass_fields__ if name != "lines")


def _fits(value: Any, kind: str, values: Sequence[Any]) -> bool:
    """True when a slot of a type may begin with this value."""
    if value is None or kind not in ("bool", "float", "categorical"):
        return True
    if kind == "categorical":
        return value in values
    return isinstance(value, bool) if kind == "bool" else isinstance(value, (int, float)) and not isinstance(value, bool)


def _plain(value: Any) -> Any:
    """Ordinary dicts and lists, for JSON."""
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list) else value


def _merge_raw(raw: dict[str, Any], key: str, value: Any) -> None:
    if isinstance(value, dict) and isinstance(raw.get(key), dict):
        raw[key].update(value)
    elif isinstance(value, list) and isinstance(raw.get(key), list):
        raw[key] += [item for item in value if item not in raw[key]]
    else:
        raw[key] = value
