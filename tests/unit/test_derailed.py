"""Training loss of production runs beside that of the run before: sound pairs, derailed ones, and what is said of them."""

from __future__ import annotations

import math

import pytest

from core.training.derailed import follows
from core.training.metrics import Curves
from core.wizard.work.production import course_gate
from tests.rigs.paired_curves import DERAILED, pair


def test_sound_runs_follow_the_earlier_one():
    found = [follows(later, earlier, passes) for earlier, later, passes in (pair(None, seed) for seed in range(200))]
    assert sum(one.followed for one in found) >= 198, [one.sentence for one in found if not one.followed]


@pytest.mark.parametrize("kind", DERAILED)
def test_derailed_runs_do_not(kind):
    found = [follows(later, earlier, passes) for earlier, later, passes in (pair(kind, seed) for seed in range(200))]
    assert sum(not one.followed for one in found) >= 194, [one.sentence for one in found if one.followed]


def falling(logs: int, level: float = 0.0, stride: int = 2, passes: float = 2.0, until: float = 1.0) -> Curves:
    curves = Curves()
    for log in range(1, round(until * logs) + 1):
        loss = level + 2 * math.exp(-4 * log / logs)
        curves.add({"step": log * stride, "values": {"loss": loss, "epoch": passes * log / logs}})
    return curves


def test_the_sentence_says_where_and_by_how_much():
    earlier, later = falling(60), falling(80)
    for at, (step, loss) in enumerate(later.train[60:], 60):
        later.train[at] = step, loss + 0.4
    found = follows(later, earlier, 2.0)
    assert not found.followed
    assert found.sentence.startswith("left it at 79 % of the run and was 0.4")
    assert found.sentence.endswith(" sd above)")
    assert " instead of 0.0" in found.sentence


def test_a_lower_loss_than_more_steps_explain_is_told_too():
    found = follows(falling(60), falling(60, level=0.3))
    assert not found.followed
    assert found.sentence.endswith(" sd below)")


def test_an_earlier_run_that_was_stopped_is_compared_as_far_as_it_came():
    earlier = falling(60, until=0.5)
    assert earlier.epoch[-1][1] == pytest.approx(1.0)
    assert follows(falling(60), earlier, 2.0).followed
    assert not follows(falling(60, level=0.5), earlier, 2.0).followed
    assert not follows(falling(60), earlier).followed, "without the passes it would be taken for a whole run"


def test_a_single_spike_and_values_that_are_no_numbers_change_nothing():
    later = falling(60)
    later.train[30], later.train[45] = (62, 40.0), (92, math.nan)
    assert follows(later, falling(60), 2.0).followed


@pytest.mark.parametrize("logs", [0, 1, 19])
def test_few_logs_are_not_compared(logs):
    found = follows(falling(60, level=5), falling(logs), 2.0)
    assert found.followed
    assert f"{logs} logs are too few" in found.sentence


def test_the_gate_reads_what_the_steps_left(tmp_path):
    for name, level in (("earlier", 0.0), ("same", 0.0), ("other", 1.0)):
        curves = falling(60, level)
        lines = [
            f'{{"step": {step}, "loss": {loss}, "epoch": {epoch}}}\n'
            for (step, loss), (_, epoch) in zip(curves.train, curves.epoch, strict=True)
        ]
        (tmp_path / name).write_text("".join(lines))
    same, other = (course_gate(tmp_path / name, tmp_path / "earlier", 2.0) for name in ("same", "other"))
    assert (same.passed, same.detail) == (True, "")
    assert not other.passed
    assert other.measured.startswith("left it at ")
    assert "look at the rows" in other.detail
