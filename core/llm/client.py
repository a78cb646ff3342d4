"""One client for every OpenAI-compatible endpoint: as many calls at once as it bears, limits, retries, a cache, a budget."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Self
from weakref import WeakValueDictionary

from core.errors import ProviderError, UsageError
from core.llm.breaker import Breaker
from core.llm.cache import CompletionCache, key_of
from core.llm.failure import Failure, backoff, failure_of
from core.llm.keys import SERVICE, filled_in, find_key
from core.llm.meter import Meter
from core.llm.pace import SYSTEM_CLOCK, Clock, Pace
from core.llm.rate import UNLIMITED, Limits, Rate

if TYPE_CHECKING:
    import openai

_OPTIONAL = ("temperature", "max_tokens")


@dataclass(frozen=True)
class Endpoint:
    """Where a model is served."""

    base_url: str | None
    """Such as http://127.0.0.1:8000/v1; None for OpenAI's own. `${VARIABLE}` is filled from the environment when it is used."""
    model: str
    api_key_variable: str | None = None
    """Environment variable (or keyring entry) holding the key; None for servers without one."""
    timeout_seconds: float = 60.0
    api_key: str | None = None
    """A key made up for a server of our own; never one of the owner's, and never shown."""
    keeps_to_grammar: bool = False
    """True for a server that lets a model write only what a grammar in the request allows."""

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
        meter: Meter | None = None,
        limits: Limits = UNLIMITED,
        clock: Clock = SYSTEM_CLOCK,
        cached_as: str | None = None,
        extra_body: Mapping[str, Any] | None = None,
    ) -> None:
        """`concurrency` is the most calls at once; `cached_as` names the model in the cache where its address is another each time.

        `extra_body` goes into every request beside what the protocol knows, such as a grammar, and tells completions apart in the cache.
        Raises UsageError when the key is found nowhere.
        """
        self.endpoint = endpoint
        self._cached_as = cached_as
        self._extra = {"extra_body": dict(extra_body)} if extra_body else {}
        self._retries, self._cache, self._clock = retries, cache, clock
        self._meter = meter or Meter(None)
        self._pace, self._rate = Pace(concurrency, clock), Rate(limits, clock)
        self._breaker = Breaker(repr(endpoint), clock)
        self._refused: set[str] = set()
        self._asking: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._client = new_client(endpoint)
        self._create: Any = self._client.chat.completions.create  # looked up here: it imports half the package

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._client.close()

    async def complete(
        self, messages: Sequence[dict[str, str]], temperature: float = 0.0, max_tokens: int = 256
    ) -> Completion:
        """One completion. Models that take no temperature are asked without one.

        Raises ProviderError after the last try, BudgetReached when it might cost more than is left.
        """
        request = {**request_body(self.endpoint, messages, temperature, max_tokens), **self._extra}
        if self._cache is None:
            return await self._paid(request)
        identity = identified(self.endpoint, request, self._cached_as)
        asking = self._asking.setdefault(key_of(identity), asyncio.Lock())  # the same twice at once is paid once
        async with asking:
            if (known := self._cache.get(identity)) is None:
                return await self._paid(request, identity)
        completion = replace(known, cached=True)
        self._meter.add(completion)
        return completion

    async def _paid(self, request: dict[str, Any], identity: dict[str, Any] | None = None) -> Completion:
        """An answer of the endpoint, within the budget; durable in the cache, under `identity`, before it counts."""
        characters = sum(len(message["content"]) for message in request["messages"])
        most_tokens = request["max_tokens"]
        async with self._meter.reserve(characters, most_tokens):
            completion = await self._ask(request, self._meter.expected_tokens(characters) + most_tokens)
            if self._cache is not None and identity is not None:
                self._cache.put(identity, completion)
            self._meter.add(completion, characters)
        return completion

    async def _ask(self, request: dict[str, Any], expected_tokens: int) -> Completion:
        """Try until it is answered or trying is no use."""
        attempt = 0
        while True:
            accepted = self._accepted(request)
            async with self._pace.slot():
                self._breaker.check()
                await self._rate.take(expected_tokens)
                answer = await self._try(accepted)
            if isinstance(answer, Completion):
                self._rate.settle(expected_tokens, answer.prompt_tokens + answer.completion_tokens)
                return answer
            if answer.refused_parameter in accepted and answer.refused_parameter in _OPTIONAL:
                self._refused.add(answer.refused_parameter)
                continue
            if not answer.passing or attempt == self._retries:
                raise ProviderError(f"{self.endpoint!r} {answer.reason}") from answer.error
            if answer.pause_seconds is None:
                await self._clock.sleep(backoff(attempt))
            attempt += 1

    async def _try(self, accepted: dict[str, Any]) -> Completion | Failure:
        """One try; pace and breaker learn how it went while the slot is still held."""
        import openai

        started = self._clock.now()
        try:
            answer = await self._create(**accepted)
            completion = completion_of(answer, self._clock.now() - started)
        except (openai.OpenAIError, ValueError) as error:
            failure = failure_of(error, self.endpoint)
            if failure.crowded:
                self._pace.refused(started)
            elif failure.passing:
                self._breaker.failed(failure.reason)
            if failure.passing and failure.pause_seconds is not None:
                self._pace.pause(failure.pause_seconds)
            return failure
        self._pace.answered(completion.seconds)
        self._breaker.succeeded()
        return completion

    def _accepted(self, request: dict[str, Any]) -> dict[str, Any]:
        """The request without parameters this endpoint has refused; reasoning models know another word for `max_tokens`."""
        accepted = {name: value for name, value in request.items() if name not in self._refused}
        if "max_tokens" in self._refused:
            accepted["max_completion_tokens"] = request["max_tokens"]
        return accepted


