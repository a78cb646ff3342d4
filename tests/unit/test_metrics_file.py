"""The file of a run's metrics: what it holds is what the curves show, each step once."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from core.training.metrics import Curves, MetricsFile, read_curves

EVENTS = st.lists(st.tuples(st.integers(0, 9), st.sampled_from([("loss",), ("eval_loss",), ("loss", "grad_norm")]), st.floats(0, 9)))


def test_steps_done_again_replace_those_before(tmp_path):
    path = tmp_path / "metrics.jsonl"
    with MetricsFile(path) as file:
        for step, name, value in (
            (1, "loss", 3.0), (2, "loss", 2.0), (2, "eval_loss", 2.5), (3, "loss", 1.0), (2, "loss", 2.1), (2, "eval_loss", 2.6)
        ):  # fmt: skip
            file.add(step, {name: value})
    told = [json.loads(line) for line in path.read_text().splitlines()]
    assert told == [{"step": 1, "loss": 3.0}, {"step": 2, "loss": 2.1}, {"step": 2, "eval_loss": 2.6}]


@given(EVENTS)
def test_a_file_is_in_order_and_tells_nothing_twice(tmp_path_factory, events):
    path = tmp_path_factory.mktemp("metrics") / "metrics.jsonl"
    curves = Curves()
    with MetricsFile(path) as file:
        for step, names, value in events:
            values = dict.fromkeys(names, value)
            curves.add({"step": step, "values": values})
            file.add(step, values)
    told = [(line["step"], name) for line in map(json.loads, path.read_text().splitlines()) for name in line if name != "step"]
    assert len(told) == len(set(told))
    assert [step for step, _ in told] == sorted(step for step, _ in told)
    if events:
        last, names, value = events[-1]
        assert read_curves(path).train[-1:] == [(last, value)] or "loss" not in names
        assert set(read_curves(path).train) <= set(curves.train)
