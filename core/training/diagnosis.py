"""What loss curves say while a run goes on and at its end: one word, one sentence with its figures, and what to change.

The rules stand in their order in `_RULES`; the first that applies names the state. Training loss is noisy (completions are short), so it
is judged by medians and a moving average; validation loss is judged point by point.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cached_property
from statistics import fmean, median
from typing import Literal

from core.training.metrics import Curves, Points, averaged
from core.training.trend import mann_kendall, theil_sen

State = Literal[
    "learning", "converged", "underfitting", "overfitting", "diverged", "memorised", "broken labels", "plateau", "too few points",
]  # fmt: skip

HALF_LIFE = 10
"""Logs after which a training loss counts half in the average, or a twentieth of the run if that is more."""
FEW_VALIDATIONS = 4
"""Validation points below which nothing is said about fitting."""
RECENT = 5
"""Training logs, or a twentieth of the run if that is more, whose median is the loss of the moment: no single spike moves it."""
GUESSING = 6.0
"""Nats a label at which no instruct model begins whose prompts and labels are right; ln(vocabulary) is 10 to 12."""
LOGS_OF_GUESSING = 20
"""Logs a live run has to get away from that."""
RISE_OF_DIVERGENCE = 3.0
"""Times its least average that training loss reaches when a run diverges; half of that when gradients burst too."""
ABOVE_START = 2.0
"""Times the loss of the beginning that training loss reaches when a run diverges before it learns."""
BURST = 20.0
"""Times their median that gradient norms reach when a run diverges."""
GENERALISATION_LOSS = 5.0
"""Per cent by which the last validation loss of an overfitted run lies above the best (Prechelt 1998)."""
LEAST_RISE = 0.01
"""Nats a label below which a rise of validation loss is nothing, whatever its share."""
CHANCE = 0.1
"""p of Mann and Kendall's test below which points rise or fall."""
CHANCE_OF_THREE = 1 / 6
"""The least p three points can have."""
EXACT_TOLERANCE = 0.03
"""Share of validation rows that may be written exactly or not by chance."""
MEMORISED = 0.02
"""Training loss, nats a label, of rows known by heart."""
NOTHING_LEFT = 0.05
"""Validation loss, nats a label, below which more training has nothing to gain."""
STILL_FALLING = 0.01
"""Share of itself that validation loss loses by a tenth of all learning rate spent when a run ended too early."""
STILL_LEARNING = 0.02
"""Share of all it learnt that such a run learns by that tenth."""
HIGH = 0.9
"""Share of right validation labels below which a flat curve is a plateau; where it was not measured, a loss above HIGH_LOSS is."""
HIGH_LOSS = 1.0


@dataclass(frozen=True)
class Diagnosis:
    """A state and what it rests on."""

    state: State
    sentence: str
    """For people: the figures, and what to change."""
    change: str = ""
    """The part of the sentence that says what to change; "" for nothing."""
    evidence: tuple[str, ...] = ()
    """All figures looked at, whatever the state."""

    @property
    def good(self) -> bool:
        """False for a run that is broken or got worse: too little evidence does not stop the recipe, the tests decide."""
        return self.state not in ("broken labels", "diverged", "overfitting")

    def __str__(self) -> str:
        return f"{self.state}: {self.sentence}"


def diagnose(curves: Curves, finished: bool = True, planned: int | None = None) -> Diagnosis:
    """Judge a run by its points so far. `planned` is the number of optimizer steps it will have; a finished run needs none."""
    reading = _Reading(curves, finished, planned)
    for rule in _RULES:
        found = rule(reading)
        if found is not None:
            return replace(found, evidence=_evidence(reading))
    raise AssertionError("the last rule always applies")


