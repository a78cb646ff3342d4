"""What could be rented: the smallest machine of each cloud and type, with the reason why it fits or not."""

from __future__ import annotations

import math
from types import SimpleNamespace
from unittest.mock import Mock

import pytest
from click.testing import CliRunner

import core.wizard.quotes
import tui.commands.offers
from core.wizard.quotes import Quote
from provisioning import sky_offers
from provisioning.job import Resources
from provisioning.place_names import cloud_of
from provisioning.sky import resources_wanted
from provisioning.sky_offers import Listed, is_scheduler, offers_of
from provisioning.target import Offer
from provisioning.terms import Terms

NEED = Resources(gpus=1, cpus=12, memory_gb=64, disk_gb=256)
READY = {"aws", "gcp", "runpod", "slurm"}


def listed(cloud="gcp", gpu_type="A100", gpus=1, usd=3.67, spot=False, memory=85.0):
    return Listed(cloud, f"{cloud}-{gpus}", gpu_type, gpus, usd, spot, 12.0, memory)


def test_those_that_fit_come_first_then_the_cheaper():
    rows = [
        listed(usd=3.67), listed("runpod", "A100-80GB", usd=1.39), listed("lambda", usd=1.99), listed("gcp", "A100-80GB", usd=5.03),
    ]  # fmt: skip
    found = offers_of(rows, READY, NEED, None)
    assert [(offer.infra, offer.gpu_type) for offer in found] == [
        ("runpod", "A100-80GB"), ("gcp", "A100"), ("gcp", "A100-80GB"), ("lambda", "A100"),
    ]  # fmt: skip
    assert [offer.fits for offer in found] == [True, True, True, False]
    assert "`sky check lambda`" in found[-1].reason


def test_a_cloud_without_a_single_one_says_so_and_offers_what_there_is():
    (offer,) = offers_of([listed("aws", gpus=8, usd=21.96, memory=1152)], READY, NEED, None)
    assert offer.fits
    assert offer.gpus == 8
    assert "aws rents A100 only 8 at a time, 1 needed" in offer.reason


def test_of_one_type_the_smallest_with_enough_gpus_is_offered():
    rows = [listed(gpus=count, usd=3.67 * count) for count in (8, 4, 2, 1)]
    assert [offer.gpus for offer in offers_of(rows, READY, NEED, None)] == [1]
    assert [offer.gpus for offer in offers_of(rows, READY, Resources(gpus=3), None)] == [4]
    assert offers_of(rows, READY, Resources(gpus=16), None) == []


def test_spot_machines_stand_beside_those_on_demand():
    found = offers_of([listed(usd=3.67), listed(usd=1.84, spot=True)], READY, NEED, None)
    assert [(offer.spot, offer.usd_per_hour) for offer in found] == [(True, 1.84), (False, 3.67)]


def test_what_is_too_dear_or_too_small_says_so():
    dear, small = offers_of([listed(usd=5.0), listed("runpod", usd=1.0, memory=32)], READY, NEED, 4.0)
    assert (dear.fits, small.fits) == (False, False)
    assert {dear.reason, small.reason} == {"above your limit of $4.00 an hour", "32 GB of memory, 64 needed"}


def test_an_unknown_price_comes_last_and_is_no_obstacle():
    found = offers_of([listed("slurm", usd=math.nan), listed(usd=9.0)], READY, NEED, None)
    assert [offer.infra for offer in found] == ["gcp", "slurm"]
    assert all(offer.fits for offer in found)


def test_schedulers_are_told_from_clouds():
    assert is_scheduler("slurm/rig")
    assert is_scheduler("k8s/context")
    assert not is_scheduler("aws/us-east-1")
    assert not is_scheduler("")
    assert cloud_of("aws/us-east-1") == "aws"
    assert cloud_of("") is None


def test_several_nodes_are_not_looked_for_where_they_cannot_be_reached(monkeypatch):
    several = Resources(gpus=1, nodes=2)
    (offer,) = offers_of([listed("kubernetes")], {"kubernetes"}, several, None)
    assert not offer.fits
    assert offer.reason == "its further nodes cannot be reached over SSH"
    monkeypatch.setattr(sky_offers, "ready_clouds", lambda: {"gcp", "kubernetes", "aws"})
    monkeypatch.setattr(sky_offers, "listed", lambda infra, types, spot: [listed(), listed("kubernetes", usd=0.0)])
    wanted = resources_wanted("", several, Terms(("A100",)))
    assert wanted["any_of"] == [{"infra": cloud, "accelerators": {"A100": 1}} for cloud in ("aws", "gcp")]
    assert resources_wanted("", Resources(nodes=2), Terms())["any_of"] == [{"infra": "aws"}, {"infra": "gcp"}]
    assert "infra" not in resources_wanted("", Resources(gpus=1), Terms(("A100",)))["any_of"][0]


@pytest.mark.parametrize(("is_prepared", "told"), [(False, "once the dataset step is done"), (True, "for machines with a GPU")])
def test_it_is_said_why_minutes_are_not_told(monkeypatch, is_prepared, told):
    session = Mock(status=lambda step: SimpleNamespace(done=step == "dataset" and is_prepared))
    monkeypatch.setattr(tui.commands.offers, "existing_session", lambda name: session)
    monkeypatch.setattr(core.wizard.quotes, "training_quotes", lambda *_: [Quote(Offer("any cloud", math.nan, "enough memory"))])
    done = CliRunner().invoke(tui.commands.offers.offers, ["sky"])
    assert (done.exit_code, f"are told {told}" in done.stderr) == (0, True), done.output