def new_client(endpoint: Endpoint) -> openai.AsyncOpenAI:
    """The `openai` package's client for an endpoint. Raises UsageError when the key is found nowhere."""
    import openai

    return openai.AsyncOpenAI(
        base_url=filled_in(endpoint.base_url),
        api_key=_key(endpoint),
        timeout=endpoint.timeout_seconds,
        max_retries=0,
    )


def request_body(
    endpoint: Endpoint, messages: Sequence[dict[str, str]], temperature: float, max_tokens: int
) -> dict[str, Any]:
    """What is sent for one completion."""
    return {
        "model": endpoint.model,
        "messages": list(messages),
        "temperature": temperature,
        "max_tokens": max_tokens,
    }


def identified(endpoint: Endpoint, request: dict[str, Any], cached_as: str | None = None) -> dict[str, Any]:
    """What a completion is found by in a cache: the request, and where it was asked (or what stands for that)."""
    return {"address": cached_as or endpoint.base_url, **request}


def completion_of(answer: Any, seconds: float) -> Completion:
    """Read an answer of the protocol. Raises ValueError when it is none."""
    try:
        text, usage = answer.choices[0].message.content or "", answer.usage
        counts = (usage.prompt_tokens or 0, usage.completion_tokens or 0) if usage else (0, 0)
    except (AttributeError, IndexError, TypeError) as error:
        raise ValueError("this is no chat completion") from error
    if not isinstance(text, str):
        raise ValueError("the content is no text")
    return Completion(text, *counts, seconds)


def _key(endpoint: Endpoint) -> str:
    if endpoint.api_key is not None:
        return endpoint.api_key
    if endpoint.api_key_variable is None:
        return "none"  # the openai package insists on one
    key = find_key(endpoint.api_key_variable)
    if not key and endpoint.base_url is None:
        raise UsageError(
            f"the environment variable {endpoint.api_key_variable} is not set; {endpoint.model} needs its key there, "
            f"or in the keyring: keyring set {SERVICE} {endpoint.api_key_variable}"
        )
    return key or "none"
