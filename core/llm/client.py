"""One client for every OpenAI-compatible endpoint: bounded concurrency, retries with jitter, a cache, errors as sentences."""

from __future__ import annotations

import asyncio
import os
import random
import re
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from core.errors import ProviderError, UsageError
from core.llm.cache import CompletionCache

if TYPE_CHECKING:
    import openai

_VARIABLE = re.compile(r"\$\{(\w+)\}")
RETRIED_STATUSES = frozenset({408, 409, 425, 429, 500, 502, 503, 504, 529})
LONGEST_WAIT_SECONDS = 120.0
"""An endpoint that asks for a longer pause (`Retry-After`) is given up at once."""
_OPTIONAL = ("temperature", "max_tokens")
Sleep = Callable[[float], Awaitable[None]]


@dataclass(frozen=True)
class Endpoint:
    """Where a model is served."""

    base_url: str | None
    """Such as http://127.0.0.1:8000/v1; None for OpenAI's own. `${VARIABLE}` is filled from the environment when it is used."""
    model: str
    api_key_variable: str | None = None
    """Environment variable holding the key; None for servers without one."""
    timeout_seconds: float = 60.0
    api_key: str | None = None
    """A key made up for a server of our own; never one of the owner's, and never shown."""

    def __repr__(self) -> str:
        return f"Endpoint({self.model!r} at {self.base_url or 'api.openai.com'})"


@dataclass(frozen=True)
class Completion:
    """One answer."""

    text: str
    prompt_tokens: int = 0
    completion_tokens: int = 0
    seconds: float = 0.0
    cached: bool = False


class ChatClient:
    """Asks one endpoint. Use as an async context manager."""

    def __init__(
        self,
        endpoint: Endpoint,
        concurrency: int = 8,
        retries: int = 5,
        cache: CompletionCache | None = None,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        """Raises UsageError when the key's environment variable is not set."""
        import openai

        self.endpoint = endpoint
        self._retries = retries
        self._cache = cache
        self._sleep = sleep
        self._slots = asyncio.Semaphore(concurrency)
        self._refused: set[str] = set()
        self._client = openai.AsyncOpenAI(
            base_url=_expanded(endpoint.base_url),
            api_key=_key(endpoint),
            timeout=endpoint.timeout_seconds,
            max_retries=0,
        )

    async def __aenter__(self) -> ChatClient:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._client.close()

    async def complete(
        self, messages: Sequence[dict[str, str]], temperature: float = 0.0, max_tokens: int = 256
    ) -> Completion:
        """One completion. Raises ProviderError after the last try. Models that take no temperature are asked without one."""
        request: dict[str, Any] = {
            "model": self.endpoint.model,
            "messages": list(messages),
            "temperature": temperature,
            "max_tokens": max_tokens,
        }
        identity = {"address": self.endpoint.base_url, **request}
        if self._cache is not None and (known := self._cache.get(identity)) is not None:
            return replace(known, cached=True)
        async with self._slots:
            completion = await self._ask(request)
        if self._cache is not None:
            self._cache.put(identity, completion)
        return completion

    async def _ask(self, request: dict[str, Any]) -> Completion:
        import openai

        attempt = 0
        while True:
            accepted = self._accepted(request)
            started = time.monotonic()
            try:
                answer = await self._client.chat.completions.create(**accepted)
                return _completion(answer, time.monotonic() - started)
            except (openai.OpenAIError, ValueError) as error:
                refused = _refused_parameter(error)
                if refused in accepted and refused in _OPTIONAL:
                    self._refused.add(refused)
                    continue
                wait = _wait(error, attempt)
                if wait is None or attempt == self._retries:
                    raise ProviderError(f"{self.endpoint!r} {_in_words(error, self.endpoint)}") from error
            await self._sleep(wait)
            attempt += 1

    def _accepted(self, request: dict[str, Any]) -> dict[str, Any]:
        """The request without parameters this endpoint has refused; reasoning models know another word for `max_tokens`."""
        accepted = {name: value for name, value in request.items() if name not in self._refused}
        if "max_tokens" in self._refused:
            accepted["max_completion_tokens"] = request["max_tokens"]
        return accepted


def _completion(answer: Any, seconds: float) -> Completion:
    try:
        text, usage = answer.choices[0].message.content or "", answer.usage
        counts = (usage.prompt_tokens or 0, usage.completion_tokens or 0) if usage else (0, 0)
    except (AttributeError, IndexError, TypeError) as error:
        raise ValueError("this is no chat completion") from error
    if not isinstance(text, str):
        raise ValueError("the content is no text")
    return Completion(text, *counts, seconds)


def _refused_parameter(error: Exception) -> str | None:
    import openai

    if not isinstance(error, openai.APIStatusError) or error.code not in ("unsupported_parameter", "unsupported_value"):
        return None
    return error.param


def _wait(error: Exception, attempt: int) -> float | None:
    """Seconds until the next try; None when trying again will not help."""
    import openai

    if isinstance(error, openai.APIStatusError):
        if error.status_code not in RETRIED_STATUSES:
            return None
        asked = _retry_after(error)
        if asked is not None:
            return asked if asked <= LONGEST_WAIT_SECONDS else None
    return min(30.0, 0.5 * 2.0**attempt) * random.uniform(0.5, 1.5)


def _retry_after(error: openai.APIStatusError) -> float | None:
    """Seconds, as the endpoint asks for; None when it gives none, or a date."""
    try:
        return max(0.0, float(error.response.headers["retry-after"]))
    except (KeyError, ValueError):
        return None


def _in_words(error: Exception, endpoint: Endpoint) -> str:
    import openai

    if isinstance(error, openai.APITimeoutError):
        return f"did not answer within {endpoint.timeout_seconds:g} s; is the server busy or down?"
    if isinstance(error, openai.APIConnectionError):
        return f"cannot be reached: {error.__cause__ or error}; check the address"
    if not isinstance(error, openai.APIStatusError):
        return f"answered something unreadable: {error}"
    body = error.body if isinstance(error.body, dict) else {}
    said = f"refused: HTTP {error.status_code}: {str(body.get('message') or error.message)[:300]}"
    if error.status_code in (401, 403):
        key = endpoint.api_key_variable
        return f"{said}; check the key in {key}" if key else f"{said}; name the environment variable with its key"
    if error.status_code == 404:
        return f"{said}; check the address and the model's name"
    if (seconds := _retry_after(error)) is not None and seconds > LONGEST_WAIT_SECONDS:
        return f"{said}; it asks to come back in {seconds:g} s"
    return said


def _expanded(url: str | None) -> str | None:
    def value(match: re.Match[str]) -> str:
        if match[1] not in os.environ:
            raise UsageError(f"the address {url} needs the environment variable {match[1]}, which is not set")
        return os.environ[match[1]]

    return None if url is None else _VARIABLE.sub(value, url)


def _key(endpoint: Endpoint) -> str:
    if endpoint.api_key is not None:
        return endpoint.api_key
    if endpoint.api_key_variable is None:
        return "none"  # the openai package insists on one
    key = os.environ.get(endpoint.api_key_variable)
    if not key and endpoint.base_url is None:
        raise UsageError(
            f"the environment variable {endpoint.api_key_variable} is not set; {endpoint.model} needs its key there"
        )
    return key or "none"
