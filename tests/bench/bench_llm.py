"""How near the client comes to the ideal time, and what memory it takes.

python tests/bench/bench_llm.py [calls ...]     (memory is measured with each number of calls; 1,000 and 10,000 by default)
"""

from __future__ import annotations

import asyncio
import multiprocessing
import sys
import tempfile
import time
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import psutil

sys.path[:0] = [str(Path(__file__).resolve().parents[2]), str(Path(__file__).resolve().parents[1])]

from rigs.chat_server import ChatServer  # noqa: E402

from core.dataset.together import each  # noqa: E402
from core.llm.cache import CompletionCache  # noqa: E402
from core.llm.client import ChatClient, Endpoint  # noqa: E402

CALLS, AT_ONCE, SECONDS = 2_000, 32, 0.2
PROMPT = "the same long prompt before each message " * 100


def serve(told: Connection, first_token_seconds: float) -> None:
    """A server in a process of its own, until the other end is closed."""
    with ChatServer(lambda prompt: "start flow hello", first_token_seconds=first_token_seconds).running() as server:
        server.prompts, server.bodies, server.requests = _Forgetful(), _Forgetful(), _Forgetful()
        told.send(server.url)
        while told.poll(None) and told.recv():
            pass


class _Forgetful(list[Any]):
    def append(self, one: Any) -> None:
        pass


async def ask(url: str, calls: int, at_once: int, cache: CompletionCache) -> float:
    """Seconds for so many calls."""
    async with ChatClient(Endpoint(url, "m"), at_once, cache=cache) as client:

        async def one(number: int) -> None:
            await client.complete([{"role": "user", "content": f"{PROMPT}{calls} {number}"}])

        started = time.perf_counter()
        await each(range(calls), one, 2 * at_once)
        return time.perf_counter() - started


def measure(first_token_seconds: float, numbers: list[int], at_once: int) -> list[tuple[float, int]]:
    """(seconds, bytes of memory after) for each number of calls."""
    ours, theirs = multiprocessing.Pipe()
    server = multiprocessing.get_context("spawn").Process(target=serve, args=(theirs, first_token_seconds))
    server.start()
    found = []
    with tempfile.TemporaryDirectory() as folder:
        cache = CompletionCache(Path(folder) / "completions.sqlite")
        url = ours.recv()
        for number in numbers:
            seconds = asyncio.run(ask(url, number, at_once, cache))
            found.append((seconds, psutil.Process().memory_info().rss))
        cache.close()
    ours.send(None)
    server.join()
    return found


def main() -> None:
    ideal = CALLS / AT_ONCE * SECONDS
    (seconds, _), *_ = measure(SECONDS, [CALLS], AT_ONCE)
    print(
        f"{CALLS:,} calls of {SECONDS:g} s, {AT_ONCE} at once: {seconds:.1f} s, {seconds / ideal:.2f} of the ideal {ideal:g} s"
    )
    numbers = [int(argument) for argument in sys.argv[1:]] or [1_000, 10_000]
    for number, (seconds, memory) in zip(numbers, measure(0.0, numbers, AT_ONCE), strict=True):
        print(f"{number:>7,} calls: {number / seconds:,.0f} a second, {memory / 2**20:.0f} MiB")


if __name__ == "__main__":
    main()
