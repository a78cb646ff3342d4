"""The language models of a preparation: one that annotates and checks, one that rephrases (often the same), under one budget."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.assistant.settings import ModelEndpoint
from core.dialogue.generator import endpoint_of
from core.errors import UsageError
from core.llm.batch import answer_in_batches
from core.llm.cache import CompletionCache
from core.llm.client import ChatClient
from core.llm.keys import find_key
from core.llm.meter import Budget, Meter
from core.llm.providers import OPENAI, PROVIDERS
from core.llm.rate import UNLIMITED, Limits
from core.llm.spend import PRICES_VARIABLE, Price, read_prices


@dataclass(frozen=True)
class Terms:
    """What calls may take."""

    concurrency: int = 8
    """Most calls at once, of each model."""
    limits: Limits = UNLIMITED
    """Of each model."""
    budget_usd: float | None = None
    """Of all models together; None for no limit."""


@dataclass
class Models:
    """Opens clients that share a cache and a budget. Use as an async context manager."""

    cache_file: Path
    terms: Terms
    on_cost: Callable[[float], None] = lambda _: None
    """Told the dollars spent so far, by all models, after each answer."""

    def __post_init__(self) -> None:
        self._stack, self._budget = AsyncExitStack(), Budget(self.terms.budget_usd)
        self._clients: dict[tuple[ModelEndpoint, int], ChatClient] = {}
        self._meters: dict[ModelEndpoint, Meter] = {}
        self.cache = CompletionCache(self.cache_file)

    async def __aenter__(self) -> Models:
        self._stack.callback(self.cache.close)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    async def client(self, model: ModelEndpoint, run: int = 0) -> ChatClient:
        """The one client of a model; that of a later `run` does not take what an earlier one was answered.

        Raises UsageError when its key is missing, or its price where a budget is to be kept.
        """
        if (model, run) not in self._clients:
            meter = self._meters.get(model) or Meter(self._price(model), self._budget, self._tell)
            terms, endpoint = self.terms, endpoint_of(model)
            client = ChatClient(
                endpoint,
                terms.concurrency,
                cache=self.cache,
                meter=meter,
                limits=terms.limits,
                cached_as=f"{endpoint.base_url} run {run + 1}" if run else None,
            )
            self._clients[model, run] = await self._stack.enter_async_context(client)
            self._meters[model] = meter
        return self._clients[model, run]

    async def ask_in_batches(
        self, model: ModelEndpoint, wanted: Mapping[str, dict[str, Any]], on_progress: Callable[[int, int], None]
    ) -> None:
        """Have requests answered by OpenAI's Batch API, into the cache. Raises ProviderError, BudgetReached."""
        await self.client(model)
        await answer_in_batches(endpoint_of(model), wanted, self.cache, self._meters[model], on_progress)

    @property
    def calls(self) -> int:
        """Answers that this work took so far, out of the cache or not."""
        return sum(meter.answered.calls for meter in self._meters.values())

    def _tell(self, meter: Meter) -> None:
        if meter.price is not None:
            self.on_cost(self._budget.spent)

    def _price(self, model: ModelEndpoint) -> Price | None:
        price = price_of(model)
        if price is None and self.terms.budget_usd is not None and model.api_base is None:
            raise UsageError(
                f"the price of {model.model} is not known, so no budget can be kept; write it into a file of your own and "
                f"name that in {PRICES_VARIABLE}, or leave budget_usd empty"
            )
        return price


def price_of(model: ModelEndpoint) -> Price | None:
    """Of a provider's model by the price table; that of a server of one's own by the owner's entries only."""
    return read_prices(hosted=model.api_base is None).price(model.model)


def within_reach(model: ModelEndpoint | None) -> bool:
    """True for a model whose key is at hand, or that is served at an address of its own."""
    if model is None or model.api_base is not None:
        return model is not None
    variable = endpoint_of(model).api_key_variable
    return variable is None or find_key(variable) is not None


def named_model(name: str, address: str | None, key_variable: str | None) -> ModelEndpoint:
    """A model as answers name it: `provider/model`, or `model` for OpenAI's, or any name at an address."""
    provider, slash, model = name.partition("/")
    if slash and provider in (OPENAI, *PROVIDERS):
        return ModelEndpoint(model, provider, address, key_variable, timeout_seconds=120.0)
    return ModelEndpoint(name, "self-hosted" if address else OPENAI, address, key_variable, timeout_seconds=120.0)
