"""How an adapter is served, here and elsewhere: command lines, and the program that merges before it serves."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from unit.test_elsewhere import GPU, machine

from core.errors import StepFailed
from core.serving.adapter import MERGE_PROGRAM, Adapter, adapter_in
from core.serving.elsewhere import plan_elsewhere, requirements_of
from core.serving.server import plan_server
from core.training.base_finder import PlacedBase
from core.wizard.base_model import place_base
from core.wizard.needs import need_of
from core.wizard.step import Context
from tests import tiny_model


def adapter_folder(folder: Path, rank: int = 16, base: str = "someone/base", **more: object) -> Path:
    folder.mkdir(parents=True)
    (folder / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": base, "r": rank, **more}))
    return folder


@pytest.fixture
def vllm(tmp_path, monkeypatch) -> str:
    """An interpreter with vLLM beside it, on a machine with a GPU."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "nvidia-smi").write_text("#!/bin/sh\necho 'NVIDIA L4, 23034, 580.1, 8.9, 22563'\n")
    (tmp_path / "bin" / "nvidia-smi").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    (tmp_path / "env").mkdir()
    for name in ("python", "vllm"):
        (tmp_path / "env" / name).touch()
    return str(tmp_path / "env" / "python")


@pytest.mark.parametrize(
    ("rank", "most"), [(1, 8), (8, 8), (9, 16), (64, 64), (65, 128), (200, 256), (320, 320), (321, 512), (512, 512)]
)
def test_vllm_is_told_the_least_rank_it_knows_that_holds(rank, most):
    assert Adapter("base", rank).max_rank == most


def test_a_rank_that_vllm_does_not_hold_is_a_sentence():
    with pytest.raises(StepFailed, match=r"to rank 512 and this one has 513; answer training.artifact: merged"):
        _ = Adapter("base", 513).max_rank


def test_a_folder_tells_whether_it_is_an_adapter(tmp_path):
    assert adapter_in(tmp_path) is None
    assert adapter_in(adapter_folder(tmp_path / "a")) == Adapter("someone/base", 16)
    assert adapter_in(adapter_folder(tmp_path / "b", rank_pattern={"q_proj": 40})).rank == 40
    (tmp_path / "a" / "adapter_config.json").write_text('{"r": 8}')
    with pytest.raises(StepFailed, match=r"adapter_config.json is no configuration of a LoRA adapter"):
        adapter_in(tmp_path / "a")


def test_vllm_here_serves_the_adapter_under_its_name(tmp_path, vllm):
    folder = adapter_folder(tmp_path / "adapter", 20)
    plan = plan_server(folder, "tuned", "vllm", python=vllm, base="/models/base")
    assert plan.command[1:8] == (
        "serve", "/models/base", "--enable-lora", "--max-lora-rank", "32", "--lora-modules", f"tuned={folder}",
    )  # fmt: skip
    assert plan.command[plan.command.index("--host") + 1] == "127.0.0.1"
    assert plan.endpoint.model == "tuned"


def test_vllm_here_serves_a_whole_model_as_before(tmp_path, vllm):
    plan = plan_server(tmp_path, "tuned", "vllm", python=vllm)
    assert plan.command[1:5] == ("serve", str(tmp_path), "--served-model-name", "tuned")


def test_transformers_here_gets_the_adapter_merged_and_says_so(tmp_path):
    folder = adapter_folder(tmp_path / "adapter")
    plan = plan_server(folder, "tuned", "transformers", base="/models/base")
    assert plan.command[:5] == (sys.executable, str(MERGE_PROGRAM), "/models/base", str(folder), "merged")
    assert plan.command[6:8] == ("serve", "merged")
    assert plan.endpoint.model == "merged"
    assert "the adapter is merged into its base model first" in plan.reason


def test_vllm_elsewhere_gets_the_adapter_sent_and_finds_the_base_there(tmp_path):
    folder = adapter_folder(tmp_path / "adapter")
    plan = plan_elsewhere("ssh:gpu", machine(GPU), 8123, folder, "tuned", base=PlacedBase("/there/base"))
    at = plan.command.index("serve")
    assert plan.command[at + 1 : at + 7] == (
        "/there/base", "--enable-lora", "--max-lora-rank", "16", "--lora-modules", "tuned=model",
    )  # fmt: skip
    assert plan.files["model"] == folder
    assert "base" not in plan.files


