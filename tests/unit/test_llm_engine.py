"""Pace, limits, breaker, budget and keys of calls to a language model; against a server that misbehaves where one is needed."""

from __future__ import annotations

import asyncio
import sys
import time
import types

import pytest
from rigs.chat_server import BROKEN, BUSY, HALF_A_BODY, HANG, NOT_JSON, ChatServer, Fault

from core.errors import BudgetReached, ProviderError, UsageError
from core.llm import breaker
from core.llm.breaker import Breaker
from core.llm.cache import CompletionCache
from core.llm.client import ChatClient, Endpoint
from core.llm.keys import find_key
from core.llm.meter import Budget, Meter
from core.llm.pace import FIRST, Clock, Pace
from core.llm.rate import Bucket, Limits
from core.llm.spend import Price


class Time:
    """A clock that goes only when somebody sleeps."""

    def __init__(self, running: bool = False) -> None:
        self.slept: list[float] = []
        self.clock = Clock(lambda: sum(self.slept) + (time.monotonic() if running else 0.0), self._sleep)

    async def _sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        await asyncio.sleep(0)


def question(text: object = "hello") -> list[dict[str, str]]:
    return [{"role": "user", "content": str(text)}]


def test_more_calls_at_once_while_answers_come_as_usual():
    pace = Pace(32, Time().clock)
    assert pace.limit == FIRST
    for _ in range(100):
        pace.answered(0.2)
    assert pace.limit == 32


def test_no_more_calls_at_once_while_answers_take_longer():
    pace = Pace(1000, Time().clock)
    for _ in range(100):
        pace.answered(0.2)
    before = pace.limit
    for _ in range(20):
        pace.answered(2.0)
    assert pace.limit <= before + 3


def test_a_refusal_halves_once_for_all_calls_under_way_and_then_rises_slowly():
    time = Time()
    pace = Pace(64, time.clock)
    for _ in range(100):
        pace.answered(0.2)
    time.slept.append(1.0)
    for _ in range(5):
        pace.refused(started=0.5)
    assert pace.limit == 32
    for _ in range(32):
        pace.answered(0.2)
    assert pace.limit == 32
    for _ in range(2):
        pace.answered(0.2)
    assert pace.limit == 33


async def test_slots_that_were_taken_away_are_given_up_as_calls_end():
    time = Time()
    pace = Pace(8, time.clock)
    inside: list[int] = []
    go = asyncio.Event()

    async def call(number: int) -> None:
        async with pace.slot():
            inside.append(number)
            await go.wait()

    first = [asyncio.create_task(call(number)) for number in range(8)]
    await asyncio.sleep(0)
    pace.refused(started=1.0)
    go.set()
    await asyncio.gather(*first)
    go.clear()
    more = [asyncio.create_task(call(number)) for number in range(8, 16)]
    for _ in range(5):
        await asyncio.sleep(0)
    assert len(inside) == 8 + 4
    go.set()
    await asyncio.gather(*more)


async def test_a_pause_holds_everybody_back():
    time = Time()
    pace = Pace(4, time.clock)
    pace.pause(7.0)
    async with pace.slot():
        assert time.clock.now() == 7.0
    async with pace.slot():
        assert time.slept == [7.0]


async def test_a_bucket_gives_a_burst_and_then_its_rate():
    time = Time()
    bucket = Bucket(60, time.clock)
    for _ in range(10):
        await bucket.take(1)
    assert time.slept == []
    await bucket.take(1)
    assert time.slept == [1.0]
    bucket.give_back(5)
    await bucket.take(5)
    assert time.slept == [1.0]


async def test_limits_of_requests_and_tokens_are_kept():
    time = Time()
    with ChatServer(lambda prompt: "ok").running() as server:
        limits = Limits(requests_per_minute=60, tokens_per_minute=100_000)
        async with ChatClient(Endpoint(server.url, "m"), limits=limits, clock=time.clock) as client:
            for number in range(30):
                await client.complete(question(number), max_tokens=10)
    assert sum(time.slept) == pytest.approx(30 - 10)


def test_a_breaker_opens_after_failures_in_a_row_and_lets_one_try():
    time = Time()
    it = Breaker("the model", time.clock)
    for _ in range(breaker.FAILURES - 1):
        it.failed("refused: HTTP 500")
    it.succeeded()
    for _ in range(breaker.FAILURES):
        it.check()
        it.failed("refused: HTTP 500")
    with pytest.raises(ProviderError, match=r"the model failed 12 times in a row .* it refused: HTTP 500"):
        it.check()
    time.slept.append(breaker.REST_SECONDS)
    it.check()
    with pytest.raises(ProviderError):
        it.check()
    it.succeeded()
    it.check()


async def test_a_server_that_is_down_is_not_asked_by_every_call():
    time = Time()
    with ChatServer(lambda prompt: "ok", faults=[BROKEN] * 1000).running() as server:
        async with ChatClient(Endpoint(server.url, "m"), clock=time.clock) as client:
            calls = (client.complete(question(number)) for number in range(100))
            answers = await asyncio.gather(*calls, return_exceptions=True)
        assert all(isinstance(answer, ProviderError) for answer in answers)
        assert sum(fault is not None for fault in server._faults) > 1000 - breaker.FAILURES - FIRST - 1


