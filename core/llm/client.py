"""One client for every OpenAI-compatible endpoint: bounded concurrency, retries with jitter, a cache, errors as sentences."""

from __future__ import annotations

import asyncio
import os
import random
import re
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from core.errors import ProviderError, UsageError
from core.llm.cache import CompletionCache

_VARIABLE = re.compile(r"\$\{(\w+)\}")
RETRIED_STATUSES = frozenset({408, 409, 425, 429, 500, 502, 503, 504, 529})
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
        """One completion. Raises ProviderError after the last try."""
        request: dict[str, Any] = {
            "model": self.endpoint.model,
            "messages": list(messages),
            "temperature": temperature,
            "max_tokens": max_tokens,
        }
        if self._cache is not None and (known := self._cache.get(request)) is not None:
            return replace(known, cached=True)
        async with self._slots:
            completion = await self._ask(request)
        if self._cache is not None:
            self._cache.put(request, completion)
        return completion

    async def _ask(self, request: dict[str, Any]) -> Completion:
        import openai

        for attempt in range(self._retries + 1):
            started = time.monotonic()
            try:
                answer = await self._client.chat.completions.create(**request)
                return _completion(answer, time.monotonic() - started)
            except openai.APIStatusError as error:
                if error.status_code not in RETRIED_STATUSES or attempt == self._retries:
                    raise ProviderError(
                        f"{self.endpoint!r} refused: HTTP {error.status_code}: {_reason(error)}"
                    ) from error
                wait = _retry_after(error)
            except openai.APITimeoutError as error:
                if attempt == self._retries:
                    limit = self.endpoint.timeout_seconds
                    raise ProviderError(
                        f"{self.endpoint!r} did not answer within {limit:g} s; is the server busy or down?"
                    ) from error
                wait = None
            except openai.APIConnectionError as error:
                if attempt == self._retries:
                    raise ProviderError(
                        f"{self.endpoint!r} cannot be reached: {error.__cause__ or error}; check the address"
                    ) from error
                wait = None
            except (openai.OpenAIError, ValueError) as error:
                if attempt == self._retries:
                    raise ProviderError(f"{self.endpoint!r} answered something unreadable: {error}") from error
                wait = None
            await self._sleep(wait if wait is not None else min(30.0, 0.5 * 2**attempt) * random.uniform(0.5, 1.5))
        raise AssertionError("the last attempt returns or raises")


def _completion(answer: Any, seconds: float) -> Completion:
    choices = getattr(answer, "choices", None)
    if not choices or choices[0].message is None:
        raise ValueError("no choices")
    usage = answer.usage
    return Completion(
        choices[0].message.content or "",
        usage.prompt_tokens if usage else 0,
        usage.completion_tokens if usage else 0,
        seconds,
    )


def _reason(error: Any) -> str:
    body = error.body if isinstance(error.body, dict) else {}
    return str(body.get("message") or error.message)[:300]


def _retry_after(error: Any) -> float | None:
    try:
        return max(0.0, float(error.response.headers["retry-after"]))
    except (KeyError, ValueError):
        return None


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