def test_transformers_elsewhere_merges_there_with_an_owners_base_sent_along(tmp_path):
    folder = adapter_folder(tmp_path / "adapter")
    base = PlacedBase("base", {"base": tmp_path / "own"})
    plan = plan_elsewhere("ssh:box", machine(), 8123, folder, "tuned", base=base)
    at = plan.command.index("merge_adapter.py")
    assert plan.command[at - 1 : at + 7] == (
        "python", "merge_adapter.py", "base", "model", "merged", "transformers", "serve", "merged",
    )  # fmt: skip
    assert plan.files["merge_adapter.py"] == MERGE_PROGRAM
    assert plan.files["base"] == tmp_path / "own"
    assert "peft==" in plan.files["transformers.txt"].read_text()
    assert plan.endpoint.model == "merged"


@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")  # peft asks for it
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_the_merged_model_has_the_adapters_logits_and_the_bases_precision(tmp_path, dtype):
    import torch
    from peft import LoraConfig, PeftModel, get_peft_model
    from transformers import AutoModelForCausalLM, AutoTokenizer

    base = tiny_model.make(tmp_path / "base", spread=0.5)
    plain = AutoModelForCausalLM.from_pretrained(base, dtype=getattr(torch, dtype))
    plain.save_pretrained(base)
    settings = LoraConfig(r=4, target_modules="all-linear", task_type="CAUSAL_LM", init_lora_weights=False)
    get_peft_model(plain, settings).save_pretrained(tmp_path / "adapter")
    AutoTokenizer.from_pretrained(base).save_pretrained(tmp_path / "adapter")
    (tmp_path / "merged").mkdir()
    (tmp_path / "merged" / "leftover.bin").touch()
    command = [
        sys.executable,
        MERGE_PROGRAM,
        base,
        tmp_path / "adapter",
        tmp_path / "merged",
        "python",
        "-c",
        "print('served')",
    ]
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, env={**os.environ, "HF_HUB_OFFLINE": "1"}
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "served"
    assert "merging the adapter in" in done.stdout
    assert not (tmp_path / "merged" / "leftover.bin").exists()
    assert (tmp_path / "merged" / "chat_template.jinja").is_file()
    merged = AutoModelForCausalLM.from_pretrained(tmp_path / "merged")
    assert merged.dtype == getattr(torch, dtype)
    adapted = PeftModel.from_pretrained(
        AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32), tmp_path / "adapter"
    )
    tokens = torch.arange(2, 40)[None]
    with torch.no_grad():
        wanted, found = adapted(tokens).logits, merged.float()(tokens).logits
    assert float((found - wanted).std() / wanted.std()) < (1e-5 if dtype == "float32" else 0.15)


class Machine:
    """Jobs of a machine that finds every base model."""

    async def prepare(self, need, place, say):
        self.prepared = (need, place)

    async def run(self, job, on_event, place):
        self.job = job

    async def fetch(self, job, paths, into: Path):
        (into / "log.txt").write_text("downloading\n/there/base\n")


@pytest.mark.parametrize("like", [True, False])
async def test_the_base_is_looked_for_where_the_adapter_is_served_and_compared_there(tmp_path, monkeypatch, like):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_TOKEN", "canary")
    described = tmp_path / "base_model.json"
    described.write_text("{}")
    context = Context(None, None, {}, tmp_path, lambda event: None, Machine())
    requirements = requirements_of("vllm")
    found = await place_base(
        context,
        "someone/base",
        "ssh:gpu",
        "",
        requirements,
        60,
        need=need_of(1),
        purpose="server-base",
        like=described if like else None,
    )
    assert found == PlacedBase("/there/base")
    job = context.jobs.job
    assert job.name == "server-base"
    told = ("someone/base", "", "base_model.json") if like else ("someone/base",)
    assert job.command == ("python3", "environment.py", "vllm.txt", "python", "base_model.py", *told)
    assert ("base_model.json" in job.files) is like
    assert job.secrets == {"HF_TOKEN": "canary"}
