"""What curves say: rules one by one, synthetic runs of every state, and runs watched from log to log."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator

import numpy as np
import pytest
from scipy.stats import kendalltau, theilslopes

from core.training.diagnosis import Diagnosis, diagnose, spikes
from core.training.metrics import Curves, averaged
from core.training.trend import mann_kendall, theil_sen
from tests.rigs.curves import STATES, curves_like

HEALTHY = ("learning", "converged", "memorised")
BROKEN = {"diverged", "overfitting", "broken labels"}


@pytest.mark.parametrize("state", STATES)
def test_runs_of_every_state_are_told_apart(state):
    found = Counter(
        diagnose(curves, finished=state != "learning", planned=steps).state
        for curves, steps in (curves_like(state, seed) for seed in range(200))
    )
    assert found[state] >= 190, found
    if state in HEALTHY:
        assert not BROKEN & set(found), found


@pytest.mark.parametrize("state", [*HEALTHY, "underfitting", "plateau", "too few points"])
def test_no_sound_run_is_stopped_at_any_log(state):
    for seed in range(40):
        curves, steps = curves_like(state, seed)
        for so_far in watched(curves):
            assert diagnose(so_far, finished=False, planned=steps).good, (seed, so_far.train[-1])


@pytest.mark.parametrize("state", sorted(BROKEN))
def test_a_broken_run_is_seen_before_its_end(state):
    stops = []
    for seed in range(40):
        curves, steps = curves_like(state, seed)
        stops += [
            so_far.train[-1][0] / steps
            for so_far in watched(curves)
            if not diagnose(so_far, finished=False, planned=steps).good
        ][:1]
    assert len(stops) >= 38
    assert sum(stops) / len(stops) < 0.7, "much of the run must be saved"


def watched(curves: Curves) -> Iterator[Curves]:
    """The curves as they grow; at every third log, which is enough to see a false alarm last."""
    names = list(vars(curves))
    for step, _ in curves.train[::3] + curves.train[-1:]:
        yield Curves(**{name: [point for point in getattr(curves, name) if point[0] <= step] for name in names})


@pytest.mark.parametrize(
    ("exact", "state"),
    [
        ([0.2, 0.5, 0.7, 0.7, 0.8, 0.7], "converged"),
        ([0.2, 0.5, 0.7, 0.7, 0.7, 0.6], "overfitting"),
        ([0.0] * 6, "overfitting"),
    ],
)
def test_loss_that_rises_while_as_many_rows_are_written_exactly_is_no_overfitting(exact, state):
    losses = [1.0, 0.5, 0.4, 0.5, 0.6, 0.8]
    curves = Curves([(n, 2 * 0.9**n) for n in range(40)])
    for n, (loss, share) in enumerate(zip(losses, exact, strict=True)):
        curves.add({"step": 5 * n, "values": {"eval_loss": loss, "eval_exact_match": share}})
    assert curves.exact[-1] == (25, exact[-1])
    assert diagnose(curves).state == state


@pytest.mark.parametrize(
    ("train_loss", "validation", "state"),
    [
        ([2 * 0.8**n for n in range(40)], [2 * 0.8**n + 0.3 for n in range(0, 40, 5)], "memorised"),
        ([1.0] * 10 + [float("nan")], [1.0] * 5, "diverged"),
        ([2 * 0.8**n for n in range(20)] + [3.0] * 20, [1.0] * 5, "diverged"),
        ([2 * 0.9**n for n in range(40)], [1.0, 0.5, 0.4, 0.5, 0.6, 0.8], "overfitting"),
        ([2 * 0.98**n for n in range(40)], [2.0, 1.7, 1.4, 1.2, 1.0, 0.8], "underfitting"),
        ([1.0, 0.5], [1.0], "too few points"),
    ],
)
def test_what_a_curve_says(train_loss, validation, state):
    curves = Curves(list(enumerate(train_loss)), [(5 * n, loss) for n, loss in enumerate(validation)])
    assert diagnose(curves).state == state


def test_repeated_steps_after_a_resume_replace_the_earlier():
    curves = Curves()
    for step, loss in ((1, 3.0), (2, 2.0), (3, 1.0), (2, 2.1), (3, 1.1)):
        curves.add({"step": step, "values": {"loss": loss}})
    assert curves.train == [(1, 3.0), (2, 2.1), (3, 1.1)]


def test_averages_begin_at_the_first_value():
    assert averaged([4.0])[0] == pytest.approx(4.0)
    assert math.isnan(averaged([float("nan"), 1.0])[0])


def run(losses, validation=(), every=5, finished=True, **others):
    """The diagnosis of a few numbers; validation every so many steps."""
    curves = Curves(list(enumerate(losses, 1)), [(every * n, loss) for n, loss in enumerate(validation, 1)])
    for name, values in others.items():
        setattr(curves, name, list(enumerate(values, 1)))
    return diagnose(curves, finished)


FALLING = [2 * 0.9**n for n in range(40)]


def test_a_sentence_has_the_figures_and_what_to_change():
    found = run(FALLING, [1.0, 0.5, 0.4, 0.5, 0.6, 0.8], epoch=[n / 10 for n in range(1, 41)])
    assert found.sentence == (
        "validation loss rose from 0.400 at step 15 to 0.800 (100 % above the best) while training loss fell to 0.041; "
        "train 1.5 epochs, or add rephrasings"
    )
    assert found.sentence.endswith(found.change)
    assert str(found) == f"overfitting: {found.sentence}"
    assert found.evidence[0] == "training loss 2.000 at first, 0.206 at last (average)"
    assert found.evidence[1] == "validation loss 0.800 at last, 0.400 at best (step 15)"
    assert not found.good


@pytest.mark.parametrize("name", ["validation", "grad_norm"])
def test_one_value_that_is_no_number_is_the_end(name):
    curves = Curves(list(enumerate(FALLING)))
    setattr(curves, name, [(1, 1.0), (2, math.inf), (3, 1.0)])
    assert "became infinite or no number at step 2; lower" in diagnose(curves).sentence


def test_a_run_without_numbers_from_the_beginning_is_not_about_the_learning_rate():
    found = run([math.nan] * 4)
    assert found.state == "diverged"
    assert "from the beginning (step 1)" in found.sentence
    assert "float32" in found.change


def test_labels_that_teach_nothing_are_seen_at_once():
    assert run([0.0] * 3, finished=False).state == "broken labels"
    assert run([2.0] * 3, grad_norm=[0.0] * 3, finished=False).state == "broken labels"
    assert run([2.0] * 6, grad_norm=[3.0, 3.0, 2.0, 0.0, 0.0, 0.0], finished=False).state == "diverged"
    assert run([2.0, 1e-3, 0.0, 0.0], grad_norm=[3.0, 0.1, 0.0, 0.0]).good, "known by heart"


def test_a_high_beginning_that_is_soon_left_is_no_broken_template():
    assert run([8 * 0.9**n for n in range(40)]).state == "too few points"
    guessing = [11.8 - 0.01 * n for n in range(40)]
    assert run(guessing[:19], finished=False).good, "the learning rate has to warm up"
    found = run(guessing[:20], finished=False)
    assert found.state == "broken labels"
    assert "as if guessing among 130," in found.sentence


def test_gradients_that_burst_make_half_the_rise_enough():
    losses = [*FALLING[:12], *[0.5] * 20, *[1.1] * 4]
    calm, burst = [1.0] * 36, [1.0] * 32 + [50.0] * 4
    assert run(losses, grad_norm=calm).good
    found = run(losses, grad_norm=burst)
    assert found.state == "diverged"
    assert "gradient norms went from 1 to 50" in found.sentence


def test_a_single_spike_is_noted_and_changes_nothing():
    losses = [0.5 + 0.01 * (n % 3) for n in range(40)]
    losses[25] = 9.0
    found = run(losses, [0.5] * 6, accuracy=[0.95] * 6)
    assert found.state == "converged"
    assert "1 single spike of training loss (step 26), recovered" in found.evidence
    assert spikes([(n, 1.0) for n in range(40)]) == []


def test_a_finished_run_learns_no_more():
    assert run(FALLING[:12], finished=False).state == "learning"
    assert run(FALLING[:12]).state == "too few points"
    assert run([], finished=False).state == "too few points"
    for state in STATES:
        for seed in range(20):
            assert diagnose(curves_like(state, seed)[0]).state != "learning"


def test_the_learning_rate_that_is_left_counts_not_the_steps():
    losses = [2 - n / 40 for n in range(40)]
    validation = [1.0, 0.7, 0.6, 0.55, 0.53, 0.515, 0.505, 0.5]
    assert run(losses, validation).state == "converged"
    spent = [1.0] * 15 + [0.02] * 25
    assert run(losses, validation, learning_rate=spent).state == "underfitting"


def test_flat_and_high_is_a_plateau():
    flat = [0.8, 0.81, 0.8, 0.79, 0.8, 0.8]
    assert run([0.8] * 40, flat, accuracy=[0.7] * 6).state == "plateau"
    assert run([0.8] * 40, flat, accuracy=[0.95] * 6).state == "converged"
    assert run([0.8] * 40, flat).state == "converged", "without accuracy the loss decides"
    assert run([1.8] * 40, [2 * loss for loss in flat]).state == "plateau"


def test_only_what_is_broken_or_got_worse_is_not_good():
    assert {state for state in STATES if not Diagnosis(state, "").good} == BROKEN


def test_the_trend_is_that_of_scipy():
    random = np.random.default_rng(0)
    for count in [*range(2, 12), 30]:
        for drift in (-0.3, 0.0, 0.3):
            values = [float(value) for value in random.normal(size=count) + drift * np.arange(count)]
            steps = sorted(float(step) for step in random.choice(1000, count, replace=False))
            assert theil_sen(list(zip(steps, values, strict=True))) == pytest.approx(theilslopes(values, steps)[0])
            p = kendalltau(range(count), values, method="exact", alternative="greater").pvalue
            assert mann_kendall(values) == pytest.approx(p)
    assert theil_sen([(1, 2.0)]) == theil_sen([(1, 2.0), (1, 3.0)]) == 0
    assert mann_kendall([1.0, 1.0, 1.0]) == 1
