"""What training would take and cost on each machine that could be rented, told before one is."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from core.errors import ProviderError, StepFailed, UsageError
from core.training.base_models import find
from core.training.hardware import named_gpu, together
from core.training.planner import Plan
from core.wizard.answers import SESSION
from core.wizard.needs import need_of
from core.wizard.step import Context
from core.wizard.steps.training import TrainingAnswers
from core.wizard.training_need import need_to_train
from core.wizard.training_plan import in_words, planner
from provisioning.place_names import SKY
from provisioning.target import Offer, Target

if TYPE_CHECKING:
    from core.wizard.session import Session


@dataclass(frozen=True)
class Quote:
    """One offer, with the plan of the training on it."""

    offer: Offer
    plan: Plan | None = None
    """None where the rows are not known yet or the machine has no GPU."""

    @property
    def fits(self) -> bool:
        """Whether it can be rented and holds the training."""
        return self.offer.fits and (self.plan is None or self.plan.fits is not False)

    @property
    def usd(self) -> tuple[float, float] | None:
        """What training costs there, low and high; None where price or speed is not known."""
        return self.plan.usd if self.plan is not None else None

    @property
    def reason(self) -> str:
        """Why it fits, or why not."""
        if self.offer.fits and self.plan is not None and self.plan.fits is False:
            return self.plan.problem
        return self.offer.reason


def quotes(target: Target, answers: TrainingAnswers, seed: int, rows: Sequence[Path], validation: Path | None) -> list[Quote]:
    """A quote for each offer of a place: those that fit first, then by what training costs there, then by the hour.

    `rows` may be empty: then prices alone are told. Raises ProviderError and UsageError when the place cannot say.
    """
    plan_on = planner(answers, seed, find(answers.base_model), rows, validation) if rows else None
    with contextlib.suppress(StepFailed):  # each quote says itself what it does not hold
        answers = need_to_train(target, answers, plan_on).answers
    quoted = []
    for offer in target.offers(need_of(answers.gpus_needed, answers.nodes)):
        plan = None
        if plan_on is not None and offer.gpu_type:
            machine = together(named_gpu(offer.gpu_type, offer.gpu_memory_gb), answers.gpus_needed, answers.nodes)
            plan = plan_on(machine, None if math.isnan(offer.usd_per_hour) else offer.usd_per_hour)
        quoted.append(Quote(offer, plan))
    return sorted(quoted, key=_rank)


def training_quotes(session: Session, place: str) -> list[Quote]:
    """Quotes for the training of a session at a place, with minutes and dollars once its rows are there. Raises as `quotes`, and
    UsageError for a place where nothing is rented."""
    if place.partition(":")[0] != SKY or place not in session.targets:
        raise UsageError(f"{place!r} is no place where machines are rented; write sky, or sky:aws and the like")
    (dataset,) = [status for status in session.statuses() if status.step == "dataset"]
    rows: list[Path] = []
    validation = None
    if dataset.outputs is not None and dataset.folder is not None:
        rows = [dataset.folder / dataset.outputs.files["train_rows"]]
        validation = dataset.folder / dataset.outputs.files["val_rows"]
    answers = session.model("training").model_copy(update={"machine": place})  # what it needs there, wherever it trains now
    return quotes(session.targets[place], answers, session.model(SESSION).seed, rows, validation)


def foretell(context: Context, answers: TrainingAnswers, rows: Sequence[Path], validation: Path | None) -> str:
    """The plan of a training in a sentence or two, on the machine that would be rented where one would be; "" when nothing is known.

    Asks no machine, for rented ones only SkyPilot's price list.
    """
    seed = context.shared.seed
    if answers.machine.partition(":")[0] != SKY:
        return in_words(answers, seed, rows, validation)
    target = context.jobs.target(answers.machine)
    try:
        quoted = quotes(target, answers, seed, rows, validation)
    except (ProviderError, UsageError) as error:
        return f"no price is known: {error}"
    if not quoted:
        return f"{target.name} lists no machine with such GPUs"
    best = quoted[0]
    if not best.fits:
        return f"no machine of {target.name} will do; {best.offer.name}: {best.reason}"
    price = "" if math.isnan(best.offer.usd_per_hour) else f" at ${best.offer.usd_per_hour:.2f} an hour{' (spot)' * best.offer.spot}"
    planned = f"{best.plan.sentence}; on " if best.plan is not None else ""
    return f"{planned}{best.offer.name}{price}, and some minutes to rent it"


def _rank(quote: Quote) -> tuple[bool, float, float]:
    price = quote.offer.usd_per_hour
    return not quote.fits, sum(quote.usd) if quote.usd is not None else math.inf, math.inf if math.isnan(price) else price
