"""What a run uses of its models, added up; and the budget that stops it before it costs more."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from core.errors import BudgetReached
from core.llm.spend import Price, Usage

if TYPE_CHECKING:
    from core.llm.client import Completion

_TOKENS_PER_CHARACTER = 0.5
"""Of a prompt, until answers tell better; high, so that a budget holds."""


class Budget:
    """Dollars that all models of a run may cost together.

    A call is made only when its dearest outcome still fits, so the budget is not passed. A try that fails is taken to be free.
    """

    def __init__(self, usd: float | None = None) -> None:
        """None for no limit."""
        self.usd = usd
        self.spent = 0.0
        self._promised, self._under_way = 0.0, 0
        self._reached = False
        self._changed = asyncio.Condition()

    @asynccontextmanager
    async def room_for(self, usd: float) -> AsyncIterator[None]:
        """Keeps room while a call is under way, waiting for others to end. Raises BudgetReached when there will be none."""
        if self.usd is None:
            yield
            return
        async with self._changed:
            while self._reached or self.spent + self._promised + usd > self.usd:
                if not self._under_way:
                    self._reached = True  # for cheaper calls too: they would be stopped half-way with the run
                    raise BudgetReached(
                        f"the budget of ${self.usd:,.2f} is reached: ${self.spent:,.4f} are spent and the next call may cost "
                        f"${usd:,.4f}. What was answered is kept and is not paid again; raise budget_usd to go on"
                    )
                await self._changed.wait()
            self._promised, self._under_way = self._promised + usd, self._under_way + 1
        try:
            yield
        finally:
            self._under_way -= 1
            self._promised = self._promised - usd if self._under_way else 0.0
            async with self._changed:
                self._changed.notify_all()


@dataclass
class Meter:
    """Adds up what a run uses of one model."""

    price: Price | None
    """None when the model's price is not known (or it costs nothing)."""
    budget: Budget = field(default_factory=Budget)
    """Shared by the models of a run."""
    on_answer: Callable[[Meter], None] = lambda _: None
    """Called after each answer."""
    answered: Usage = field(default_factory=Usage)
    """All answers, those out of the cache included; the same for each run of the same work."""
    paid: Usage = field(default_factory=Usage)
    """Answers the endpoint gave."""
    _ratio: float = field(default=0.0, repr=False)
    _spent: float = field(default=0.0, repr=False)

    @asynccontextmanager
    async def reserve(
        self, prompt_characters: int, most_tokens: int, share_of_price: float = 1.0
    ) -> AsyncIterator[None]:
        """Keeps room in the budget for one call, or one batch. Raises BudgetReached."""
        dearest = Usage(1, self.expected_tokens(prompt_characters), most_tokens)
        async with self.budget.room_for(self.price.of(dearest) * share_of_price if self.price else 0.0):
            yield

    def expected_tokens(self, prompt_characters: int) -> int:
        """Tokens of a prompt, by the most any answered one had for its length."""
        return int(prompt_characters * (self._ratio or _TOKENS_PER_CHARACTER)) + 1

    def add(self, completion: Completion, prompt_characters: int = 0, share_of_price: float = 1.0) -> None:
        usage = Usage(1, completion.prompt_tokens, completion.completion_tokens)
        self.answered += usage
        if not completion.cached:
            self.paid += usage
            cost = self.price.of(usage) * share_of_price if self.price else 0.0
            self._spent += cost
            self.budget.spent += cost
            if prompt_characters:
                self._ratio = max(self._ratio, completion.prompt_tokens / prompt_characters)
        self.on_answer(self)

    @property
    def usd(self) -> float | None:
        """Spent so far on this model, None when the price is not known."""
        return self._spent if self.price else None
