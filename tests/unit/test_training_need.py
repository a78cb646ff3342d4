"""Machines to train on are those that hold the training, by its plan; several of them are planned and paid for together."""

from __future__ import annotations

import pytest
from unit.test_quotes import EIGHT, Cloud, context, offer, rows  # noqa: F401
from unit.test_several_gpus import planned
from unit.test_sky_offers import READY, listed

from core.errors import StepFailed, UsageError
from core.training.base_models import find
from core.training.hardware import cpu, gpu, together
from core.training.ways import EFFICIENCY, OVER_NETWORK
from core.wizard import answers as answering
from core.wizard.quotes import foretell, quotes
from core.wizard.steps.training import TrainingAnswers
from core.wizard.training_need import MEMBER, need_to_train, together_command
from core.wizard.training_plan import planner
from provisioning.job import Resources
from provisioning.local import LocalTarget
from provisioning.sky import SkyTarget
from provisioning.sky_offers import offers_of
from provisioning.terms import Terms

L4 = gpu("NVIDIA L4", 23_034 << 20)


def needed(rows, *types: str, **answers):  # noqa: F811
    asked = TrainingAnswers(**{"base_model": EIGHT, "machine": "sky:aws", **answers})
    cloud = SkyTarget("aws", "one", lambda: Terms(types))
    return need_to_train(cloud, asked, planner(asked, 42, find(asked.base_model), [rows], None))


def test_types_that_do_not_hold_the_training_are_left_out(rows):  # noqa: F811
    found = needed(rows, "A100", "T4", "L4", "H100", method="lora")
    assert found.resources.gpu_counts == (("A100", 1), ("L4", 1), ("H100", 1))
    assert found.answers.gpus_needed == 1
    assert found.reason == f"T4 left out, which would not hold the training of {EIGHT}"
    assert found.least is not None
    assert found.least.name == "L4"


def test_where_one_of_no_type_does_the_fewest_that_do_are_rented(rows):  # noqa: F811
    found = needed(rows, "T4", method="lora")
    assert found.resources.gpu_counts == (("T4", 4),)
    assert found.answers.gpus_needed == found.resources.gpus == 4
    assert "one GPU of no type holds the training" in found.reason
    full = needed(rows, "A100", "H100", method="full")
    assert (full.resources.gpu_counts, full.answers.gpus_needed) == ((("H100", 4),), 4)


def test_an_answered_number_is_kept_and_what_does_not_fit_is_refused(rows):  # noqa: F811
    with pytest.raises(StepFailed, match=r"no GPU of T4 holds this training, the largest neither: .* needs at least .*session\.cloud_gpus"):
        needed(rows, "T4", method="lora", gpus=1)
    with pytest.raises(StepFailed, match="no GPU of T4, L4 holds this training"):
        needed(rows, "T4", "L4", method="full", gpus=4)


def test_nodes_hold_together_what_one_does_not(rows):  # noqa: F811
    found = needed(rows, "T4", method="lora", gpus=1, nodes=4)
    assert (found.resources.gpu_counts, found.resources.nodes) == ((("T4", 1),), 4)
    assert found.resources.wanted == "4 nodes with 1 × T4 each"


def test_places_of_the_owners_are_taken_as_they_are(rows, tmp_path):  # noqa: F811
    asked = TrainingAnswers(base_model=EIGHT, machine="ssh:box")
    found = need_to_train(LocalTarget(tmp_path), asked, planner(asked, 42, find(EIGHT), [rows], None))
    assert (found.answers, found.resources.gpu_counts) == (asked, ())


def test_several_nodes_are_for_machines_that_are_rented():
    for machine, why in (("local", "Several nodes are rented by SkyPilot alone"), ("ssh:box", "training.machine is ssh:box"),
                         ("sky:k8s/home", "Kubernetes cannot be reached")):  # fmt: skip
        with pytest.raises(UsageError, match=rf"(?i)training\.nodes: 2: .*{why}"):
            answering.validate("training", {"machine": machine, "nodes": 2}, "answers.yml")
    for machine in ("sky", "sky:aws", "sky:slurm/one"):
        assert TrainingAnswers(machine=machine, nodes=2).nodes == 2


def test_all_nodes_cost(rows, tmp_path):  # noqa: F811
    need = Resources(gpus=1, nodes=2)
    cheap, dear = offers_of([listed(usd=2.0), listed("runpod", usd=3.0)], READY, need, 5.0)
    assert (cheap.usd_per_hour, dear.usd_per_hour) == (4.0, 6.0)
    assert cheap.name.startswith("2 × gcp ")
    assert dear.reason == "above your limit of $5.00 an hour"
    answers = TrainingAnswers(base_model=EIGHT, machine="sky:aws", nodes=2)
    cloud = Cloud(offer("A100", 7.34))
    (quote,) = quotes(cloud, answers, 42, [rows], None)
    assert cloud.needs[0].nodes == 2
    assert quote.plan.machine == "2 nodes of A100"
    low, high = quote.plan.minutes
    assert quote.usd == pytest.approx((low / 60 * 7.34, high / 60 * 7.34))
    assert "min on 2 nodes of A100, $" in foretell(context(cloud, answers, tmp_path), answers, [rows], None)


def test_the_plan_of_several_nodes():
    one, nodes = planned(L4), planned(together(L4, 2, 2))
    assert (nodes.gpus, nodes.nodes) == (4, 2)
    assert nodes.micro_rows <= 4
    assert one.minutes[1] > nodes.minutes[1] > one.minutes[1] / 4
    speed = 4 * EFFICIENCY[nodes.sharded] * OVER_NETWORK
    assert "4 on 2 nodes share out " in nodes.reasons["GPUs"]
    assert f"{speed:.1f} times as fast as one" in nodes.reasons["GPUs"]
    assert " on 2 nodes of 2 × NVIDIA L4" in nodes.sentence
    plain = planned(together(cpu(8, 64_000_000_000, True), 0, 2))
    assert (plain.gpus, plain.nodes, plain.sharded) == (1, 2, False)
    assert " on each of 2 nodes" in plain.sentence
    assert "2 on 2 nodes share out the rows of a step" in plain.reasons["nodes"]


def test_what_starts_the_processes():
    assert together_command(TrainingAnswers()).command == ()
    one = together_command(TrainingAnswers(machine="ssh:box", gpus=4))
    assert one.command[-2:] == ("--nproc_per_node", "4")
    several = together_command(TrainingAnswers(machine="sky:aws", gpus=4, nodes=2))
    assert several.command == (MEMBER, "2", "4")
    assert several.files[MEMBER].is_file()
    assert together_command(TrainingAnswers(machine="sky:aws", gpus=0, nodes=2)).command == (MEMBER, "2", "1")
