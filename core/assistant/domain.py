"""The domain as values: slots, responses, actions, and what types and mappings mean."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from core.assistant.conditions import Predicate
from core.assistant.flows import Rejection
from core.assistant.lines import Lines

SlotType = Literal["text", "bool", "categorical", "float", "any", "list"]
MappingType = Literal[
    "from_llm", "controlled", "custom", "from_entity", "from_intent", "from_text", "from_trigger_intent"
]


@dataclass(frozen=True)
class SlotMapping:
    """How a slot may be filled."""

    type: MappingType
    options: Mapping[str, Any] = field(default_factory=dict)
    """The other keys as written: `allow_nlu_correction`, `entity`, `intent`, `value`, `action`, `conditions`, …"""

    def fills(self, active: Collection[str]) -> bool:
        """True when the mapping counts while these flows are active: it has no conditions, or one that names such a flow."""
        return not self.options.get("conditions") or any(flow in active for flow in self.active_flows)

    @property
    def active_flows(self) -> tuple[str, ...]:
        """Flows that its conditions name: the mapping counts while one of them is active."""
        conditions = self.options.get("conditions", ())
        return tuple(str(condition["active_flow"]) for condition in conditions if "active_flow" in condition)

    @property
    def every_turn_action(self) -> str | None:
        """The custom action that fills the slot after each message, or None."""
        key = {"controlled": "run_action_every_turn", "custom": "action"}.get(self.type, "")
        name = self.options.get(key)
        return name if isinstance(name, str) else None


@dataclass(frozen=True)
class Slot:
    """One slot of the domain."""

    name: str
    type: SlotType
    lines: Lines
    initial_value: Any = None
    values: tuple[Any, ...] = ()
    """Allowed values of a categorical slot, as defined."""
    mappings: tuple[SlotMapping, ...] = (SlotMapping("from_llm"),)
    rejections: tuple[Rejection, ...] = ()
    """`validation.rejections`: checked whenever the slot is set."""
    refill_utter: str = ""
    """`validation.refill_utter`: what asks again after such a rejection."""
    min_value: float | None = None
    max_value: float | None = None

    @property
    def from_llm(self) -> bool:
        """True when commands may set the slot."""
        return any(mapping.type == "from_llm" for mapping in self.mappings)

    def filled_by_commands(self, active: Collection[str]) -> bool:
        """True when commands may set the slot while these flows are active."""
        return any(mapping.type == "from_llm" and mapping.fills(active) for mapping in self.mappings)

    @property
    def allowed_values(self) -> tuple[str, ...]:
        """What a prompt lists: True/False for bool, the values for categorical (without the escape "other"), else nothing."""
        if self.type == "bool":
            return ("True", "False")
        return tuple(str(value) for value in self.values) if self.type == "categorical" else ()


@dataclass(frozen=True)
class Button:
    title: str
    payload: str


@dataclass(frozen=True)
class Variation:
    """One way to say a response."""

    text: str | None = None
    buttons: tuple[Button, ...] = ()
    condition: Predicate | None = None
    channel: str | None = None
    id: str | None = None
    image: str | None = None
    custom: Any = None
    metadata: Mapping[str, Any] = field(default_factory=dict)

    @property
    def is_jinja(self) -> bool:
        """True when the text is a Jinja template (`metadata.template: jinja`)."""
        return self.metadata.get("template") == "jinja"


@dataclass(frozen=True)
class Response:
    name: str
    variations: tuple[Variation, ...]
    lines: Lines


@dataclass(frozen=True)
class Domain:
    """All parts of the domain merged, by name, in document order."""

    slots: Mapping[str, Slot] = field(default_factory=dict)
    responses: Mapping[str, Response] = field(default_factory=dict)
    actions: tuple[str, ...] = ()
    intents: tuple[str, ...] = ()
    entities: tuple[str, ...] = ()
    session_expiration_minutes: float = 60.0
    carry_over_slots: bool = True
    raw: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)
    """The merged domain as plain data, for action servers that ask for it."""
