"""Flows as values: what a flow file says once its nesting is resolved.

Steps of inline lists (`then: [...]`, `next: [...]`) are lifted into one sequence in document order, and every `next` is
resolved to step ids, so that the engine follows a plain graph and coverage can count each step by its own lines.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from core.assistant.conditions import Predicate
from core.assistant.lines import Lines

END = "END"
"""The target that ends a flow."""

PATTERN_PREFIX = "pattern_"
"""Flows whose id begins so are conversation repair, not business."""


@dataclass(frozen=True)
class Branch:
    """One way on from a step."""

    target: str
    """Step id in the same flow, or END."""
    condition: Predicate | None = None
    """None for `else` and for an unconditional `next`."""


@dataclass(frozen=True)
class Rejection:
    """A reason to refuse a value for a slot."""

    condition: Predicate
    utter: str
    """Response to say when the condition is true."""


@dataclass(frozen=True, kw_only=True)
class Step:
    """What all steps share. `next` holds branches in order; the first true one is taken, none true ends the flow."""

    id: str
    """As written, or `<index>_<kind>_<subject>`, unique within the flow."""
    lines: Lines
    next: tuple[Branch, ...]
    named: bool = False
    """True when the id was written by the owner."""


@dataclass(frozen=True, kw_only=True)
class ActionStep(Step):
    """Run a custom or default action, or say a response (`utter_…`). The name may hold Jinja (patterns do)."""

    action: str


@dataclass(frozen=True, kw_only=True)
class CollectStep(Step):
    """Ask for a slot and wait until it is filled."""

    slot: str
    description: str = ""
    ask_before_filling: bool = False
    utter: str = ""
    """Response that asks; `utter_ask_<slot>` when not written."""
    rejections: tuple[Rejection, ...] = ()
    force_slot_filling: bool = False
    reset_after_flow_ends: bool = True
    """False keeps the value after the flow (deprecated form of persisted_slots)."""

    @property
    def ask_action(self) -> str:
        """Name of the custom action that may ask instead of the response."""
        return f"action_ask_{self.slot}"


@dataclass(frozen=True, kw_only=True)
class SetSlotsStep(Step):
    """Set slots to constants; None clears."""

    slots: tuple[tuple[str, object], ...]


@dataclass(frozen=True, kw_only=True)
class LinkStep(Step):
    """End this flow and start another."""

    flow: str


@dataclass(frozen=True, kw_only=True)
class CallStep(Step):
    """Run another flow as a part of this one, then go on."""

    flow: str
    outside: bool = False
    """True when it names an agent or a tool, which was reported where it was read."""


@dataclass(frozen=True, kw_only=True)
class NoopStep(Step):
    """Only branch."""


@dataclass(frozen=True)
class NluTrigger:
    """An intent that starts a flow without the language model."""

    intent: str
    confidence_threshold: float = 0.0


@dataclass(frozen=True)
class Flow:
    """One flow with its steps in document order (nested ones after the step that holds them)."""

    id: str
    lines: Lines
    steps: tuple[Step, ...]
    name: str = ""
    """Readable name for messages; the id with blanks for `_` and `-` when not written."""
    description: str = ""
    guard: Predicate | None = None
    """`if`: the flow may only be started by the user while this is true."""
    always_include_in_prompt: bool = False
    run_pattern_completed: bool = True
    nlu_triggers: tuple[NluTrigger, ...] = ()
    persisted_slots: tuple[str, ...] = ()
    never_startable: bool = False
    """True for a literal `if: false`: only reachable through call and link, never in a prompt."""

    @cached_property
    def first(self) -> str:
        """Id of the first step, END for an empty flow."""
        return self.steps[0].id if self.steps else END

    @cached_property
    def _by_id(self) -> dict[str, Step]:
        return {step.id: step for step in self.steps}

    def step(self, step_id: str) -> Step:
        """The step with this id; KeyError when there is none."""
        return self._by_id[step_id]

    def has(self, step_id: str) -> bool:
        """Whether one of the steps has this id."""
        return step_id in self._by_id

    @property
    def is_pattern(self) -> bool:
        return self.id.startswith(PATTERN_PREFIX)

    def collects(self) -> Iterator[CollectStep]:
        """The collect steps of this flow itself, in document order."""
        return (step for step in self.steps if isinstance(step, CollectStep))

    def calls(self) -> Iterator[CallStep]:
        """The call steps of this flow itself, in document order."""
        return (step for step in self.steps if isinstance(step, CallStep))
