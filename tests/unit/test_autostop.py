"""A rented machine that should be gone by itself and is not is told from one that is in order."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest

from provisioning import sky_sdk
from provisioning.autostop import PATIENCE_SECONDS, overdue
from provisioning.sky_sdk import Machine


@pytest.fixture
def machine(monkeypatch):
    idle: dict[str, float | None] = {"since": None}
    monkeypatch.setattr(sky_sdk, "idle_since", lambda machine: idle["since"])
    made = Machine("calmtune-x", "up", "aws (us-east-1a)", "p4d", "A100", 8, 21.9, time.time() - 9000, False, 60)
    return made, idle


def test_a_machine_with_a_job_is_in_order(machine):
    assert overdue(machine[0]) == ""


def test_a_machine_within_its_idle_minutes_is_in_order(machine):
    made, idle = machine
    idle["since"] = time.time() - 3600 - PATIENCE_SECONDS / 2
    assert overdue(made) == ""


def test_a_machine_that_idles_longer_than_it_should_is_told(machine):
    made, idle = machine
    idle["since"] = time.time() - 3600 - PATIENCE_SECONDS - 61
    assert overdue(made) == "has had no job for 66 minutes and should have ended itself after 60"
    assert overdue(replace(made, ends_when_idle=None)) == ""


def test_a_machine_that_never_gets_done_with_ending_is_told(machine):
    made, idle = machine
    ending = replace(made, state="ending")
    idle["since"] = time.time() - 3700
    assert overdue(ending) == ""
    idle["since"] = time.time() - 4200
    assert overdue(ending).startswith("has had no job for 70 minutes and should have ended itself after 60: it tries")
