"""Every way to compute attention over a tree has the loss and gradient of plain rows in the model's own attention."""

from __future__ import annotations

import random

import pytest

torch = pytest.importorskip("torch")

from tests.rigs.program import module  # noqa: E402

attention, self_check, tree, flash = map(module, ("attention", "self_check", "tree", "attention_flash"))
attention.register()


def model(heads: int = 4, key_heads: int = 2):
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(1)
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=50,
            hidden_size=16 * heads,
            intermediate_size=48,
            num_hidden_layers=3,
            num_attention_heads=heads,
            num_key_value_heads=key_heads,
        )
    )


def rows(*tokens: list[int], labels_from: int = 8):
    return [{"input_ids": row, "labels_from": min(labels_from, len(row) - 1)} for row in tokens]


def random_rows(seed: int, count: int = 9):
    """Rows that fork off one another at any place."""
    chance = random.Random(seed)
    found = [[chance.randrange(3, 50) for _ in range(chance.randrange(2, 40))]]
    while len(found) < count:
        beginning = chance.choice(found)[: chance.randrange(0, 30)]
        found.append([*beginning, *(chance.randrange(3, 50) for _ in range(chance.randrange(2, 12)))])
    return [{"input_ids": row, "labels_from": chance.randrange(1, len(row))} for row in found]


PROMPT = [1, 2, 3, 4, 5, 6, 7]
SHAPES = {
    "one row": rows([*PROMPT, 8, 9]),
    "two rows that share nothing": rows([5, 6, 7, 8], [9, 10, 11], labels_from=2),
    "the same row twice": rows([*PROMPT, 8, 9], [*PROMPT, 8, 9]),
    "a row that another begins with": rows([*PROMPT, 8], [*PROMPT, 8, 9, 10], labels_from=6),
    "two levels": rows(*([*PROMPT, 8, 9, 10 + n] for n in range(5)), *([*PROMPT[:4], 30 + n, 40] for n in range(3))),
    **{f"random {seed}": random_rows(seed) for seed in range(6)},
}


def reference_kernel(
    q, k, v, *, cu_seqlens_q, cu_seqlens_k, max_seqlen_q, max_seqlen_k, softmax_scale, causal
):  # fmt: skip
    """flash_attn_varlen_func by its documentation: causal masks aligned to the lower right corner."""
    assert causal
    assert q.shape[0] == cu_seqlens_q[-1]
    assert max_seqlen_q == (cu_seqlens_q[1:] - cu_seqlens_q[:-1]).max()
    assert max_seqlen_k == (cu_seqlens_k[1:] - cu_seqlens_k[:-1]).max()
    out = []
    for at in range(len(cu_seqlens_q) - 1):
        one = q[cu_seqlens_q[at] : cu_seqlens_q[at + 1]].transpose(0, 1)
        keys, values = (part[cu_seqlens_k[at] : cu_seqlens_k[at + 1]].transpose(0, 1) for part in (k, v))
        sees = torch.ones(one.shape[1], keys.shape[1], dtype=torch.bool).tril(keys.shape[1] - one.shape[1])
        out.append(
            torch.nn.functional.scaled_dot_product_attention(
                one[None], keys[None], values[None], attn_mask=sees, scale=softmax_scale, enable_gqa=True
            )[0].transpose(0, 1)
        )
    return torch.cat(out)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("way", ["flash", "fused", "blocks"])
def test_a_tree_trains_as_its_rows_would(way, shape, monkeypatch):
    monkeypatch.setattr(flash, "kernel", lambda: reference_kernel)
    loss, gradient = self_check.differences(model(), SHAPES[shape], way)
    assert loss < 1e-5
    assert gradient < 1e-5


@pytest.mark.parametrize("way", ["flash", "fused", "blocks"])
@pytest.mark.parametrize("heads", [(4, 4), (4, 1)])
def test_heads_may_have_keys_of_their_own_or_share_them(way, heads, monkeypatch):
    monkeypatch.setattr(flash, "kernel", lambda: reference_kernel)
    loss, gradient = self_check.differences(model(*heads), random_rows(7), way)
    assert loss < 1e-5
    assert gradient < 1e-5


@pytest.mark.filterwarnings("ignore:flex_attention called without torch.compile")
@pytest.mark.parametrize("shape", SHAPES)
def test_flex_sees_what_rows_see(shape):
    """On a CPU torch has only its forward pass."""
    judged, collate = model(), module("rows").FoldRows()
    with torch.no_grad():
        plain = sum(module("trainer").summed_loss(judged, collate([row]), None) for row in SHAPES[shape])
        judged.set_attn_implementation(attention.NAME)
        assert float(module("trainer").summed_loss(judged, collate(SHAPES[shape]), "flex")) == pytest.approx(
            float(plain), rel=1e-5
        )


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU: flash and compiled FlexAttention kernels are not run")
@pytest.mark.parametrize("way", ["flash", "flex", "blocks"])
def test_a_gpu_computes_the_same(way):
    device = torch.device("cuda")
    try:
        attention.choose_way(way, device)
    except ValueError as error:
        pytest.skip(str(error))
    on_gpu = model().to(device)
    loss, gradient = self_check.differences(on_gpu, random_rows(3), way, mixed=True)
    assert loss < 0.05
    assert gradient < 0.1


def test_a_cpu_takes_its_fused_kernel_and_says_why():
    way, reason = attention.choose_way("auto", torch.device("cpu"))
    assert way == "fused"
    assert "no flash: it needs a GPU" in reason
    with pytest.raises(ValueError, match="cannot be computed by flash here: it needs a GPU"):
        attention.choose_way("flash", torch.device("cpu"))
    with pytest.raises(ValueError, match="no way to compute attention"):
        attention.choose_way("magic", torch.device("cpu"))
