"""A small parcel service and a conversation with it, for tests of the engine."""

from __future__ import annotations

from core.dialogue.actions import ActionAnswer
from core.dialogue.engine import Engine
from core.dialogue.events import BotSaid, UserSaid
from core.dialogue.source import UserMessage
from core.dialogue.tracker import Tracker

FLOWS = """
flows:
  send_parcel:
    description: send a parcel
    steps:
      - collect: street
      - collect: weight
        rejections:
          - if: slots.weight <= 0
            utter: utter_bad_weight
        next:
          - if: slots.weight > 30
            then:
              - action: utter_too_heavy
                next: END
          - else: price
      - id: price
        action: action_price
      - call: pay
      - collect: sure
        ask_before_filling: true
        next:
          - if: not slots.sure
            then:
              - action: utter_dropped
                next: END
          - else: done
      - id: done
        action: utter_booked
  pay:
    description: pay for something
    if: false
    steps:
      - collect: method
  opening_hours:
    description: tell the opening hours
    steps:
      - collect: day
      - action: utter_hours
  secret:
    description: only for members
    if: slots.member
    steps:
      - action: utter_secret
      - link: opening_hours
  tidy:
    description: set things
    persisted_slots: [note]
    steps:
      - set_slots:
          - note: kept
          - street: gone
      - noop: true
        next:
          - if: slots.note = "kept" and slots.street is not null
            then: say
          - else: END
      - id: say
        action: utter_note
"""

DOMAIN = """
version: "3.1"
slots:
  street: {type: text}
  weight: {type: float}
  method: {type: categorical, values: [Card, Cash]}
  sure: {type: bool}
  day: {type: text}
  member: {type: bool, initial_value: false, mappings: [{type: controlled}]}
  note: {type: text}
  price: {type: float, mappings: [{type: controlled}]}
actions: [action_price]
responses:
  utter_ask_street: [{text: "Which street?"}]
  utter_ask_weight: [{text: "How heavy?"}]
  utter_bad_weight: [{text: "{weight} is too light."}]
  utter_too_heavy: [{text: "Too heavy."}]
  utter_ask_method: [{text: "Card or cash?"}]
  utter_ask_sure:
    - text: "{price} for {street}. Sure?"
      buttons:
        - {title: "Yes", payload: /SetSlots(sure=true)}
  utter_dropped: [{text: "Dropped."}]
  utter_booked: [{text: "Booked."}]
  utter_ask_day: [{text: "Which day?"}]
  utter_hours:
    - text: "Members' hours on {day}."
      condition: slots.member = true
    - text: "Hours on {day}."
  utter_secret: [{text: "Shh."}]
  utter_note: [{text: "{note} {street}"}]
"""


class Price:
    """An action server in miniature."""

    def run(self, name: str, tracker: Tracker) -> ActionAnswer:
        assert name == "action_price"
        price = 2.5 * tracker.slots["weight"]
        return ActionAnswer(({"event": "slot", "name": "price", "value": price},), ({"text": f"That is {price}."},))


class Chat:
    """A conversation under test."""

    def __init__(self, engine: Engine, **slots: object) -> None:
        self.engine = engine
        self.tracker = engine.new_tracker()
        engine.start(self.tracker)
        self.tracker.slots.update(slots)
        self.events: list[object] = []

    def say(self, text: str, *commands: object) -> list[str | None]:
        given = self.engine.payload_commands(text) or commands
        self.events = self.engine.handle(self.tracker, UserMessage(text), given)
        return [event.text for event in self.events if isinstance(event, BotSaid)]

    def of(self, kind: type) -> list[object]:
        return [event for event in self.events if isinstance(event, kind)]

    @property
    def commands(self) -> tuple[object, ...]:
        (message,) = self.of(UserSaid)
        return message.commands
