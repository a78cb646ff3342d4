"""Machines to serve a model are chosen by what it takes: weights, and the keys and values of as many requests as are wanted."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from unit.test_vllm_flags import A100, GIB, LLAMA_8B, value

from core.errors import StepFailed
from core.serving.gpu_choice import choose_gpus
from core.serving.gpu_memory import MOST_GPUS, SHARE
from core.serving.vllm_flags import Model, vllm_flags
from core.training.hardware import named_gpu
from core.wizard.needs import need_to_serve
from core.wizard.served import ServerRequest, foretell_server
from provisioning.local import LocalTarget
from provisioning.sky import SkyTarget, meets
from provisioning.sky_offers import offers_of
from provisioning.sky_sdk import Machine
from provisioning.terms import Terms
from tests.unit.test_sky_offers import READY, listed

USUAL = ("A100", "A100-80GB", "H100", "L40S")
EIGHT = Model(LLAMA_8B, 16_060_000_000, longest_row=1800)
SEVENTY = Model({**LLAMA_8B, "num_hidden_layers": 80, "hidden_size": 8192, "num_attention_heads": 64}, 141_000_000_000, longest_row=1800)


def test_a_model_that_one_gpu_holds_gets_one_of_each_type():
    choice = choose_gpus(EIGHT, USUAL)
    assert choice.counts == tuple((name, 1) for name in USUAL)
    assert "weights take 16 GB, 4 requests of 4,096 tokens at once 2.1 GB" in choice.reason


def test_a_large_one_gets_as_many_as_hold_it_and_types_that_never_do_are_left_out():
    choice = choose_gpus(SEVENTY, (*USUAL, "T4", "B200"))
    assert dict(choice.counts) == {"A100": 8, "A100-80GB": 4, "H100": 4, "L40S": 4, "B200": 1}
    assert "not T4 (16 GB), 8 of which do not hold it" in choice.reason


def test_requests_at_once_take_memory_too_as_far_as_they_differ():
    few, many, more = (dict(choose_gpus(EIGHT, ["L4"], requests).counts)["L4"] for requests in (1, 32, 512))
    assert few == 1 < many == more


def test_what_none_holds_is_refused_with_what_it_takes():
    with pytest.raises(StepFailed, match=r"no GPU of T4, V100 holds the model, 8 together neither: weights take 141 GB.*cloud_gpus"):
        choose_gpus(SEVENTY, ["T4", "V100"])


@given(st.integers(1, 400), st.sampled_from(["A100", "H100", "L40S", "L4", "H200"]), st.integers(1, 40))
def test_what_is_rented_serves(billions, name, requests):
    model = Model({**SEVENTY.config, "dtype": "bfloat16"}, billions * 10**9, longest_row=1800)
    try:
        ((_, count),) = choose_gpus(model, [name], requests).counts
    except StepFailed:
        return
    memory = named_gpu(name).memory
    flags = vllm_flags(model, count * [{**A100, "memory": memory}])
    assert flags.gpus <= count <= MOST_GPUS
    assert flags.needs.on_each(count, min(requests, 32)) <= SHARE * memory


def test_a_place_that_rents_is_asked_for_what_holds_the_model(tmp_path):
    model, terms = tmp_path / "model", Terms(("A100", "T4"))
    model.mkdir()
    (model / "config.json").write_text(json.dumps(LLAMA_8B))
    with (model / "model.safetensors").open("wb") as file:
        file.truncate(EIGHT.weights)
    cloud = SkyTarget("aws", "one", lambda: terms)
    need, why = need_to_serve(cloud, model, 1800, 4, "auto")
    assert need.gpu_counts == (("A100", 1), ("T4", 2))
    assert need.gpus == 1
    assert "2 × T4 (16 GB)" in why
    alone, _ = need_to_serve(cloud, model, 1800, 4, "transformers")
    assert alone.gpu_counts == (("A100", 1),), "it does not share out a model"
    owned, why = need_to_serve(LocalTarget(tmp_path), model, 1800, 4, "auto")
    assert (owned.gpus, owned.gpu_counts, why) == (1, (), "")

    class Jobs:
        def target(self, place):
            return cloud

    class Context:
        jobs = Jobs()

    told = foretell_server(Context(), ServerRequest(model, "sky:aws"))
    assert told.startswith("1 × A100 or 2 × T4 to rent; weights take 16 GB")
    terms = Terms(("T4",))
    assert "2 × T4 to rent" in foretell_server(Context(), ServerRequest(model, "sky:aws"))
    assert "no GPU of T4 holds" in foretell_server(Context(), ServerRequest(model, "sky:aws", "transformers"))

    rows = [listed("aws", name, count, usd) for name, count, usd in (("A100", 8, 21.96), ("T4", 1, 0.5), ("T4", 4, 3.9), ("L4", 1, 0.7))]
    assert [(offer.gpu_type, offer.gpus) for offer in offers_of(rows, READY, need, None)] == [("T4", 4), ("A100", 8)]
    for name, gpus, enough in (("A100", 1, True), ("T4", 1, False), ("T4", 2, True), ("H100", 8, False), ("", 0, False)):
        assert meets(Machine("one", "up", "aws", "some", name, gpus, 1.0, 0.0, False, 10), need) == enough


def test_more_gpus_than_one_are_told_to_vllm():
    flags = vllm_flags(EIGHT, 2 * [{"name": "Tesla T4", "memory": 16 * GIB, "compute": "7.5"}])
    assert value(flags, "--tensor-parallel-size") == "2"
