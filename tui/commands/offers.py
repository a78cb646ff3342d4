"""The command that lists machines that could be rented."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import click

from tui import completion
from tui.opening import existing_session, json_option

if TYPE_CHECKING:
    from core.wizard.quotes import Quote


@click.command()
@click.argument("place", required=False, shell_complete=completion.places)
@click.option("--session", "name", shell_complete=completion.sessions,
    help="Whose training is planned on each machine (the newest when none is named).",
)
@json_option
def offers(place: str | None, name: str | None, as_json: bool) -> None:
    """Machines that could be rented for training: price an hour, whether they fit, minutes and dollars of the whole training.

    PLACE is sky for every cloud or sky:aws and the like; the session's own when it is left out. Prices are those of SkyPilot's catalog.
    """
    from core.wizard.quotes import training_quotes
    from provisioning.place_names import SKY
    from tui import output

    session = existing_session(name)
    try:
        machine = session.model("training").machine
        place = place or (machine if machine.partition(":")[0] == SKY else SKY)
        found = training_quotes(session, place)
        is_prepared = session.status("dataset").done
    finally:
        session.close()
    if as_json:
        output.as_json({"place": place, "offers": [_facts(quote) for quote in found]})
        return
    output.data(output.table([_row(quote) for quote in found], ["machine", "GPUs", "an hour", "training", "cost", "fits", "why"]))
    if all(quote.plan is None for quote in found):
        later = "for machines with a GPU, and these have none" if is_prepared else "once the dataset step is done"
        output.narrate(f"minutes and dollars of the training are told {later}")


def _row(quote: Quote) -> list[str]:
    from core.training.planner import dollars_in_words, minutes_in_words

    offer, plan = quote.offer, quote.plan
    price = "not known" if math.isnan(offer.usd_per_hour) else f"${offer.usd_per_hour:.2f}{' spot' * offer.spot}"
    minutes = minutes_in_words(plan.minutes) if plan is not None else ""
    gpus = f"{offer.gpus} × {offer.gpu_type}" if offer.gpus else ""
    return [offer.name, gpus, price, minutes, dollars_in_words(quote.usd), "yes" if quote.fits else "no", quote.reason]


def _facts(quote: Quote) -> dict[str, object]:
    offer, plan = quote.offer, quote.plan
    return {
        "machine": offer.name,
        "infra": offer.infra,
        "gpu_type": offer.gpu_type,
        "gpus": offer.gpus,
        "usd_per_hour": None if math.isnan(offer.usd_per_hour) else offer.usd_per_hour,
        "spot": offer.spot,
        "fits": quote.fits,
        "reason": quote.reason,
        "minutes": plan.minutes if plan is not None else None,
        "usd": quote.usd,
    }
