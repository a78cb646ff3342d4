"""What went wrong with a call: whether trying again helps, how long to wait, and how to say it."""

from __future__ import annotations

import random
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from core.llm.keys import find_key

if TYPE_CHECKING:
    import openai

    from core.llm.client import Endpoint

RETRIED_STATUSES = frozenset({408, 409, 425, 429, 500, 502, 503, 504, 529})
LONGEST_WAIT_SECONDS = 120.0
"""An endpoint that asks for a longer pause (`Retry-After`) is given up at once."""
_NO_MONEY_LEFT = "insufficient_quota"
"""OpenAI's code of a refusal that looks like a busy server (429) and is final."""


@dataclass(frozen=True)
class Failure:
    """A try that gave no completion."""

    error: Exception
    reason: str
    """A clause that follows the endpoint's name: "refused: HTTP 500: …"."""
    passing: bool
    """True when trying again may help."""
    crowded: bool = False
    """True when fewer calls at once would help: refused as one too many, or not answered in time."""
    pause_seconds: float | None = None
    """What the endpoint asks for."""
    refused_parameter: str | None = None
    """The parameter of the request that this model does not take."""


def failure_of(error: Exception, endpoint: Endpoint) -> Failure:
    """Read an exception of the `openai` package, or a ValueError about its answer. What the endpoint says is told without the key."""
    failure = _read(error, endpoint)
    key = endpoint.api_key or (find_key(endpoint.api_key_variable) if endpoint.api_key_variable else None)
    return replace(failure, reason=failure.reason.replace(key, "[the key]")) if key else failure


def _read(error: Exception, endpoint: Endpoint) -> Failure:
    import openai

    if isinstance(error, openai.APITimeoutError):
        said = f"did not answer within {endpoint.timeout_seconds:g} s; is the server busy or down?"
        return Failure(error, said, passing=True, crowded=True)
    if isinstance(error, openai.APIConnectionError):
        return Failure(error, f"cannot be reached: {error.__cause__ or error}; check the address", passing=True)
    if not isinstance(error, openai.APIStatusError):
        return Failure(error, f"answered something unreadable: {error}", passing=True)
    asked = _retry_after(error)
    passing = error.status_code in RETRIED_STATUSES and error.code != _NO_MONEY_LEFT
    return Failure(
        error,
        _in_words(error, endpoint, asked),
        passing=passing and (asked is None or asked <= LONGEST_WAIT_SECONDS),
        crowded=error.status_code in (408, 429),
        pause_seconds=asked,
        refused_parameter=error.param if error.code in ("unsupported_parameter", "unsupported_value") else None,
    )


def backoff(attempt: int) -> float:
    """Seconds to wait after the given try, counted from 0: doubling, and different for each call."""
    return float(min(30.0, 0.5 * 2.0**attempt) * random.uniform(0.5, 1.5))


def _retry_after(error: openai.APIStatusError) -> float | None:
    """Seconds, as the endpoint asks for; None when it gives none, or a date."""
    try:
        return max(0.0, float(error.response.headers["retry-after"]))
    except (KeyError, ValueError):
        return None


def _in_words(error: openai.APIStatusError, endpoint: Endpoint, asked: float | None) -> str:
    body = error.body if isinstance(error.body, dict) else {}
    said = f"refused: HTTP {error.status_code}: {str(body.get('message') or error.message)[:300]}"
    if error.status_code in (401, 403):
        key = endpoint.api_key_variable
        return f"{said}; check the key in {key}" if key else f"{said}; name the environment variable with its key"
    if error.status_code == 404:
        return f"{said}; check the address and the model's name"
    if asked is not None and asked > LONGEST_WAIT_SECONDS:
        return f"{said}; it asks to come back in {asked:g} s"
    return said