@dataclass(frozen=True)
class _Reading:
    """The figures the rules look at."""

    curves: Curves
    finished: bool
    planned: int | None

    @cached_property
    def losses(self) -> list[float]:
        return [loss for _, loss in self.curves.train]

    @cached_property
    def twentieth(self) -> int:
        """Logs in a twentieth of the run as planned."""
        logs = len(self.losses)
        if self.planned and logs:
            logs = max(logs, round(logs * self.planned / max(1, self.curves.train[-1][0])))
        return logs // 20

    @cached_property
    def smooth(self) -> list[float]:
        """Moving average of training loss, by log."""
        return averaged(self.losses, 0.5 ** (1 / max(HALF_LIFE, self.twentieth)))

    @cached_property
    def start(self) -> float:
        """Training loss of the beginning."""
        return median(self.losses[: max(RECENT, self.twentieth)])

    @cached_property
    def level(self) -> float:
        """Training loss of the moment."""
        return median(self.losses[-max(RECENT, self.twentieth) :])

    @property
    def best(self) -> tuple[int, float]:
        best = self.curves.best
        assert best is not None
        return best

    @property
    def last(self) -> tuple[int, float]:
        return self.curves.validation[-1]

    @property
    def window(self) -> Points:
        """The last validation points: three, or three tenths of all."""
        validation = self.curves.validation
        return validation[-max(3, round(0.3 * len(validation))) :]

    @property
    def since_best(self) -> Points:
        """Validation points from the best on, at least those of the window."""
        validation = self.curves.validation
        return validation[min(validation.index(self.best), len(validation) - len(self.window)) :]

    @property
    def later(self) -> Points:
        """The last six tenths of the validation points."""
        validation = self.curves.validation
        return validation[-max(3, math.ceil(0.6 * len(validation))) :]

    def spent(self, step: int) -> float:
        """Share of all learning rate spent at a step, 0 to 1: near the end of a schedule little is learnt however much is left."""
        rates = self.curves.learning_rate
        total = sum(rate for _, rate in rates)
        return sum(rate for at, rate in rates if at <= step) / total if total > 0 else step / max(1, self.last[0])

    @property
    def generalisation_loss(self) -> float:
        """Per cent by which the last validation loss lies above the best (Prechelt's GL)."""
        return 100 * (self.last[1] / self.best[1] - 1) if self.best[1] > 0 else 0.0

    @property
    def exact_kept(self) -> bool:
        """Whether about as many validation rows are written exactly now as at the lowest validation loss."""
        then = next((share for step, share in self.curves.exact if step >= self.best[0]), 0.0)
        after = [share for step, share in self.curves.exact if step > self.best[0]][-3:]
        return then > EXACT_TOLERANCE and bool(after) and fmean(after) >= then - EXACT_TOLERANCE


def _found(state: State, seen: str, change: str = "") -> Diagnosis:
    return Diagnosis(state, f"{seen}; {change}" if change else seen, change)


def _no_number(run: _Reading) -> Diagnosis | None:
    """NaN and infinity never heal: the weights are lost."""
    curves = run.curves
    for name, points in (
        ("training loss", curves.train), ("validation loss", curves.validation), ("gradient norm", curves.grad_norm),
    ):  # fmt: skip
        step = next((step for step, value in points if not math.isfinite(value)), None)
        if step is not None and points[0][0] == step:
            change = "look for rows with extreme tokens and train with dtype float32"
            return _found("diverged", f"the {name} is no number from the beginning (step {step})", change)
        if step is not None:
            return _found("diverged", f"the {name} became infinite or no number at step {step}", _LOWER)
    return None


def _no_signal(run: _Reading) -> Diagnosis | None:
    """No label is learnt from: loss or gradient are zero from the beginning."""
    change = "look at the chat template and at which tokens of the rows are labels"
    for name, points in (("training loss", run.curves.train), ("gradient norm", run.curves.grad_norm)):
        first = [value for _, value in points[:3]]
        if len(first) == 3 and not any(first):
            return _found("broken labels", f"the {name} is 0 from the beginning", change)
    return None


def _no_gradient_left(run: _Reading) -> Diagnosis | None:
    """Weights so large that nothing depends on them any more: the loss stands still where it is."""
    points = run.curves.grad_norm
    if len(points) <= 3 or any(norm for _, norm in points[-3:]) or run.level < MEMORISED:
        return None
    return _found(
        "diverged", f"the gradient norm is 0 by step {points[-1][0]} while training loss is {run.level:.3f}", _LOWER
    )


