"""Requests answered in batches, against a server on loopback that speaks OpenAI's files and batches."""

from __future__ import annotations

import asyncio

import pytest
from rigs.batch_server import BatchServer

from core.errors import BudgetReached
from core.llm.batch import POLL_SECONDS, CollectingClient, answer_in_batches
from core.llm.cache import CompletionCache
from core.llm.client import ChatClient, Endpoint
from core.llm.meter import Budget, Meter
from core.llm.pace import Clock
from core.llm.spend import Price


def question(text: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": text}]


class Stopped(Exception):
    pass


@pytest.fixture
def cache(tmp_path):
    it = CompletionCache(tmp_path / "c.sqlite")
    yield it
    it.close()


async def collected(server: BatchServer, cache: CompletionCache, *texts: str) -> dict[str, dict[str, object]]:
    async with CollectingClient(Endpoint(server.url, "m"), cache) as client:
        for text in texts:
            assert (await client.complete(question(text))).text == ""
        return client.wanted


async def test_what_a_batch_answered_is_not_asked_again_and_the_rest_one_by_one(cache):
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)
        await asyncio.sleep(0)

    meter = Meter(Price(input=1e6, output=1e6), Budget(1e9))
    heard: list[tuple[int, int]] = []
    with BatchServer(lambda prompt: None if prompt == "bad" else f"about {prompt}").running() as server:
        wanted = await collected(server, cache, "one", "two", "bad", "one")
        assert len(wanted) == 3
        endpoint = Endpoint(server.url, "m")
        progress = lambda done, total: heard.append((done, total))  # noqa: E731
        await answer_in_batches(endpoint, wanted, cache, meter, progress, Clock(sleep=sleep))
        assert (slept, heard[-1], server.single) == ([POLL_SECONDS] * 3, (3, 3), [])
        assert meter.paid.calls == 2
        assert meter.usd == meter.budget.spent == 0.5 * (meter.paid.prompt_tokens + meter.paid.completion_tokens) > 0
        async with ChatClient(endpoint, cache=cache) as client:
            texts = [(await client.complete(question(text))).text for text in ("one", "two", "bad")]
        assert texts == ["about one", "about two", ""]
        assert server.single == ["bad"]
        assert len(await collected(server, cache, "three")) == 1


async def test_a_batch_under_way_is_waited_for_after_a_crash(cache):
    async def crash(seconds: float) -> None:
        raise Stopped

    async def sleep(seconds: float) -> None:
        await asyncio.sleep(0)

    with BatchServer(lambda prompt: "ok").running() as server:
        wanted, endpoint = await collected(server, cache, "one", "two"), Endpoint(server.url, "m")
        with pytest.raises(Stopped):
            await answer_in_batches(endpoint, wanted, cache, Meter(None), clock=Clock(sleep=crash))
        await answer_in_batches(endpoint, wanted, cache, Meter(None), clock=Clock(sleep=sleep))
        assert len(server.batches) == 1
        async with ChatClient(endpoint, cache=cache) as client:
            assert (await client.complete(question("two"))).cached


async def test_a_batch_that_may_cost_too_much_is_not_begun(cache):
    with BatchServer(lambda prompt: "ok").running() as server:
        wanted = await collected(server, cache, "one", "two")
        with pytest.raises(BudgetReached):
            await answer_in_batches(
                Endpoint(server.url, "m"), wanted, cache, Meter(Price(input=1e6, output=1e6), Budget(100.0))
            )
        assert server.files == server.batches == {}
