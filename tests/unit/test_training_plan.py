"""A plan's figures against published ones; what it decides, and what it says."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from core.training.base_models import find, read_models
from core.training.hardware import UTILISATION, cpu, gpu, peak_of
from core.training.memory import Load, memory
from core.training.model_facts import ModelFacts, facts_from, folder_at_hand, read_config
from core.training.out_of_memory import smaller
from core.training.plan import TrainingSettings
from core.training.planner import SPARE, plan
from core.training.row_tokens import RowSet, folded, read_rows
from core.training.throughput import operations
from core.training.tree import Row

GB = 1e9
A100_40 = gpu("NVIDIA A100-SXM4-40GB", 40_960 << 20)
SMOLLM = {
    "model_type": "llama", "hidden_size": 576, "intermediate_size": 1536, "num_hidden_layers": 30, "num_attention_heads": 9,
    "num_key_value_heads": 3, "head_dim": 64, "vocab_size": 49152, "tie_word_embeddings": True, "max_position_embeddings": 8192,
}  # fmt: skip


def listed(name: str) -> ModelFacts:
    return next(facts for facts in read_models().facts() if facts.name.endswith(name))


def made(rows: int, shared: int, own: int, labels: int = 12, per_step: int = 16) -> RowSet:
    """Rows that share a beginning, as a sample of one step and their number."""
    step = tuple(
        Row([*range(shared), *range(10**6 * (n + 1), 10**6 * (n + 1) + own)], shared + own - labels)
        for n in range(per_step)
    )
    return RowSet(rows, rows * (shared + own), shared + own, (step,), "as made")


LLAMA, QWEN_4B = listed("Llama-3.1-8B-Instruct"), listed("Qwen3-4B-Instruct-2507")


@pytest.mark.parametrize(
    ("name", "weights"),
    [
        ("Qwen3-4B-Instruct-2507", 4_022_468_096),
        ("Qwen3-8B", 8_190_735_360),
        ("Llama-3.1-8B-Instruct", 8_030_261_248),
        ("Llama-3.2-3B-Instruct", 3_212_749_824),
        ("SmolLM2-135M-Instruct", 134_515_008),
        ("SmolLM3-3B", 3_075_098_624),
        ("Phi-4-mini-instruct", 3_836_021_760),
    ],
)
def test_a_config_tells_how_many_weights_there_are(name, weights):
    assert listed(name).parameters == weights
    shown = next(model for full, model in read_models().models.items() if full.endswith(name))
    assert shown.parameters * 1e9 == pytest.approx(weights, rel=0.01)


@pytest.mark.parametrize(
    ("config", "weights"),
    [
        # Qwen2.5-0.5B, Mistral-7B-v0.3, Gemma-2-2B, Gemma-3-1B
        ({"model_type": "qwen2", "hidden_size": 896, "intermediate_size": 4864, "num_hidden_layers": 24, "num_attention_heads": 14,
          "num_key_value_heads": 2, "vocab_size": 151936, "tie_word_embeddings": True}, 494_032_768),
        ({"model_type": "mistral", "hidden_size": 4096, "intermediate_size": 14336, "num_hidden_layers": 32,
          "num_attention_heads": 32, "num_key_value_heads": 8, "vocab_size": 32768}, 7_248_023_552),
        ({"model_type": "gemma2", "hidden_size": 2304, "intermediate_size": 9216, "num_hidden_layers": 26, "num_attention_heads": 8,
          "num_key_value_heads": 4, "head_dim": 256, "vocab_size": 256000}, 2_614_341_888),
        ({"model_type": "gemma3_text", "hidden_size": 1152, "intermediate_size": 6912, "num_hidden_layers": 26,
          "num_attention_heads": 4, "num_key_value_heads": 1, "head_dim": 256, "vocab_size": 262144}, 999_885_952),
    ],
)  # fmt: skip
def test_other_families_are_read_as_well(config, weights):
    facts = facts_from("it", config)
    assert isinstance(facts, ModelFacts)
    assert facts.parameters == weights
    nested = facts_from("it", {"model_type": "seeing", "text_config": config})
    assert isinstance(nested, ModelFacts)
    assert nested.parameters == weights


def test_a_config_that_says_too_little_gets_a_sentence():
    assert "does not say what a plan needs" in str(facts_from("odd", {"model_type": "llama"}))
    assert "mixture of experts" in str(facts_from("many", {**SMOLLM, "num_local_experts": 8}))


def test_the_small_model_from_its_own_config_where_that_is_at_hand():
    folder = folder_at_hand("HuggingFaceTB/SmolLM2-135M-Instruct")
    facts = facts_from("it", read_config(folder) if folder else SMOLLM)
    assert isinstance(facts, ModelFacts)
    assert facts.parameters == 134_515_008


def test_a_folder_wins_over_the_list_and_a_name_that_nobody_knows_is_left_open(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps(SMOLLM))
    assert find(str(tmp_path)).why == "its config.json"
    (tmp_path / "config.json").write_text("{nonsense")
    assert find(str(tmp_path)).facts is None
    nobody = find("nobody/knows-this")
    assert nobody.facts is None
    assert "is not known before it is downloaded" in nobody.why


@pytest.mark.parametrize(
    ("tokens", "checkpointed", "published"),
    [(8192, 1.0, 23.0), (2048, 0.0, 28.0), (4096, 0.0, 37.5)],
)
def test_an_8b_model_takes_the_memory_that_is_published(tokens, checkpointed, published):
    found = memory(LLAMA, Load(tokens, 64), rank=16, checkpointed=checkpointed)
    assert found.total / GB == pytest.approx(published, rel=0.15)
    assert found.weights / GB == pytest.approx(16.06, rel=0.01)
    assert found.adapter / GB == pytest.approx(0.67, rel=0.01)
    assert LLAMA.adapter_parameters(16) == pytest.approx(41.9e6, rel=0.01)


@pytest.mark.parametrize(("rank", "published"), [(16, 0.67), (64, 2.7), (256, 10.7)])
def test_an_adapter_grows_with_its_rank(rank, published):
    assert memory(LLAMA, Load(1, 1), rank).adapter / GB == pytest.approx(published, rel=0.01)


def test_weights_in_4_bits_take_what_was_measured():
    """torchtune reports 7.4 GiB for 8B QLoRA at its peak; the Qwen-7B page 13.9 GB with 2,048 tokens and other kernels."""
    found = memory(LLAMA, Load(2048, 2048), rank=8, method="qlora", checkpointed=1.0)
    assert 6 < found.total / GB < 14


def minutes(rows: RowSet, share: bool, utilisation: float) -> float:
    """Of 3 passes over the rows on an A100, with all activations kept."""
    step = folded(rows, 16, share)
    tokens = 3 * rows.tokens
    unique = tokens / step.ratio
    work = operations(LLAMA, unique, tokens * step.labels_per_token, unique * step.pairs_per_token)
    return work / (utilisation * (peak_of("A100") or 0)) / 60


def test_the_published_ladder_of_minutes():
    """1,600 rows of 1,450 tokens, 3 passes: 24 to 31 minutes side by side, 5.6 to 7.2 in trees of 16 rows."""
    rows = made(1600, shared=1200, own=250)
    assert minutes(rows, False, 0.45) == pytest.approx(24, rel=0.1)
    assert minutes(rows, False, 0.35) == pytest.approx(31, rel=0.1)
    assert folded(rows, 16).ratio == pytest.approx(4.4, rel=0.03)
    assert minutes(rows, True, 0.45) == pytest.approx(5.6, rel=0.1)
    assert minutes(rows, True, 0.35) == pytest.approx(7.2, rel=0.1)


def test_a_token_of_an_8b_model_takes_the_operations_that_are_published():
    """29.4 GFLOP with logits at labels only, 2.7 % of a forward pass in attention at 1,500 tokens."""
    rows = 1500
    with_attention = operations(LLAMA, rows, 15, rows * rows, backward=False)
    assert operations(LLAMA, 1, 0) == pytest.approx(27.9e9, rel=0.01)
    assert operations(LLAMA, rows, 15, rows * rows) / rows == pytest.approx(29.4e9, rel=0.05)
    assert 1 - operations(LLAMA, rows, 15, backward=False) / with_attention < 0.06


def test_more_computing_again_is_chosen_only_when_memory_asks_for_it():
    rows = made(1600, shared=1200, own=250)
    settings = TrainingSettings()
    wide = plan("8B", LLAMA, rows, settings, gpu("NVIDIA H100 80GB HBM3", 81_559 << 20))
    tight = plan("8B", LLAMA, rows, settings, A100_40)
    assert (wide.method, wide.checkpointed_layers, wide.micro_rows) == ("lora", 0, 16)
    assert tight.fits
    assert tight.method == "lora"
    assert tight.checkpointed_layers > 0 or tight.micro_rows < 16
    assert "need" in tight.reasons["checkpointing"]
    assert "has 43 GB" in tight.reasons["checkpointing"]
    assert tight.memory is not None
    assert tight.memory.total <= (1 - SPARE) * A100_40.memory


def test_4_bits_only_where_16_do_not_fit():
    rows = made(400, shared=600, own=60)
    small = plan("8B", LLAMA, rows, TrainingSettings(), gpu("Tesla T4", 15_360 << 20))
    assert small.method == "qlora"
    assert "bf16 LoRA needs at least" in small.reasons["method"]
    assert plan("8B", LLAMA, rows, TrainingSettings(), gpu("NVIDIA L4", 23_034 << 20)).method == "lora"


def test_what_fits_in_no_way_is_said_with_a_model_that_would():
    rows = made(400, shared=600, own=60)
    found = plan("8B", LLAMA, rows, TrainingSettings(), gpu("Tesla P4", 8 << 30), others=read_models().facts())
    assert found.fits is False
    assert found.minutes is None
    assert "needs at least" in found.problem
    assert "Qwen3-4B-Instruct-2507 would fit" in found.problem
    assert found.problem in found.sentence
    nothing = plan("8B", LLAMA, rows, TrainingSettings(), gpu("Old", 1 << 30), others=read_models().facts())
    assert "no model of the list would fit" in nothing.problem


def test_the_sentence_leaves_out_what_is_not_known():
    rows = made(1580, shared=330, own=55, per_step=13)
    settings = TrainingSettings(epochs=1, rows_per_step=13)
    facts = listed("SmolLM2-135M-Instruct")
    here = plan("it", facts, rows, settings, cpu(2, 24_000_000_000, True), usd_per_hour=1.5)
    assert here.sentence.startswith("1,580 rows, 122 steps, 0.6 M tokens of which 0.1 M unique (4.7 ×); about ")
    assert " min on 2 CPU cores, $0." in here.sentence
    assert here.sentence.endswith(" of 24 GB")
    elsewhere = plan("it", facts, rows, settings)
    assert elsewhere.minutes is None
    assert elsewhere.sentence.endswith(" of memory on")
    unknown = plan("it", None, rows, settings)
    assert unknown.sentence == "1,580 rows, 122 steps, 0.6 M tokens of which 0.1 M unique (4.7 ×)"
    assert plan("it", facts, rows, settings, gpu("Some GPU", 24 << 30)).minutes is None


def test_small_models_are_offered_with_all_weights():
    rows = made(400, shared=330, own=55)
    found = plan("it", listed("SmolLM2-135M-Instruct"), rows, TrainingSettings(), cpu(2, 24_000_000_000, True))
    assert found.offers
    assert "all weights" in found.offers[0]
    assert not plan("8B", LLAMA, rows, TrainingSettings(), A100_40).offers


def test_a_model_that_cannot_share_is_planned_side_by_side():
    rows = made(400, shared=600, own=60)
    blind = replace(LLAMA, config={"model_type": "mistral", "sliding_window": 512, "max_position_embeddings": 32768})
    found = plan("it", blind, rows, TrainingSettings(), A100_40)
    assert not found.shares
    assert found.ratio == 1
    assert "looks back 512 tokens" in found.reasons["shared prefixes"]
    assert "unique" not in found.sentence


def test_validations_take_time():
    rows = made(400, shared=600, own=60)
    short = plan("8B", LLAMA, rows, TrainingSettings(), A100_40)
    measured = plan("8B", LLAMA, rows, TrainingSettings(), A100_40, validation=made(200, 600, 60))
    assert short.minutes is not None
    assert measured.minutes is not None
    assert measured.minutes[0] > short.minutes[0]


@pytest.mark.parametrize(
    ("name", "peak"),
    [
        ("NVIDIA A100-SXM4-40GB", 312),
        ("NVIDIA H100 80GB HBM3", 989),
        ("NVIDIA H100 PCIe", 756),
        ("NVIDIA L40S", 362),
        ("NVIDIA L4", 121),
        ("NVIDIA A10G", 70),
        ("NVIDIA A10", 125),
        ("Tesla T4", 65),
        ("NVIDIA GeForce RTX 4090", 165),
        ("NVIDIA RTX 6000 Ada Generation", 364),
        ("Quadro K620", None),
    ],
)
def test_gpus_are_known_by_the_names_drivers_give(name, peak):
    assert peak_of(name) == (None if peak is None else peak * 1e12)
    speed = gpu(name, 0).flops
    assert speed is None if peak is None else speed == pytest.approx([share * peak * 1e12 for share in UTILISATION])


def test_rows_are_counted_by_the_tokenizer_or_by_characters(tmp_path):
    pytest.importorskip("tokenizers")
    from tokenizers import Tokenizer, models, pre_tokenizers

    raw = Tokenizer(models.WordLevel({"[UNK]": 0, "a": 1, "b": 2}, unk_token="[UNK]"))
    raw.pre_tokenizer = pre_tokenizers.Whitespace()
    raw.save(str(tmp_path / "tokenizer.json"))
    body = [{"prompt": "a b a b a b a b", "completion": "b a"} for _ in range(30)]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in body))
    messages = [{"messages": [{"role": "user", "content": "a b a b a b a b"}, {"role": "assistant", "content": "b a"}]}]
    (tmp_path / "messages.jsonl").write_text(json.dumps(messages[0]) + "\n")
    exact = read_rows([tmp_path / "rows.jsonl"], 4, 1, tmp_path / "tokenizer.json")
    assert exact.tokens == 30 * 11, "eight of the prompt, two of the completion, the end"
    assert exact.counted.startswith("by the model's tokenizer")
    assert read_rows([tmp_path / "messages.jsonl"], 4, 1, tmp_path / "tokenizer.json").tokens == 11
    rough = read_rows([tmp_path / "rows.jsonl"], 4, 1, None)
    assert rough.tokens == 30 * (4 + 1 + 1)
    assert "a quarter of their characters" in rough.counted
    (tmp_path / "tokenizer.json").write_text("{}")
    assert "a quarter" in read_rows([tmp_path / "rows.jsonl"], 5, 1, tmp_path / "tokenizer.json").counted


def test_a_step_that_is_too_large_is_halved_with_a_sentence():
    assert smaller(8, 8192, 43e9, 40e9) == (4, "a micro-batch of 8,192 tokens needs 43 GB of 40 GB; trying 4 of 8 rows at a time")
    assert smaller(3) == (1, "a micro-batch of 3 rows does not fit the memory; trying 1 of 3 rows at a time")
    assert smaller(1, 512, 3.14e9, 3e9)[0] is None
    assert "needs 3.1 GB of 3.0 GB; it cannot be smaller" in smaller(1, 512, 3.14e9, 3e9)[1]
