"""Curves like those of LoRA runs, of every state, with their noise.

Training loss decays with the learning rate spent so far and falls at epoch borders; each log is the mean of few short completions, so its
noise is a share of it, with a long upper tail. Validation is the same rows each time: smoother, but its noise does not average out.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from core.training.metrics import Curves


@dataclass
class Run:
    """A run to come: its length, schedule and noise. Curves are functions of the share of the learning rate spent, 0 to 1."""

    random: np.random.Generator
    logs: int = 0
    stride: int = 0
    validations: int = 0
    epochs: int = 0
    schedule: str = ""
    noise: float = 0.0
    validation_noise: float = 0.0
    start: float = 0.0

    def __post_init__(self) -> None:
        draw = self.random
        self.logs = self.logs or round(math.exp(draw.uniform(math.log(20), math.log(400))))
        self.stride = int(draw.integers(1, 8))
        self.validations = self.validations or int(draw.integers(5, 21))
        self.epochs = int(draw.integers(1, 6))
        self.schedule = str(draw.choice(["linear", "cosine", "constant"], p=[0.5, 0.35, 0.15]))
        self.noise = draw.uniform(0.1, 0.35)
        self.validation_noise = draw.uniform(0.004, 0.018)
        self.start = draw.uniform(0.9, 3.5)

    @property
    def steps(self) -> int:
        return self.logs * self.stride

    def rate(self, time: float) -> float:
        """Learning rate at a share of the run, warm-up included."""
        warm = min(1.0, time / 0.05)
        if self.schedule == "constant":
            return 1e-4 * warm
        return 1e-4 * warm * (1 - time if self.schedule == "linear" else (1 + math.cos(math.pi * time)) / 2)

    def spent(self, time: float) -> float:
        """Share of the learning rate spent at a share of the run."""
        if self.schedule == "constant":
            return time
        return 2 * time - time**2 if self.schedule == "linear" else time + math.sin(math.pi * time) / math.pi

    def noisy(self, loss: float) -> float:
        """What a log shows: log-normal, and now and then a batch of hard rows."""
        hard = self.random.uniform(1.5, 6) if self.random.random() < 0.02 else 1.0
        return loss * hard * math.exp(self.random.normal(0, self.noise))

    def curves(
        self,
        train: Callable[[float], float],
        validation: Callable[[float], float],
        exact: Callable[[float], float],
        accuracy: Callable[[float], float],
        norm: Callable[[float], float] = lambda time: 1.0,
        until: float = 1.0,
    ) -> Curves:
        """Events of a run whose ideal curves are functions of the share of the run, 0 to 1."""
        found = Curves()
        measured = {round(self.steps * n / self.validations) for n in range(1, self.validations + 1)}
        for log in range(1, self.logs + 1):
            step, time = log * self.stride, log / self.logs
            if time > until:
                break
            loss = train(time)
            values = {
                "loss": self.noisy(loss),
                "grad_norm": norm(time) * math.exp(self.random.normal(0, 0.4)) * (0.2 + min(loss, 2)),
                "learning_rate": self.rate(time),
                "epoch": self.epochs * time,
            }
            found.add({"step": step, "values": values})
            if any(step - self.stride < at <= step for at in measured):
                found.add({"step": step, "values": self._validated(time, validation, exact, accuracy)})
        return found

    def _validated(self, time: float, *ideal: Callable[[float], float]) -> Mapping[str, float]:
        loss, exact, accuracy = (curve(time) for curve in ideal)
        share = exact + self.random.normal(0, 0.012)
        return {
            "eval_loss": loss * math.exp(self.random.normal(0, self.validation_noise)),
            "eval_exact_match": min(1.0, max(0.0, share)),
            "eval_token_accuracy": min(1.0, max(0.0, accuracy + self.random.normal(0, 0.004))),
        }


def _stairs(run: Run, time: float, depth: float) -> float:
    """What training loss loses at each epoch border: rows seen before are known."""
    return depth ** math.floor(run.epochs * time - 1e-9)


def _decay(run: Run, floor: float, speed: float) -> Callable[[float], float]:
    return lambda time: floor + (run.start - floor) * math.exp(-speed * run.spent(time))


def _learning(run: Run, until: float = 1.0, speed: tuple[float, float] = (6, 14)) -> Curves:
    draw = run.random
    rate, floor = draw.uniform(*speed), draw.uniform(0.08, 0.4)
    ideal, depth, top = _decay(run, 0.6 * floor, rate), draw.uniform(0.75, 0.97), draw.uniform(0.75, 0.95)
    return run.curves(
        lambda time: ideal(time) * _stairs(run, time, depth),
        _decay(run, floor, rate),
        lambda time: top * (1 - math.exp(-rate * run.spent(time))),
        lambda time: 0.7 + _right_labels(top, run.spent(time), rate),
        until=until,
    )


def _right_labels(top: float, spent: float, rate: float) -> float:
    """Right labels above 70 %, for a share of rows written exactly at the end."""
    return (0.23 + 0.06 * top) * (1 - math.exp(-rate * spent))


def learning(run: Run) -> Curves:
    return _learning(run, run.random.uniform(0.35, 0.95))


def converged(run: Run) -> Curves:
    return _learning(run)


def underfitting(run: Run) -> Curves:
    """Too few steps or too low a learning rate: little of the way is gone."""
    return _learning(run, speed=(0.5, 2.2))


def overfitting(run: Run) -> Curves:
    """Validation loss turns while training loss goes on; so do the rows written exactly."""
    draw = run.random
    speed, floor, turn = draw.uniform(5, 12), draw.uniform(0.15, 0.5), draw.uniform(0.15, 0.5)
    rise, lost, top = draw.uniform(0.2, 1.5), draw.uniform(0.08, 0.25), draw.uniform(0.5, 0.85)
    train, depth = _decay(run, 0.02, speed), draw.uniform(0.5, 0.85)
    down = _decay(run, floor, speed / run.spent(turn) / 2)

    def past(time: float) -> float:
        return max(0.0, run.spent(time) - run.spent(turn)) / (1 - run.spent(turn))

    return run.curves(
        lambda time: train(time) * _stairs(run, time, depth),
        lambda time: down(time) * (1 + rise * past(time)),
        lambda time: top * (1 - math.exp(-6 * time / turn)) - lost * past(time),
        lambda time: 0.93 - 0.2 * math.exp(-6 * time / turn) - 0.1 * lost * past(time),
    )


def memorised(run: Run) -> Curves:
    """Short completions known by heart: validation loss is flat or rises from over-confidence, rows written exactly still grow."""
    draw = run.random
    floor, rise = draw.uniform(0.12, 0.4), draw.choice([0.0, draw.uniform(0.1, 0.8)])
    train, top = _decay(run, 0.001, draw.uniform(7, 11)), draw.uniform(0.7, 0.93)
    down = _decay(run, floor, draw.uniform(12, 20))
    return run.curves(
        lambda time: train(time) * 0.5 ** min(3, math.floor(4 * time)),
        lambda time: down(time) * (1 + rise * max(0.0, run.spent(time) - 0.4)),
        lambda time: top * (1 - math.exp(-4 * run.spent(time))) + 0.04 * time,
        lambda time: 0.95 - 0.2 * math.exp(-8 * run.spent(time)),
    )


def plateau(run: Run) -> Curves:
    """Little is learnt: labels that contradict each other, or a model that is too small."""
    draw = run.random
    floor, speed = draw.uniform(0.6, 0.9) * run.start, draw.uniform(8, 20)
    ideal, top = _decay(run, floor, speed), draw.uniform(0.0, 0.3)
    return run.curves(
        lambda time: ideal(time) * _stairs(run, time, 0.98),
        _decay(run, 1.05 * floor, speed),
        lambda time: top * (1 - math.exp(-4 * time)),
        lambda time: 0.6 + 0.5 * top * (1 - math.exp(-4 * time)),
    )


def diverged(run: Run) -> Curves:
    """Learns, then within a few logs jumps to a high loss and stays there; or rises from the warm-up on; or becomes NaN."""
    draw = run.random
    kind = draw.choice(["jump", "climb", "nan"], p=[0.5, 0.3, 0.2])
    begin, high = draw.uniform(0.2, 0.75), draw.uniform(0.7, 4) * run.start
    ideal = _decay(run, draw.uniform(0.1, 0.3), draw.uniform(5, 12))
    if kind == "climb":
        begin, ideal, high = 0.03, (lambda time: run.start), draw.uniform(2.2, 5) * run.start

    def train(time: float) -> float:
        if time < begin:
            return ideal(time)
        if kind == "nan":
            return math.nan
        done = 1 - math.exp(-12 * (time - begin))
        return ideal(begin) * (1 - done) + high * done

    def validation(time: float) -> float:
        return 1.1 * train(time)

    return run.curves(
        train,
        validation,
        lambda time: 0.6 if time < begin else 0.0,
        lambda time: 0.9 if time < begin else 0.1,
        lambda time: 1.0 if time < begin else draw.uniform(5, 200),
    )


def broken_labels(run: Run) -> Curves:
    """Everything masked, no gradient, or labels behind a template the model does not know."""
    draw = run.random
    kind = draw.choice(["masked", "no gradient", "template"], p=[0.2, 0.2, 0.6])
    start = draw.uniform(8, 11.9)
    level = {"masked": 0.0, "no gradient": run.start, "template": start}[str(kind)]
    slow = draw.uniform(0.68, 0.95) if kind == "template" else 1.0
    run.noise = min(run.noise, 0.12)  # a mean over tokens that are all as unlikely

    def train(time: float) -> float:
        return level * (slow + (1 - slow) * math.exp(-6 * run.spent(time)))

    none = 0.0 if kind != "template" else 1.0
    return run.curves(train, train, lambda time: 0.0, lambda time: 0.1, lambda time: none)


def too_few_points(run: Run) -> Curves:
    """A healthy run that was hardly validated."""
    run.validations = int(run.random.integers(1, 4))
    return _learning(run)


STATES: Mapping[str, Callable[[Run], Curves]] = {
    "learning": learning,
    "converged": converged,
    "underfitting": underfitting,
    "overfitting": overfitting,
    "memorised": memorised,
    "plateau": plateau,
    "diverged": diverged,
    "broken labels": broken_labels,
    "too few points": too_few_points,
}


def curves_like(state: str, seed: int) -> tuple[Curves, int]:
    """(curves of a run in that state, optimizer steps it was planned to have)."""
    run = Run(np.random.default_rng([seed, *state.encode()]))
    return STATES[state](run), run.steps
