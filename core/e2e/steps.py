"""Steps of a test as turns: user messages, classic checks, assertions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, get_args

from core.assistant.source import Reader, YamlList, YamlMapping
from core.e2e.cases import ANY, Check, Expectation, Turn
from core.near import near

_STEP_KINDS = ("user", "bot", "utter", "slot_was_set", "slot_was_not_set")
_USER_KEYS = ("user", "metadata", "assertions", "assertion_order_enabled")
_ASSERTIONS = tuple(kind for kind in get_args(Expectation) if kind not in ("bot", "utter"))
_OPERATED = ("operator", "flow_ids")
_UTTERANCE = ("utter_name", "text_matches", "buttons")
_JUDGED = ("threshold", "utter_name", "utter_source")
_KEYS: Mapping[str, tuple[str, ...]] = {
    "flow_started": _OPERATED,
    "pattern_clarification_contains": _OPERATED,
    "flow_completed": ("flow_id", "flow_step_id", *_OPERATED),
    "flow_cancelled": ("flow_id", "flow_step_id", *_OPERATED),
    "slot_was_set": ("name", "value"),
    "slot_was_not_set": ("name", "value"),
    "bot_uttered": _UTTERANCE,
    "bot_did_not_utter": _UTTERANCE,
    "generative_response_is_relevant": _JUDGED,
    "generative_response_is_grounded": (*_JUDGED, "ground_truth"),
}
"""Keys below each assertion that is a mapping."""


def plain(value: Any) -> Any:
    """Ordinary dicts and lists, to write out again."""
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    return [plain(item) for item in value] if isinstance(value, list) else value


def as_written(test: YamlMapping, reader: Reader) -> dict[str, Any]:
    """A test as plain data to write out again; texts that look like numbers (`user: 007`) stay as they are."""
    source: dict[str, Any] = plain(test)
    steps = test.get("steps")
    for copy, step in zip(source["steps"], steps, strict=True) if isinstance(steps, YamlList) else ():
        if isinstance(step, YamlMapping):
            copy.update({key: reader.text(step, key) for key in ("user", "bot") if key in step})
    return source


class StepReader:
    """Reads the steps of a file's tests; problems go to its reader."""

    def __init__(self, reader: Reader, metadata: Mapping[str, Mapping[str, Any]]) -> None:
        self.reader = reader
        self.metadata = metadata

    def turns(self, test: YamlMapping) -> tuple[tuple[Turn, ...], tuple[Check, ...]]:
        """Turns, each with the checks that follow it, and the checks before the first."""
        steps: list[tuple[YamlMapping, int, list[Check]]] = []
        opening: list[Check] = []
        for step, line in self.reader.items(test, "steps"):
            kind = self._kind(step, line)
            if kind == "user":
                steps.append((step, line, []))
            elif kind is not None:
                (steps[-1][2] if steps else opening).extend(self._classic(kind, step))
        metadata = self._metadata_of(test)
        return tuple(self._turn(step, line, metadata, checks) for step, line, checks in steps), tuple(opening)

    def _kind(self, step: Any, line: int) -> str | None:
        if not isinstance(step, YamlMapping):
            self.reader.error(line, "a step is a mapping such as `- user: hello`")
            return None
        kinds = [kind for kind in _STEP_KINDS if kind in step]
        if len(kinds) == 1:
            self._known(step, _USER_KEYS if kinds[0] == "user" else (kinds[0],), f"a {kinds[0]} step")
            return kinds[0]
        if kinds or not step:
            found = f"this one is {' and '.join(kinds)}" if kinds else "this one is empty"
            self.reader.error(line, f"a step is one of {', '.join(_STEP_KINDS)}; {found}")
        self._known(step, (*_STEP_KINDS, *_USER_KEYS), "a step")
        return None

    def _turn(self, step: YamlMapping, line: int, metadata: Mapping[str, Any], classic: Sequence[Check]) -> Turn:
        """A turn; where it has assertions, classic checks after it do not count."""
        asserted = "assertions" in step
        return Turn(
            user=self.reader.text(step, "user"),
            line=line,
            checks=tuple(self._assertions(step) if asserted else classic),
            metadata={**metadata, **self._metadata_of(step)},
            uses_assertions=asserted,
            ordered=self.reader.flag(step, "assertion_order_enabled", False),
        )

    def _metadata_of(self, item: YamlMapping) -> dict[str, Any]:
        """Metadata of a test or a user step: named, or written in place."""
        written = item.get("metadata")
        if isinstance(written, dict):
            return dict(plain(written))
        name = self.reader.text(item, "metadata")
        if name and name not in self.metadata:
            line = item.line_of("metadata")
            self.reader.error(
                line, f"metadata {name} is not defined in this file{near(name, self.metadata, self.reader.problems)}"
            )
        return dict(self.metadata.get(name, {}))

    def _classic(self, kind: str, step: YamlMapping) -> Iterable[Check]:
        line = step.line_of(kind)
        if kind in ("bot", "utter"):
            yield self._check(kind, self.reader.text(step, kind), line)
            return
        value = step[kind]
        items = self.reader.items(step, kind) if isinstance(value, YamlList) else [(value, line)]
        for entry, at in items:
            if isinstance(entry, YamlMapping):
                for slot, expected in entry.items():
                    yield self._check(kind, (slot, plain(expected)), at)
            elif isinstance(entry, str) and entry:
                yield self._check(kind, (entry, ANY), at)
            else:
                self.reader.error(at, f"{kind} is a list of slot names or `name: value`")

    # Assertions

    def _assertions(self, step: YamlMapping) -> Iterable[Check]:
        for item, line in self.reader.items(step, "assertions"):
            if not isinstance(item, YamlMapping) or len(item) != 1:
                self.reader.error(line, "an assertion is a mapping with one key, such as `- flow_started: book`")
                continue
            ((kind, value),) = item.items()
            if kind not in _ASSERTIONS:
                self.reader.error(line, f"there is no assertion {kind}{near(kind, _ASSERTIONS, self.reader.problems)}")
                continue
            if isinstance(value, YamlMapping):
                self._known(value, _KEYS.get(kind, ()), kind)
            yield from self._assertion(kind, value, item, line)

    def _assertion(self, kind: str, value: Any, item: YamlMapping, line: int) -> Iterable[Check]:
        if kind in ("flow_started", "pattern_clarification_contains"):
            operator, flows = self._flows(kind, value, line)
            if flows:
                yield self._check(kind, (operator, flows), line)
        elif kind in ("flow_completed", "flow_cancelled"):
            yield from self._ends(kind, value, line)
        elif kind in ("slot_was_set", "slot_was_not_set"):
            yield from self._slots(kind, item)
        elif kind == "action_executed":
            if name := self.reader.text(item, kind):
                yield self._check(kind, name, line)
            else:
                self.reader.error(line, "action_executed names an action")
        elif isinstance(value, YamlMapping):
            if kind in ("bot_uttered", "bot_did_not_utter"):
                self._utterance(kind, value, line)
            yield self._check(kind, plain(value), line)
        else:
            self.reader.error(line, f"{kind} is a mapping with {', '.join(_KEYS[kind])}")

    def _flows(self, kind: str, value: Any, line: int) -> tuple[str, tuple[str, ...]]:
        """Operator and flow ids of `book`, `[book, pay]` or `{operator: any, flow_ids: [book, pay]}`."""
        operator, flows = "all", value
        if isinstance(value, YamlMapping):
            operator, flows = str(value.get("operator", "all")), value.get("flow_ids")
        names = tuple(flows) if isinstance(flows, list) else (flows,)
        if operator not in ("all", "any") or not names or not all(isinstance(name, str) and name for name in names):
            self.reader.error(line, f"{kind} needs flow ids, and all or any as operator")
            return operator, ()
        return operator, names

    def _ends(self, kind: str, value: Any, line: int) -> Iterable[Check]:
        """One check for each flow that must have ended."""
        step = value.get("flow_step_id") if isinstance(value, YamlMapping) else None
        if isinstance(value, YamlMapping) and "flow_id" in value:
            value = value["flow_id"]
        operator, flows = self._flows(kind, value, line)
        if operator == "any" and len(flows) > 1:
            self.reader.error(line, f"{kind} cannot choose among several flows; give one flow_id")
        for flow in flows:
            yield self._check(kind, (flow, None if step is None else str(step)), line)

    def _slots(self, kind: str, item: YamlMapping) -> Iterable[Check]:
        for entry, at in self.reader.items(item, kind):
            if isinstance(entry, YamlMapping) and "name" in entry:
                self._known(entry, _KEYS[kind], kind)
                yield self._check(kind, (str(entry["name"]), plain(entry.get("value", ANY))), at)
            else:
                self.reader.error(at, f"{kind} is a list of `name` and `value`")

    def _utterance(self, kind: str, value: YamlMapping, line: int) -> None:
        if not any(key in value for key in _UTTERANCE):
            self.reader.error(line, f"{kind} needs one of {', '.join(_UTTERANCE)}")
        for key in ("utter_name", "text_matches"):
            self.reader.text(value, key)
        for button, at in self.reader.items(value, "buttons"):
            if isinstance(button, YamlMapping):
                self._known(button, ("title", "payload"), "a button")
            else:
                self.reader.error(at, "a button is a mapping with title and payload")

    def _known(self, mapping: YamlMapping, known: Sequence[str], what: str) -> None:
        self.reader.known_keys(mapping, known, what, self.reader.error)

    def _check(self, kind: str, value: Any, line: int) -> Check:
        return Check(kind, value, line, self.reader.file)  # type: ignore[arg-type]