def _runs_away(run: _Reading) -> Diagnosis | None:
    """Training loss far above what it was, for at least half of the last logs."""
    if len(run.losses) <= RECENT:
        return None
    least = min(run.smooth[RECENT - 1 :])  # an average of fewer is a matter of luck
    rose = run.level > ABOVE_START * run.start and run.smooth[-1] > 0.8 * ABOVE_START * run.start
    if rose and len(run.losses) >= 2 * RECENT:
        return _found("diverged", f"training loss rose from {run.start:.3f} to {run.level:.3f}", _LOWER)
    norms = [norm for _, norm in run.curves.grad_norm]
    burst = len(norms) > 2 * RECENT and min(norms[-3:]) > BURST * median(norms[:-3]) > 0
    # Near zero a loss of several times itself is the noise of single rows.
    if run.level < least + 0.1 * run.start or run.level < RISE_OF_DIVERGENCE * least / (2 if burst else 1):
        return None
    seen = f"training loss rose from {least:.3f} (average) to {run.level:.3f}"
    if burst:
        seen += f" while gradient norms went from {median(norms[:-3]):.2g} to {norms[-1]:.2g}"
    return _found("diverged", seen, _LOWER)


def _guesses(run: _Reading) -> Diagnosis | None:
    """A loss as high as that of guessing, and training does not help: prompts or labels are not what the model knows."""
    enough = 3 if run.finished else LOGS_OF_GUESSING
    if len(run.losses) < enough or run.start <= GUESSING or not run.start / 2 < run.level < 1.2 * run.start:
        return None
    seen = (
        f"training loss began at {run.start:.2f}, as if guessing among {math.exp(min(run.start, 30)):,.0f} tokens, "
        f"and is {run.level:.2f} after {len(run.losses)} logs"
    )
    return _found("broken labels", seen, "look at the chat template and at the first tokens of completions")


def _few(run: _Reading) -> Diagnosis | None:
    """Fitting cannot be judged yet; a live run may be seen to learn."""
    count = len(run.curves.validation)
    if count >= FEW_VALIDATIONS:
        return None
    if not run.finished and len(run.losses) >= 2 * RECENT and run.level < run.start:
        return _found("learning", f"training loss fell from {run.start:.3f} to {run.level:.3f}")
    points = f"{count} validation point{'' if count == 1 else 's'}"
    return _found("too few points", f"{points} and {len(run.losses)} logs say too little about the curve")


def _rises(run: _Reading) -> Diagnosis | None:
    """Validation loss gets worse: the rows are learnt by heart, the model is too sure of itself, or the learning rate is too high."""
    points = run.since_best
    chance = mann_kendall([loss for _, loss in points])
    rise = run.last[1] - run.best[1]
    clear = chance < CHANCE or (chance <= CHANCE_OF_THREE and run.generalisation_loss > 2 * GENERALISATION_LOSS)
    if run.generalisation_loss <= GENERALISATION_LOSS or rise < LEAST_RISE or not clear or theil_sen(points) <= 0:
        return None
    seen = (
        f"validation loss rose from {run.best[1]:.3f} at step {run.best[0]} to {run.last[1]:.3f} "
        f"({run.generalisation_loss:.0f} % above the best)"
    )
    if run.exact_kept:
        kept = f"{seen}, but rows written exactly did not become fewer: the model is surer of itself, not worse"
        if run.level < MEMORISED:
            return _found("memorised", kept, "nothing has to change; fewer epochs would do")
        return _found("converged" if run.finished else "learning", kept)
    then = [loss for (step, _), loss in zip(run.curves.train, run.smooth, strict=True) if step <= run.best[0]]
    if then and run.smooth[-1] > 1.05 * then[-1] and run.level > MEMORISED:
        return _found("diverged", f"{seen}, and training loss from {then[-1]:.3f} to {run.smooth[-1]:.3f}", _LOWER)
    return _found("overfitting", f"{seen} while training loss fell to {run.level:.3f}", _fewer_epochs(run))


def _by_heart(run: _Reading) -> Diagnosis | None:
    """Training rows are known, validation rows are not: the gap stays, and does no harm."""
    if not run.losses or run.level >= MEMORISED or run.last[1] < max(NOTHING_LEFT, 5 * run.level):
        return None
    seen = f"training loss is down to {run.level:.3f}, validation loss {run.last[1]:.3f} is not clearly rising"
    return _found("memorised", seen, "more epochs bring nothing, more rephrasings may")


