"""The engine: (tracker, commands) → events. Deterministic, and pure apart from custom actions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from core.assistant.domain import Button
from core.assistant.flows import END, ActionStep, CallStep, CollectStep, LinkStep, NoopStep, SetSlotsStep, Step
from core.assistant.project import Assistant
from core.assistant.repair import PatternSet, with_default_patterns
from core.assistant.templates import TemplateProblem
from core.dialogue import effects, payloads, responses
from core.dialogue.actions import ActionAnswer, Actions, ActionUnavailable, StubActions
from core.dialogue.cleanup import accept_payload, clean_up
from core.dialogue.commands import Command, SetSlot
from core.dialogue.default_actions import DEFAULT_ACTIONS
from core.dialogue.events import ActionRan, BotSaid, Event, SessionStarted, SlotSet, StepVisited, UserSaid, Warned
from core.dialogue.flow_index import FlowIndex
from core.dialogue.source import UserMessage
from core.dialogue.stack import Frame
from core.dialogue.tracker import Tracker
from core.dialogue.turn import Turn
from core.dialogue.values import coerce
from core.near import near

MOST_STEPS_IN_A_TURN = 1000
"""Beyond this many steps without listening, flows are going in circles."""

_OPTIONAL = ("validate_", "action_ask_", "utter_ask_")


class Engine:
    """Runs one assistant. Holds no conversation, so that one engine serves many trackers."""

    def __init__(
        self,
        assistant: Assistant,
        actions: Actions | None = None,
        patterns: PatternSet = "newest",
        require_actions: bool = True,
        choose: responses.Choose = lambda variations: variations[0],
    ) -> None:
        """`require_actions` False lets actions that nobody can run do nothing, with a warning among the events."""
        self.assistant = with_default_patterns(assistant, patterns)
        self.index = FlowIndex(self.assistant, patterns)
        self._actions = actions
        self._require_actions = require_actions
        self._choose = choose
        self._custom = frozenset(self.assistant.domain.actions)

    def new_tracker(self, sender: str = "default") -> Tracker:
        """A conversation that has not begun: every slot, those of the patterns included, at its initial value."""
        return Tracker(self.index.initial_slots, sender)

    def with_actions(self, actions: Actions | None, require_actions: bool = True) -> Engine:
        """The same engine with other actions, at no cost."""
        twin = object.__new__(Engine)
        twin.__dict__.update(self.__dict__, _actions=actions, _require_actions=require_actions)
        return twin

    @property
    def may_block(self) -> bool:
        """True when custom actions leave this process; run `handle` in a thread then."""
        return self._actions is not None and not isinstance(self._actions, StubActions)

    def payload_commands(self, text: str) -> tuple[Command, ...] | None:
        """Commands of `/SetSlots(...)` or `/intent{...}`; None for ordinary text."""
        return payloads.parse(text, self.index.meant)

    def start(self, tracker: Tracker) -> list[Event]:
        """Begin the conversation: run the session start pattern."""
        turn = Turn(tracker, self.index)
        turn.push_pattern("pattern_session_start")
        self._run(turn)
        if not any(isinstance(event, SessionStarted) for event in turn.events):
            turn.events.insert(0, SessionStarted())  # an owner's pattern may leave the action out
        return turn.events

    def handle(self, tracker: Tracker, message: UserMessage, commands: Sequence[Command]) -> list[Event]:
        """Play one user turn until the assistant listens again; applies the events and returns them.

        `commands` are taken as a source gave them and cleaned up here; those of a payload message bypass what only
        concerns language models. Raises ActionUnavailable and ActionFailed.
        """
        payload = message.text.startswith("/") and self.payload_commands(message.text) is not None
        cleaned = accept_payload(commands, tracker, self.index) if payload else clean_up(commands, tracker, self.index)
        turn = Turn(tracker, self.index)
        turn.emit(UserSaid(message.text, cleaned, message.metadata))
        for command in commands if payload else ():
            if isinstance(command, SetSlot) and command.name not in self.index.slots:
                hint = near(command.name, self.index.slots)
                turn.emit(Warned(f"/SetSlots sets {command.name}, which is left aside: it is no slot of the domain{hint}"))
        effects.apply(cleaned, turn)
        for name in self.index.every_turn:
            self._run_custom(name, turn, required=False)  # no flow asked for it, so none depends on it
        self._run(turn)
        return turn.events

    # The loop

    def _run(self, turn: Turn) -> None:
        for _ in range(MOST_STEPS_IN_A_TURN):
            if not turn.stack:
                break
            frame = turn.stack[-1] if turn.stack[-1].begun else turn.begin()
            if frame.step == END:
                turn.complete(frame, END)
                continue
            step = self.index.flows[frame.flow].step(frame.step)
            if self._take(step, frame, turn):
                break
        else:
            flow = turn.stack[-1].flow
            turn.emit(
                Warned(
                    f"flow {flow} went through {MOST_STEPS_IN_A_TURN} steps without listening; the conversation was reset"
                )
            )
            turn.stack.clear()
            self._say(turn, "utter_internal_error_rasa")
        turn.finish()

    def _take(self, step: Step, frame: Frame, turn: Turn) -> bool:
        """Take one step; True when the assistant now listens."""
        if isinstance(step, ActionStep):
            turn.emit(StepVisited(frame.flow, step.id))
            name = self._action_name(step, turn)
            if name == "action_listen":
                turn.emit(ActionRan(name))
                self._advance(step, frame, turn)
                return True
            self._act(name, turn)
            self._advance(step, frame, turn)
        elif isinstance(step, CollectStep):
            self._collect(step, frame, turn)
        elif isinstance(step, CallStep):
            turn.emit(StepVisited(frame.flow, step.id))
            turn.push(step.flow, "call")
        elif isinstance(step, LinkStep):
            turn.emit(StepVisited(frame.flow, step.id))
            self._link(step, frame, turn)
        elif isinstance(step, SetSlotsStep):
            turn.emit(StepVisited(frame.flow, step.id))
            for name, value in step.slots:
                turn.set_slot(name, coerce(self.index.slots[name], value))
            self._advance(step, frame, turn)
        elif isinstance(step, NoopStep):
            turn.emit(StepVisited(frame.flow, step.id))
            self._advance(step, frame, turn)
        return False

    def _advance(self, step: Step, frame: Frame, turn: Turn) -> None:
        """Follow `next`; a frame that is no longer on the stack has been dealt with already."""
        at = turn.position(frame)
        if at is None:
            return
        context = {**turn.stack[at].context, "flow_id": frame.flow, "step_id": step.id}
        for branch in step.next:
            if branch.condition is None or branch.condition.evaluate(turn.tracker.slots, context):
                if branch.target == END:
                    break
                turn.move_to(frame, branch.target)
                return
        self._end(step, frame, at, turn)

    def _end(self, step: Step, frame: Frame, at: int, turn: Turn) -> None:
        """The frame at a position ended with `step`; what waited for it goes on."""
        turn.complete(frame, step.id)
        if at == 0:
            return
        below = turn.stack[at - 1]
        waiting = self.index.flows[below.flow].step(below.step) if below.step != END else None
        if (isinstance(waiting, CallStep) and frame.kind == "call") or (
            isinstance(waiting, CollectStep) and frame.context.get("collect") == waiting.slot
        ):
            self._advance(waiting, below, turn)

    def _collect(self, step: CollectStep, frame: Frame, turn: Turn) -> None:
        value = turn.tracker.slots.get(step.slot)
        turn.emit(StepVisited(frame.flow, step.id, skipped=value is not None and not step.ask_before_filling))
        if step.ask_before_filling and value is not None:
            turn.emit(SlotSet(step.slot, None, reset=True))
        context = {
            **frame.context,  # a pattern's question may speak of what the pattern is about
            "collect": step.slot,
            "utter": step.utter,
            "collect_action": step.ask_action,
            "rejections": (*self.index.slots[step.slot].rejections, *step.rejections),
        }
        turn.push_pattern("pattern_collect_information", context)

    def _link(self, step: LinkStep, frame: Frame, turn: Turn) -> None:
        at = turn.position(frame)
        assert at is not None
        if self.index.flows[step.flow].is_pattern:
            turn.complete(frame, step.id)
            turn.push_pattern(step.flow)  # on top: it runs before what the end of this flow calls for
        else:
            # What was interrupted is still to be continued once the linked flow ends.
            turn.push(step.flow, "interrupt" if frame.kind == "interrupt" else "link", at=at)
            turn.complete(frame, step.id)

    # Actions and responses

    def _action_name(self, step: ActionStep, turn: Turn) -> str:
        try:
            return responses.render(step.action, turn.tracker.slots, turn.context)
        except TemplateProblem as problem:
            turn.emit(Warned(f"the action name {step.action!r} cannot be rendered: {problem}"))
            return "utter_internal_error_rasa"

    def _act(self, name: str, turn: Turn) -> None:
        if name in self.assistant.domain.responses:
            self._say(turn, name)
        elif name in self._custom:
            self._run_custom(name, turn)
        elif (default := DEFAULT_ACTIONS.get(name)) is not None:
            turn.emit(ActionRan(name))
            default(turn, lambda utter, **extra: self._say(turn, utter, extra))
        elif name.startswith(_OPTIONAL) and turn.stack[-1].is_pattern:
            return  # patterns name what an owner may define, not what must exist
        elif name.startswith("utter_"):
            self._say(turn, name)
        else:
            self._run_custom(name, turn)

    def _say(self, turn: Turn, name: str, extra: Mapping[str, Any] | None = None) -> None:
        response = self.assistant.domain.responses.get(name)
        if response is None:
            turn.emit(Warned(f"response {name} is not in the domain; nothing was said"))
            return
        try:
            message = responses.say(response, turn.tracker.slots, turn.context, extra, self._choose)
        except TemplateProblem as problem:
            message = None
            turn.emit(Warned(f"response {name} cannot be rendered: {problem}"))
        if message is not None:
            turn.emit(message)
        elif name != "utter_internal_error_rasa":
            self._say(turn, "utter_internal_error_rasa")

    def _run_custom(self, name: str, turn: Turn, required: bool = True) -> None:
        turn.finish()  # the action sees the stack as it is now
        try:
            if self._actions is None:
                raise ActionUnavailable(
                    f"action {name} cannot be run: no action server, actions module or stub is given"
                )
            answer = self._actions.run(name, turn.tracker)
        except ActionUnavailable as problem:
            if self._require_actions and required:
                raise
            turn.emit(Warned(str(problem)))
            answer = ActionAnswer()
        turn.emit(ActionRan(name))
        self._take_over(answer, name, turn)

    def _take_over(self, answer: ActionAnswer, action: str, turn: Turn) -> None:
        for message in answer.responses:
            for key in ("attachment", "elements", "quick_replies"):
                if message.get(key):
                    turn.emit(Warned(f"action {action} said something with {key}, which was left out"))
            if name := message.get("response") or message.get("template"):
                extra = {key: value for key, value in message.items() if key not in ("response", "template", "text")}
                self._say(turn, str(name), extra)
            else:
                buttons = tuple(
                    Button(str(b.get("title", "")), str(b.get("payload", ""))) for b in message.get("buttons") or ()
                )
                text = None if message.get("text") is None else str(message["text"])  # actions say numbers, too
                turn.emit(BotSaid(text, None, buttons, message.get("image"), message.get("custom") or None, action))
        for event in answer.events:
            kind = event.get("event")
            if kind == "slot":
                name = str(event.get("name"))
                if name not in self.index.slots:
                    hint = near(name, self.index.slots)
                    turn.emit(Warned(f"action {action} set {name}, which is no slot of the domain{hint}"))
                turn.set_slot(name, event.get("value"))
            elif kind == "reset_slots":
                turn.reset_slots(self.index.slots)
            elif kind == "session_started":
                turn.emit(SessionStarted())
            else:
                turn.emit(
                    Warned(f"action {action} returned the event {kind!r}, which is not supported and was left out")
                )
