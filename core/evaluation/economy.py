"""What a turn takes: seconds, tokens, money. Measured on the turns of an evaluation."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from core.dialogue.source import Prediction
from core.evaluation.statistics import percentile
from core.llm.spend import Price, Usage


@dataclass(frozen=True)
class Economy:
    """Of one model, over the turns it was asked about."""

    seconds: tuple[float, ...] = ()
    """Of each call, at the number of requests at a time that the evaluation made."""
    usage: Usage = field(default_factory=Usage)
    at_once: int = 1
    """Requests that were under way at a time."""
    price: Price | None = None
    """Of its tokens; None for a server of one's own."""
    machine_usd_per_hour: float | None = None
    """Of the machine it runs on; None when that is not known."""

    @property
    def usd_per_1000_turns(self) -> float | None:
        """By tokens where these have a price, else by the machine's time at this load; None when neither is known."""
        if not self.seconds:
            return None
        if self.price is not None:
            return 1000 * self.price.of(self.usage) / len(self.seconds)
        if self.machine_usd_per_hour is None:
            return None
        return 1000 * self.machine_usd_per_hour / 3600 * sum(self.seconds) / len(self.seconds) / self.at_once

    @property
    def facts(self) -> dict[str, Any]:
        """JSON-ready: latency (p50, p90, p99 in seconds), requests_at_once, tokens (prompt and completion, means of a turn),
        usd_per_1000_turns."""
        turns = len(self.seconds)
        if not turns:
            return {}
        usd = self.usd_per_1000_turns
        return {
            "latency": {f"p{q}": round(percentile(self.seconds, q / 100) or 0.0, 3) for q in (50, 90, 99)},
            "requests_at_once": self.at_once,
            "tokens": {
                "prompt": round(self.usage.prompt_tokens / turns, 1),
                "completion": round(self.usage.completion_tokens / turns, 1),
            },
            "usd_per_1000_turns": None if usd is None else round(usd, 4),
        }


def economy_of(
    predictions: Iterable[Prediction],
    at_once: int,
    price: Price | None = None,
    machine_usd_per_hour: float | None = None,
) -> Economy:
    """Economy of predictions that a model was asked for; those made without asking one do not count.

    An answer out of a cache counts with the time it took when it was given.
    """
    asked = [prediction for prediction in predictions if prediction.completion is not None]
    usage = Usage(
        len(asked),
        sum(prediction.prompt_tokens for prediction in asked),
        sum(prediction.completion_tokens for prediction in asked),
    )
    return Economy(tuple(prediction.seconds for prediction in asked), usage, at_once, price, machine_usd_per_hour)