def _goes_on(run: _Reading) -> Diagnosis | None:
    """How a run will end is not judged before it ends."""
    if run.finished:
        return None
    return _found("learning", f"validation loss {run.last[1]:.3f}, best {run.best[1]:.3f} at step {run.best[0]}")


def _ended_early(run: _Reading) -> Diagnosis | None:
    """Validation loss was still falling, by a share of itself and of all that was learnt."""
    later, last = run.later, run.last[1]
    chance = mann_kendall([-loss for _, loss in later])
    fall = -theil_sen([(run.spent(step), loss) for step, loss in later]) / 10
    learnt = max([run.curves.validation[0][1], *run.losses[:1]]) - last
    if last < NOTHING_LEFT or fall < max(STILL_FALLING * last, STILL_LEARNING * learnt):
        return None
    if chance >= CHANCE and not (len(later) == 3 and chance <= CHANCE_OF_THREE):
        return None
    seen = f"validation loss was still falling ({later[0][1]:.3f} at step {later[0][0]} to {last:.3f})"
    return _found("underfitting", seen, "more epochs or twice the learning rate may help")


def _high_and_flat(run: _Reading) -> Diagnosis | None:
    """Settled, but where too many labels are wrong."""
    accuracy = [share for _, share in run.curves.accuracy[-3:]]
    if (median(accuracy) >= HIGH) if accuracy else (run.last[1] <= HIGH_LOSS):
        return None
    right = f" with {100 * median(accuracy):.0f} % of labels right" if accuracy else ""
    seen = f"validation loss stays at {run.last[1]:.3f}{right}"
    return _found("plateau", seen, "look for contradictory rows, or take a larger adapter, learning rate or base model")


def _settled(run: _Reading) -> Diagnosis:
    return _found(
        "converged", f"validation loss settled at {run.last[1]:.3f}, best {run.best[1]:.3f} at step {run.best[0]}"
    )


_RULES = (
    _no_number, _no_signal, _no_gradient_left, _runs_away, _guesses, _few, _rises, _by_heart, _goes_on, _ended_early,
    _high_and_flat, _settled,
)  # fmt: skip
_LOWER = "lower the learning rate to a third"


def _fewer_epochs(run: _Reading) -> str:
    epochs = dict(run.curves.epoch).get(run.best[0])
    return f"train {epochs:.1f} epochs, or add rephrasings" if epochs else "train fewer epochs, or add rephrasings"


def _evidence(run: _Reading) -> tuple[str, ...]:
    found = []
    if run.losses:
        found.append(f"training loss {run.losses[0]:.3f} at first, {run.smooth[-1]:.3f} at last (average)")
    if run.curves.validation:
        found.append(f"validation loss {run.last[1]:.3f} at last, {run.best[1]:.3f} at best (step {run.best[0]})")
    for name, points in (("rows written exactly", run.curves.exact), ("labels right", run.curves.accuracy)):
        if points:
            most = max(share for _, share in points)
            found.append(f"{name} {100 * points[-1][1]:.1f} % at last, {100 * most:.1f} % at best")
    norms = [norm for _, norm in run.curves.grad_norm if math.isfinite(norm)]
    if norms:
        found.append(f"gradient norm {median(norms):.2g}, at most {max(norms):.2g}")
    steps = spikes(run.curves.train)
    if steps:
        named = ", ".join(str(step) for step in steps[:5])
        found.append(
            f"{len(steps)} single spike{'' if len(steps) == 1 else 's'} of training loss (step {named}), recovered"
        )
    return tuple(found)


def spikes(train: Points) -> list[int]:
    """Steps whose training loss alone lies 8 median absolute deviations above the median of the logs around it."""
    found = []
    for at, (step, loss) in enumerate(train):
        around = [
            value for _, value in (*train[max(0, at - 10) : at], *train[at + 1 : at + 11]) if math.isfinite(value)
        ]
        # At the beginning all is higher than what follows; at the end nothing has recovered yet.
        if at >= 3 and len(around) >= HALF_LIFE and at + 1 < len(train) and math.isfinite(loss):
            middle = median(around)
            deviation = median(abs(value - middle) for value in around)
            if loss > max(middle + 8 * deviation, 2 * middle) and train[at + 1][1] < loss / 2:
                found.append(step)
    return found
