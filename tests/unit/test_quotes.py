"""What training takes on each machine that could be rented: minutes, dollars, whether it fits, told before one is rented."""

from __future__ import annotations

import json
import math

import pytest

from core.errors import UsageError
from core.training.hardware import named_gpu
from core.wizard.quotes import foretell, quotes, training_quotes
from core.wizard.session import Session
from core.wizard.shared import SharedAnswers
from core.wizard.step import Context
from core.wizard.steps.training import TrainingAnswers
from provisioning.places import Places
from provisioning.target import Offer

EIGHT = "meta-llama/Llama-3.1-8B-Instruct"


class Cloud:
    """A place with a price list."""

    name = "sky:aws"

    def __init__(self, *offers: Offer, problem: Exception | None = None) -> None:
        self._offers, self._problem = offers, problem
        self.needs = []

    def offers(self, need):
        if self._problem is not None:
            raise self._problem
        self.needs.append(need)
        return self._offers


class Jobs:
    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud

    def target(self, name):
        assert name == "sky:aws"
        return self._cloud


def offer(gpu_type: str, usd: float, gpus: int = 1, fits: bool = True, **more) -> Offer:
    return Offer(f"aws {gpu_type}", usd, "12 cores" if fits else "your account is not ready", fits, gpu_type=gpu_type, gpus=gpus, **more)


@pytest.fixture
def rows(tmp_path):
    path = tmp_path / "rows.jsonl"
    prompt = "You are a helpful assistant of a parcel service. " * 200
    texts = [{"prompt": f"{prompt} message {n}", "completion": "start flow track_parcel"} for n in range(320)]
    path.write_text("".join(json.dumps(text) + "\n" for text in texts))
    return path


def context(cloud: Cloud, answers: TrainingAnswers, tmp_path) -> Context:
    shared = SharedAnswers(assistant=tmp_path)
    return Context(answers=answers, shared=shared, upstream={}, folder=tmp_path, emit=lambda event: None, jobs=Jobs(cloud))


def test_each_machine_has_its_minutes_and_dollars_and_the_cheapest_training_comes_first(rows):
    cloud = Cloud(offer("H100", 6.88), offer("A100", 3.67), offer("A100-80GB", 1.39), offer("L4", 0.7))
    found = quotes(cloud, TrainingAnswers(base_model=EIGHT, machine="sky:aws"), 42, [rows], None)
    assert cloud.needs[0].gpus == 1
    by_type = {quote.offer.gpu_type: quote for quote in found}
    for quote in found:
        if quote.fits:
            low, high = quote.plan.minutes
            assert quote.usd == pytest.approx((low / 60 * quote.offer.usd_per_hour, high / 60 * quote.offer.usd_per_hour))
    assert by_type["H100"].plan.minutes[0] < by_type["A100"].plan.minutes[0]
    assert found[0].offer.gpu_type == "A100-80GB"
    assert [quote.fits for quote in found] == sorted((quote.fits for quote in found), reverse=True)
    sums = [sum(quote.usd) for quote in found if quote.fits]
    assert sums == sorted(sums)


def test_a_machine_that_cannot_hold_the_training_says_what_would(rows):
    (found,) = quotes(Cloud(offer("T4", 0.35)), TrainingAnswers(base_model=EIGHT, machine="sky:aws", method="lora"), 42, [rows], None)
    assert found.offer.fits
    assert not found.fits
    assert "GB" in found.reason


def test_what_trains_here_now_is_quoted_for_what_it_needs_there(tmp_path):
    session, cloud = Session.create(tmp_path, "one"), Cloud(offer("A100", 3.67))
    session.answer("session", {"assistant": str(tmp_path)})
    session.answer("training", {"base_model": EIGHT})
    session.targets = {"sky:aws": cloud}
    assert [quote.offer.gpu_type for quote in training_quotes(session, "sky:aws")] == ["A100"]
    assert cloud.needs[0].gpus == 1
    with pytest.raises(UsageError, match="no place where machines are rented"):
        training_quotes(session, "local")
    session.targets = Places(tmp_path / "jobs")
    session.close()


def test_without_rows_there_are_prices_alone():
    first, second = quotes(
        Cloud(offer("H100", 6.88), offer("A100", math.nan)), TrainingAnswers(base_model=EIGHT, machine="sky:aws"), 42, [], None
    )
    assert (first.offer.gpu_type, first.usd) == ("H100", None)
    assert second.plan is None


def test_before_training_the_machine_that_would_be_rented_is_told(rows, tmp_path):
    answers = TrainingAnswers(base_model=EIGHT, machine="sky:aws")
    cloud = Cloud(offer("A100", 3.67, spot=True), offer("H100", 1.0, fits=False))
    told = foretell(context(cloud, answers, tmp_path), answers, [rows], None)
    assert "min on A100, $" in told
    assert "aws A100 at $3.67 an hour (spot)" in told


def test_that_nothing_can_be_rented_is_told_with_the_reason(rows, tmp_path):
    answers = TrainingAnswers(base_model=EIGHT, machine="sky:aws")
    told = foretell(context(Cloud(offer("A100", 3.67, fits=False)), answers, tmp_path), answers, [rows], None)
    assert told == "no machine of sky:aws will do; aws A100: your account is not ready"
    told = foretell(context(Cloud(), answers, tmp_path), answers, [rows], None)
    assert told == "sky:aws lists no machine with such GPUs"
    without = Cloud(problem=UsageError("SkyPilot cannot be used here"))
    assert foretell(context(without, answers, tmp_path), answers, [rows], None) == "no price is known: SkyPilot cannot be used here"


@pytest.mark.parametrize(
    ("name", "listed", "gigabytes"),
    [
        ("A100", 0, 40), ("A100-80GB", 0.08, 80), ("A100-80GB-SXM", 80, 80), ("H100", 80, 80), ("H200-SXM", 0, 141), ("V100", 16, 16),
        ("V100-32GB", 32, 32), ("RTX4090", 0, 24), ("L40S", 45, 48), ("A10G", 22, 24), ("Gaudi", 96, 96), ("Gaudi", 0.096, 0),
    ],
)  # fmt: skip
def test_memory_of_a_gpu_is_known_by_the_name_price_lists_give_it(name, listed, gigabytes):
    assert named_gpu(name, listed).memory == gigabytes * 1e9