@pytest.mark.parametrize(
    "fault", [BUSY, Fault(429, retry_after=2), BROKEN, HALF_A_BODY, NOT_JSON, HANG], ids=lambda fault: repr(fault)
)
async def test_one_misbehaviour_costs_a_try_and_no_answer(fault):
    endpoint_seconds = 0.3 if fault.hang else 30.0
    with ChatServer(lambda prompt: f"about {prompt}", faults=[None, fault, fault]).running() as server:
        endpoint = Endpoint(server.url, "m", timeout_seconds=endpoint_seconds)
        async with ChatClient(endpoint, concurrency=3, clock=Time(running=True).clock) as client:
            answers = await asyncio.gather(*(client.complete(question(number)) for number in range(6)))
    assert [answer.text for answer in answers] == [f"about {number}" for number in range(6)]
    assert len(server.prompts) == (8 if fault.cut else 6)


async def test_an_account_without_money_is_not_asked_again():
    body = b'{"error": {"message": "no credit", "code": "insufficient_quota"}}'
    with ChatServer(lambda prompt: "ok", faults=[Fault(429, raw=body)]).running() as server:
        async with ChatClient(Endpoint(server.url, "m"), clock=Time().clock) as client:
            with pytest.raises(ProviderError, match="HTTP 429: no credit"):
                await client.complete(question())
    assert server.prompts == []


async def test_a_budget_is_never_passed_and_what_was_answered_is_kept(tmp_path):
    """A call is 25 + 5 tokens at a dollar each; 10 are allowed for an answer, so the last call that fits is the 12th."""
    cache = CompletionCache(tmp_path / "c.sqlite")
    price = Price(input=1e6, output=1e6)

    async def run(server: ChatServer, usd: float) -> tuple[list[object], Meter]:
        meter = Meter(price, Budget(usd))
        async with ChatClient(Endpoint(server.url, "m"), cache=cache, meter=meter) as client:
            calls = (client.complete(question(f"{number:03}" + "x" * 97), max_tokens=10) for number in range(40))
            return await asyncio.gather(*calls, return_exceptions=True), meter

    with ChatServer(lambda prompt: "y" * 20).running() as server:
        answers, meter = await run(server, 400.0)
        made = [answer for answer in answers if not isinstance(answer, BudgetReached)]
        assert 0 < len(made) < 40
        assert meter.budget.spent == meter.usd == 30.0 * len(made)
        assert 400.0 - 61.0 < meter.budget.spent <= 400.0
        first = len(server.prompts)
        answers, meter = await run(server, 10_000.0)
        assert len(server.prompts) == 40
        assert meter.paid.calls == 40 - first
        assert not any(isinstance(answer, Exception) for answer in answers)
    cache.close()


async def test_the_same_question_twice_at_once_is_paid_once(tmp_path):
    cache = CompletionCache(tmp_path / "c.sqlite")
    meter = Meter(None)
    with ChatServer(lambda prompt: "ok", first_token_seconds=0.05).running() as server:
        async with ChatClient(Endpoint(server.url, "m"), cache=cache, meter=meter) as client:
            answers = await asyncio.gather(*(client.complete(question()) for _ in range(5)))
    cache.close()
    assert [answer.text for answer in answers] == ["ok"] * 5
    assert (len(server.prompts), meter.paid.calls, meter.answered.calls) == (1, 1, 5)


async def test_the_budget_says_what_was_spent_and_what_to_do():
    meter = Meter(Price(input=1e6, output=0), Budget(10.0))
    with pytest.raises(BudgetReached, match=r"budget of \$10\.00 is reached: \$0\.0000 are spent .* raise budget_usd"):
        async with meter.reserve(prompt_characters=1000, most_tokens=1):
            pass


def test_keys_come_from_the_environment_before_the_keyring(monkeypatch):
    stored = {("calmtune", "BIG_KEY"): "from the keyring"}
    errors = types.ModuleType("keyring.errors")
    errors.KeyringError = type("KeyringError", (Exception,), {})
    keyring = types.ModuleType("keyring")
    keyring.get_password = lambda service, name: stored.get((service, name))
    monkeypatch.setitem(sys.modules, "keyring", keyring)
    monkeypatch.setitem(sys.modules, "keyring.errors", errors)
    monkeypatch.delenv("BIG_KEY", raising=False)
    assert find_key("BIG_KEY") == "from the keyring"
    assert find_key("OTHER_KEY") is None
    monkeypatch.setenv("BIG_KEY", "from the environment")
    assert find_key("BIG_KEY") == "from the environment"

    def locked(service: str, name: str) -> str:
        raise errors.KeyringError

    keyring.get_password = locked
    monkeypatch.delenv("BIG_KEY")
    with pytest.raises(UsageError, match="BIG_KEY is not set; m needs its key there, or in the keyring"):
        ChatClient(Endpoint(None, "m", "BIG_KEY"))
