"""Plans of any size: more is never less."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from core.training.base_models import read_models
from core.training.hardware import gpu, together
from core.training.memory import Load, memory
from core.training.out_of_memory import smaller
from core.training.plan import TrainingSettings
from core.training.planner import SPARE, plan
from core.training.row_tokens import RowSet, folded
from core.training.tree import Row

MODELS = read_models().facts()
GPUS = [gpu(name, size << 30) for name, size in (("A100", 80), ("A100", 40), ("L4", 24), ("T4", 16), ("Old", 8))]


def rows(count: int, shared: int, own: int, per_step: int) -> RowSet:
    step = tuple(
        Row([*range(shared), *range(10**6 * (n + 1), 10**6 * (n + 1) + own)], shared + own - 2) for n in range(per_step)
    )
    return RowSet(count, count * (shared + own), shared + own, (step,), "as made")


sizes = st.tuples(st.integers(1, 5000), st.integers(1, 800), st.integers(3, 90), st.sampled_from([1, 4, 6, 8]))
models, gpus = st.sampled_from(MODELS), st.sampled_from(GPUS)


@given(sizes, models, gpus, st.integers(1, 3000))
@settings(max_examples=100, deadline=None)
def test_more_rows_take_no_less_time(size, facts, card, more):
    count, shared, own, per_step = size
    asked = TrainingSettings(rows_per_step=per_step)
    few = plan("it", facts, rows(count, shared, own, per_step), asked, card)
    many = plan("it", facts, rows(count + more, shared, own, per_step), asked, card)
    assert (few.minutes is None) == (many.minutes is None)
    if few.minutes and many.minutes:
        assert many.minutes[0] >= few.minutes[0]
        assert many.minutes[1] >= few.minutes[1]
    assert many.memory == few.memory


@given(sizes, models, st.integers(1, 500))
@settings(max_examples=100, deadline=None)
def test_a_longer_prompt_takes_no_less_memory(size, facts, longer):
    count, shared, own, per_step = size
    asked = TrainingSettings(rows_per_step=per_step)
    short, long = (plan("it", facts, rows(count, length, own, per_step), asked) for length in (shared, shared + longer))
    assert short.memory is not None
    assert long.memory is not None
    assert long.memory.total >= short.memory.total


@given(sizes, models, gpus)
@settings(max_examples=100, deadline=None)
def test_what_fits_fits_and_what_does_not_says_so(size, facts, card):
    count, shared, own, per_step = size
    found = plan(
        "it", facts, rows(count, shared, own, per_step), TrainingSettings(rows_per_step=per_step), card, others=MODELS
    )
    assert found.memory is not None
    assert found.fits == (found.memory.total <= round(card.memory * (1 - SPARE)))
    assert bool(found.problem) == (not found.fits)
    assert not found.problem or " would fit" in found.problem
    assert per_step % found.micro_rows == 0
    assert found.unique_tokens <= found.tokens + 1


@given(sizes, models, gpus, st.integers(2, 8), st.sampled_from(["auto", "lora", "full"]))
@settings(max_examples=60, deadline=None)
def test_more_gpus_never_do_less(size, facts, card, count, method):
    several, asked = together(card, count), TrainingSettings(rows_per_step=size[3], method=method)
    one, more = (plan("it", facts, rows(*size), asked, hardware, others=MODELS) for hardware in (card, several))
    assert more.memory is not None
    assert more.fits == (more.memory.total <= round(card.memory * (1 - SPARE)))
    assert more.fits or not one.fits
    assert not (more.sharded and one.fits and one.method == more.method), "weights are shared out only where one does not hold them"
    assert max(1, size[3] // count) % more.micro_rows == 0


@given(models, st.integers(1, 20_000), st.integers(1, 256), st.sampled_from([0.0, 0.5]))
def test_each_saving_saves(facts, tokens, rank, share):
    load = Load(tokens, min(tokens, 100))
    kept, again = (memory(facts, load, rank, checkpointed=of).total for of in (share, share + 0.5))
    assert share == 0.0 or again <= kept
    assert memory(facts, load, rank, method="qlora").total < memory(facts, load, rank).total
    assert memory(facts, replace(load, tokens=tokens + 1), rank).total >= memory(facts, load, rank).total


@given(sizes)
@settings(max_examples=50, deadline=None)
def test_smaller_micro_batches_share_and_hold_no_more(size):
    count, shared, own, per_step = size
    step = rows(count, shared, own, per_step)
    whole, single = folded(step, per_step), folded(step, 1)
    assert single.ratio <= whole.ratio
    assert single.peak.tokens <= whole.peak.tokens


@given(st.integers(1, 10**6), st.floats(1e9, 1e11), st.floats(1e9, 1e11))
def test_halving_ends(rows, needed, available):
    tries = 0
    following: int | None = rows
    while following is not None:
        following, said = smaller(following, 100 * following, needed, available)
        assert said.startswith("a micro-batch of ")
        tries += 1
    assert tries <= 21
