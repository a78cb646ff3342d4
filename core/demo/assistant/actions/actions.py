"""What the house works out itself: the price of a bed and the state of the tide."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from rasa_sdk import Action, Tracker
from rasa_sdk.events import SlotSet
from rasa_sdk.executor import CollectingDispatcher

NIGHTLY_RATES = {"attic": 22.0, "cellar": 18.0, "tower": 31.0}
"""Crowns for one night in each room."""
MEMBER_DISCOUNT = 0.1

HIGH_WATER = datetime(2026, 1, 1, 4, 10, tzinfo=UTC)
"""A high water at our jetty, from which all others follow."""
TIDE = timedelta(hours=12, minutes=25)
"""From one high water to the next."""


def price_of(room: str, nights: float, member: bool) -> float:
    """Price of a stay in crowns."""
    full = NIGHTLY_RATES[room] * nights
    return round(full * (1 - MEMBER_DISCOUNT) if member else full, 2)


def tide_at(moment: datetime) -> str:
    """ "high" within three hours of high water, when the boat floats, else "low"."""
    since = (moment - HIGH_WATER) % TIDE
    return "high" if min(since, TIDE - since) <= timedelta(hours=3) else "low"


class PriceBed(Action):
    """Tells what the stay costs and remembers it."""

    def name(self) -> str:
        return "action_price_bed"

    def run(self, dispatcher: CollectingDispatcher, tracker: Tracker, domain: dict[str, Any]) -> list[dict[str, Any]]:
        slots = tracker.slots
        price = price_of(slots["room"], slots["nights"], bool(slots["member"]))
        dispatcher.utter_message(text=f"That comes to {price:.2f} crowns.")
        return [SlotSet("price", price)]


class CheckTide(Action):
    """Looks out of the window."""

    def name(self) -> str:
        return "action_check_tide"

    def run(self, dispatcher: CollectingDispatcher, tracker: Tracker, domain: dict[str, Any]) -> list[dict[str, Any]]:
        return [SlotSet("tide", tide_at(datetime.now(UTC)))]
