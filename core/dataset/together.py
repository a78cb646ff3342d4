"""Waiting for many things at once."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from typing import Any, TypeVar

S = TypeVar("S")
T = TypeVar("T")


async def together(coroutines: Iterable[Coroutine[Any, Any, T]]) -> list[T]:
    """The results in order. The first failure cancels the rest and is raised, so that no answer is paid for in vain."""
    tasks = [asyncio.create_task(coroutine) for coroutine in coroutines]
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def each(items: Iterable[S], work: Callable[[S], Awaitable[T]], at_once: int) -> list[T]:
    """What `work` makes of each item, in order; only `at_once` items are taken from the iterable at a time."""
    results: dict[int, T] = {}
    left = iter(enumerate(items))

    async def worker() -> None:
        for at, item in left:
            results[at] = await work(item)

    await together(worker() for _ in range(at_once))
    return [results[at] for at in range(len(results))]
