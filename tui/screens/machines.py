"""Machines that could be rented for training, as a table to sort and choose from."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from rich.text import Text
from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import DataTable, Label, Static
from textual.worker import get_current_worker

from core.errors import CalmtuneError
from core.training.planner import dollars_in_words, minutes_in_words
from core.wizard.answers import SESSION
from core.wizard.quotes import Quote
from core.wizard.session import Session
from provisioning.place_names import SKY
from provisioning.target import Offer

_COLUMNS: dict[str, tuple[str, Callable[[Quote], Any]]] = {
    "fits": ("", lambda quote: not quote.fits),
    "machine": ("machine", lambda quote: quote.offer.name),
    "price": ("an hour", lambda quote: _or_last(quote.offer.usd_per_hour)),
    "minutes": ("training", lambda quote: sum(quote.plan.minutes) if quote.plan and quote.plan.minutes else math.inf),
    "cost": ("in all", lambda quote: sum(quote.usd) if quote.usd else math.inf),
    "gpus": ("GPUs", lambda quote: (quote.offer.gpu_type, quote.offer.gpus)),
    "memory": ("memory", lambda quote: quote.plan.memory.total if quote.plan and quote.plan.memory else math.inf),
}
"""Key → heading, and what the column is sorted by."""


class MachinesScreen(ModalScreen[Quote | None]):
    """Prices, minutes and dollars of each; Enter takes one, a click on a heading or its number sorts."""

    DEFAULT_CSS = """
    MachinesScreen { align: center middle; background: $background 60%; }
    MachinesScreen > Vertical { width: 110; max-width: 98%; height: 80%; padding: 1 2; background: $surface; border: round $border; }
    MachinesScreen #heading { text-style: bold; margin: 0 0 1 0; }
    MachinesScreen DataTable { height: 1fr; background: $surface; }
    MachinesScreen #why { height: auto; max-height: 4; margin: 1 0 0 0; color: $text-muted; }
    MachinesScreen #keys { height: 1; margin: 1 0 0 0; color: $text-disabled; }
    """
    BINDINGS = [
        Binding("escape", "dismiss(None)", "Close", tooltip="Back without a machine", id="close-machines"),
        *(
            Binding(
                str(number), f"sort('{key}')", f"Sort by {key}", tooltip=f"Sort by {key}; once more turns it round", show=False,
                id=f"sort-{key}",
            )
            for number, key in enumerate(_COLUMNS, 1)
        ),
    ]

    def __init__(self, quoted: Callable[[], Sequence[Quote]], place: str) -> None:
        """`quoted` asks for the offers of the place; it may take seconds."""
        super().__init__()
        self._quoted, self._place = quoted, place
        self._quotes: list[Quote] = []
        self._sorted = ""

    def compose(self) -> ComposeResult:
        with Vertical():
            where = self._place.partition(":")[2] or "any cloud"
            yield Label(f"Machines to rent from {where}", id="heading", markup=False)
            yield DataTable(cursor_type="row", zebra_stripes=True)
            yield Static("asking SkyPilot for its prices …", id="why", markup=False)
            yield Static("Enter takes it · 1 to 7 sort · Esc closes", id="keys", markup=False)

    def on_mount(self) -> None:
        table = self.query_one(DataTable)
        for number, (key, (heading, _)) in enumerate(_COLUMNS.items(), 1):
            table.add_column(Text(f"{number} {heading}"), key=key)
        table.loading = True
        self._ask()

    @work(thread=True, exit_on_error=False)
    def _ask(self) -> None:
        try:
            found, wrong = list(self._quoted()), ""
        except CalmtuneError as error:
            found, wrong = [], str(error)
        if not get_current_worker().is_cancelled:
            self.app.call_from_thread(self._fill, found, wrong or ("" if found else f"{self._place} lists no machine with such GPUs"))

    def _fill(self, found: list[Quote], wrong: str) -> None:
        self._quotes = found
        table = self.query_one(DataTable)
        table.loading = False
        self.query_one("#why", Static).update(wrong)
        self._show()
        table.focus()

    def _show(self) -> None:
        table = self.query_one(DataTable)
        table.clear()
        for number, quote in enumerate(self._quotes):
            table.add_row(*(Text(cell, style="" if quote.fits else "dim") for cell in _row(quote)), key=str(number))

    @on(DataTable.RowHighlighted)
    def _explain(self, event: DataTable.RowHighlighted) -> None:
        if event.row_key.value is not None:
            quote = self._quotes[int(event.row_key.value)]
            planned = f"\n{quote.plan.sentence}" if quote.plan is not None else ""
            self.query_one("#why", Static).update(f"{quote.reason}{planned}")

    @on(DataTable.RowSelected)
    def _take(self, event: DataTable.RowSelected) -> None:
        quote = self._quotes[int(event.row_key.value or 0)]
        if quote.offer.fits:
            self.dismiss(quote)
        else:
            self.notify(quote.reason, severity="warning")

    @on(DataTable.HeaderSelected)
    def _head(self, event: DataTable.HeaderSelected) -> None:
        self.action_sort(str(event.column_key.value))

    def action_sort(self, key: str) -> None:
        """By a column; once more turns it round."""
        turned = self._sorted == key
        self._quotes.sort(key=_COLUMNS[key][1], reverse=turned)
        self._sorted = "" if turned else key
        self._show()


def _row(quote: Quote) -> list[str]:
    offer, plan = quote.offer, quote.plan
    price = "not known" if math.isnan(offer.usd_per_hour) else f"${offer.usd_per_hour:.2f}{' spot' * offer.spot}"
    memory = f"{plan.memory.total / 1e9:.0f} of {plan.budget / 1e9:.0f} GB" if plan and plan.memory and plan.budget else ""
    return [
        "✓" if quote.fits else "–", offer.name, price, minutes_in_words(plan.minutes) if plan else "", dollars_in_words(quote.usd),
        f"{offer.gpus} × {offer.gpu_type}" if offer.gpus else "", memory,
    ]  # fmt: skip


def _or_last(value: float) -> float:
    return math.inf if math.isnan(value) else value


def take_over(session: Session, section: str, offer: Offer, place: str) -> None:
    """Make an offer the answers: where the step runs, and the terms machines are rented on. Raises CalmtuneError."""
    machine = f"{SKY}:{offer.infra}" if offer.infra else place
    session.answer(section, {**session.answers.get(section, {}), "machine": machine})
    terms = {name: value for name, value in {"cloud_gpus": offer.gpu_type, "cloud_spot": offer.spot}.items() if value != ""}
    session.answer(SESSION, {**session.answers[SESSION], **terms})
