"""Custom actions of the kennel."""

from __future__ import annotations

from datetime import date
from typing import Any

from rasa_sdk import Action, Tracker
from rasa_sdk.events import SlotSet
from rasa_sdk.executor import CollectingDispatcher

DAILY_PRICES = {"dog": 30.0, "cat": 20.0, "rabbit": 8.5, "other": 25.0}


class AskSpecies(Action):
    """Asks for the kind of pet, with a button for each."""

    def name(self) -> str:
        return "action_ask_species"

    def run(self, dispatcher: CollectingDispatcher, tracker: Tracker, domain: dict[str, Any]) -> list[dict[str, Any]]:
        buttons = [
            {"title": kind.title(), "payload": f"/SetSlots(species={kind})"} for kind in ("dog", "cat", "rabbit")
        ]
        dispatcher.utter_message(text=f"What kind of pet is {tracker.get_slot('pet_name')}?", buttons=buttons)
        return []


class ValidateArrival(Action):
    """Refuses days that have passed."""

    def name(self) -> str:
        return "validate_arrival"

    def run(self, dispatcher: CollectingDispatcher, tracker: Tracker, domain: dict[str, Any]) -> list[dict[str, Any]]:
        arrival = tracker.get_slot("arrival")
        if arrival is None:
            return []
        today = tracker.get_slot("mocked_datetime") or date.today().isoformat()
        if arrival < today[:10]:
            dispatcher.utter_message(response="utter_day_has_passed", today=today[:10])
            return [SlotSet("arrival", None)]
        return []


class Price(Action):
    """What a stay costs; the price of members comes from the metadata of the message."""

    def name(self) -> str:
        return "action_price"

    def run(self, dispatcher: CollectingDispatcher, tracker: Tracker, domain: dict[str, Any]) -> list[dict[str, Any]]:
        price = DAILY_PRICES[tracker.get_slot("species")] * tracker.get_slot("nights")
        if tracker.latest_message["metadata"].get("club") == "gold":
            dispatcher.utter_message(text="Gold members pay half.")
            price /= 2
        return [SlotSet("price", price)]
