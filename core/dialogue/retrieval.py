"""Flow retrieval: prompts of assistants with many flows list only those that a message may be about.

A flow and the end of the conversation become vectors of an embedding model; the flows nearest by cosine similarity are listed, in the
order of the assistant's files, with the flows under way and those that are always included. Who trains a model on such prompts must
serve it with the same, so what decides about them (`facts`) is recorded with the rows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property, lru_cache
from operator import mul
from threading import Lock
from typing import Any, Protocol

from core.assistant.project import Assistant
from core.assistant.settings import FlowRetrieval
from core.dialogue.flow_index import FlowIndex
from core.dialogue.tracker import Tracker

OFF: Mapping[str, Any] = {"active": False}
"""What is recorded where every flow is listed."""


class Embedder(Protocol):
    """Turns texts into vectors. The same text must give the same vector; called from several threads."""

    @property
    def name(self) -> str:
        """As the owner names the model: a folder or a name on the hub."""
        ...

    @property
    def digest(self) -> str:
        """SHA-256 over the model's files. Raises UsageError or ProviderError when it cannot be had."""
        ...

    def embed(self, texts: Sequence[str]) -> list[list[float]]:
        """A vector of length 1 for each text. Raises UsageError or ProviderError when the model cannot be had."""
        ...


class FlowRetriever:
    """Chooses the flows a prompt lists. Flows are embedded once, the end of a conversation once for each wording."""

    def __init__(self, settings: FlowRetrieval, embedder: Embedder, index: FlowIndex) -> None:
        self.settings, self._embedder, self._index = settings, embedder, index
        self._ranked = lru_cache(maxsize=50_000)(self._rank)
        self._lock = Lock()

    @property
    def embeds(self) -> bool:
        """False when all flows fit into every prompt: then no model is needed."""
        return not all_fit(self._index.assistant, self.settings)

    @property
    def facts(self) -> dict[str, Any]:
        """What decides about prompts, JSON-ready: equal facts, equal prompts. Raises what the embedder raises."""
        return {
            **replace(self.settings, active=True).facts,
            "embedding_model": self._embedder.name,
            "embedding_digest": self._embedder.digest if self.embeds else None,
        }

    def chosen(self, flows: Sequence[str], tracker: Tracker, message: str) -> tuple[str, ...]:
        """Those of the `flows` a user can start that the prompt for a message lists, in their order."""
        if len(flows) <= self.settings.num_flows:
            return tuple(flows)
        with self._lock:  # so that the first of many threads embeds the flows for all
            ranked = self._ranked(self._query(tracker, message))
        possible = set(flows)
        best = [flow for flow in ranked if flow in possible][: self.settings.num_flows]
        listed = {*best, *(frame.flow for frame in tracker.stack)}
        return tuple(flow for flow in flows if flow in listed or self._index.flows[flow].always_include_in_prompt)

    @cached_property
    def _vectors(self) -> dict[str, list[float]]:
        flows = _listable(self._index.assistant)
        return dict(zip(flows, self._embedder.embed([self.text_of(flow) for flow in flows]), strict=True))

    def _rank(self, query: str) -> tuple[str, ...]:
        """All flows that may ever be listed, the nearest first; equally near ones in the order of the files."""
        (asked,) = self._embedder.embed([query])  # one text at a time: batches would change the last digits
        nearness = {flow: sum(map(mul, vector, asked)) for flow, vector in self._vectors.items()}
        return tuple(sorted(nearness, key=lambda flow: -nearness[flow]))

    def _query(self, tracker: Tracker, message: str) -> str:
        earlier = tracker.transcript(self.settings.turns_to_embed - 1)
        return "\n".join([*(text for _, text in earlier), message])

    def text_of(self, flow_id: str) -> str:
        """What a flow is found by: name and description, and its slots where the settings say so."""
        flow = self._index.flows[flow_id]
        described = self._index.described(flow)
        lines = [f"{flow.name or flow.id}: {described['description']}"]
        if self.settings.should_embed_slots:
            for slot in described["slots"]:
                values = f" [{', '.join(slot['allowed_values'])}]" if slot["allowed_values"] else ""
                lines.append(f"{slot['name']}: {slot['description']}{values}")
        return "\n".join(lines)


class AnyFlow:
    """An embedder without a model, to which all flows are equally near: for estimates of how long prompts are."""

    name, digest = "none", ""

    def embed(self, texts: Sequence[str]) -> list[list[float]]:
        return [[1.0] for _ in texts]


def all_fit(assistant: Assistant, settings: FlowRetrieval) -> bool:
    """True when every flow fits into every prompt, so that retrieval changes nothing."""
    return len(_listable(assistant)) <= settings.num_flows


def _listable(assistant: Assistant) -> list[str]:
    return [flow.id for flow in assistant.business_flows if not flow.never_startable]


def notices_of(assistant: Assistant, on: bool) -> list[str]:
    """Where prompts come out otherwise than config.yml says, and what will be done about it; a sentence or none."""
    settings = assistant.settings.flow_retrieval
    where = f"{settings.written_at}: " if settings.written_at else "config.yml: "
    if on and not settings.active:
        return [f"{where}flow_retrieval is off there and on here; the connection step switches it on"]
    if not on and settings.active and (settings.written_at or not all_fit(assistant, settings)):
        said = "is active there" if settings.written_at else "is not switched off there"
        return [
            f"{where}flow_retrieval {said}, but prompts list every flow here (flow_retrieval: off); the connection step sets "
            "`active: false` so that they are the same where the assistant runs"
        ]
    return []


def difference(before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """What changed between two records of `facts`, in words: "num flows 20 → 10"; empty when prompts are the same."""
    changed = [name for name in before if name in now and before[name] != now[name]]
    return ", ".join(f"{name.replace('_', ' ')} {str(before[name])[:40]} → {str(now[name])[:40]}" for name in changed)
