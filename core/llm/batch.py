"""OpenAI's Batch API: many requests in one file, answered within a day at half the price, with limits of their own.

Answers go into the cache; the run that wanted them then finds them there. A batch carries the digest of its requests, so that after
a crash the one under way is waited for instead of being paid again.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from core.errors import ProviderError
from core.llm.cache import CompletionCache, key_of
from core.llm.client import ChatClient, Completion, Endpoint, completion_of, identified, new_client, request_body
from core.llm.failure import failure_of
from core.llm.meter import Meter
from core.llm.pace import SYSTEM_CLOCK, Clock

if TYPE_CHECKING:
    import openai

SHARE_OF_PRICE = 0.5
MOST_REQUESTS = 20_000
"""In one batch; OpenAI takes 50,000, and 200 MB."""
POLL_SECONDS = 30.0
_MARK = "calmtune"
"""Name of the digest in a batch's metadata."""
_OVER = {"failed", "expired", "cancelled"}


class CollectingClient(ChatClient):
    """Makes no call: answers from the cache, or with nothing and a note of what would have been asked."""

    def __init__(self, endpoint: Endpoint, cache: CompletionCache) -> None:
        super().__init__(endpoint, cache=cache)
        self._known = cache
        self.wanted: dict[str, dict[str, Any]] = {}
        """Requests by their key in the cache."""

    async def complete(
        self, messages: Sequence[dict[str, str]], temperature: float = 0.0, max_tokens: int = 256
    ) -> Completion:
        request = request_body(self.endpoint, messages, temperature, max_tokens)
        identity = identified(self.endpoint, request)
        if (known := self._known.get(identity)) is not None:
            return known
        self.wanted[key_of(identity)] = request
        return Completion("")


async def answer_in_batches(
    endpoint: Endpoint,
    wanted: Mapping[str, dict[str, Any]],
    cache: CompletionCache,
    meter: Meter,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
    clock: Clock = SYSTEM_CLOCK,
) -> None:
    """Have the requests answered and put the answers into the cache; those that failed are left out.

    `on_progress` hears (answered, total). Raises ProviderError, BudgetReached.
    """
    import openai

    keys = sorted(wanted)
    client = new_client(endpoint)
    try:
        for start in range(0, len(keys), MOST_REQUESTS):
            part = {key: wanted[key] for key in keys[start : start + MOST_REQUESTS]}
            async with _room(part, meter):
                batch = await _batch_of(client, part)
                while batch.status not in {"completed", *_OVER}:
                    await clock.sleep(POLL_SECONDS)
                    batch = await client.batches.retrieve(batch.id)
                    if batch.request_counts:
                        on_progress(start + batch.request_counts.completed, len(keys))
                if batch.status in _OVER and not batch.output_file_id:
                    raise ProviderError(
                        f"{endpoint!r}: the batch {batch.id} is {batch.status}; run again without batches"
                    )
                if batch.output_file_id:
                    content = await client.files.content(batch.output_file_id)
                    _keep(content.text.splitlines(), part, endpoint, cache, meter)
    except openai.OpenAIError as error:
        raise ProviderError(f"{endpoint!r} {failure_of(error, endpoint).reason}") from error
    finally:
        await client.close()


async def _batch_of(client: openai.AsyncOpenAI, part: Mapping[str, dict[str, Any]]) -> Any:
    """The batch with these requests: one that was begun before, else a new one."""
    digest = hashlib.sha256("".join(part).encode()).hexdigest()
    async for batch in client.batches.list(limit=100):
        if (batch.metadata or {}).get(_MARK) == digest and batch.status not in _OVER:
            return batch
    lines = (
        json.dumps({"custom_id": key, "method": "POST", "url": "/v1/chat/completions", "body": request})
        for key, request in part.items()
    )
    content = "\n".join(lines).encode()
    file = await client.files.create(file=("requests.jsonl", content), purpose="batch")
    return await client.batches.create(
        input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h", metadata={_MARK: digest}
    )


@asynccontextmanager
async def _room(part: Mapping[str, dict[str, Any]], meter: Meter) -> AsyncIterator[None]:
    """Room in the budget for the dearest outcome of all requests."""
    characters = sum(len(message["content"]) for request in part.values() for message in request["messages"])
    most_tokens = sum(int(request["max_tokens"]) for request in part.values())
    async with meter.reserve(characters, most_tokens, SHARE_OF_PRICE):
        yield


def _keep(
    lines: Iterable[str], part: Mapping[str, dict[str, Any]], endpoint: Endpoint, cache: CompletionCache, meter: Meter
) -> None:
    from openai.types.chat import ChatCompletion

    for line in lines:
        try:
            answer = json.loads(line)
            request = part[answer["custom_id"]]
            completion = completion_of(ChatCompletion.model_validate(answer["response"]["body"]), 0.0)
        except (ValueError, KeyError, TypeError):  # a request that failed is asked again, one by one
            continue
        cache.put(identified(endpoint, request), completion)
        meter.add(completion, share_of_price=SHARE_OF_PRICE)
