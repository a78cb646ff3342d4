"""A model that knows nothing, asked through the proxy: the grammar leaves it nothing but commands of the assistant."""

from __future__ import annotations

import asyncio

import pytest

from core import demo
from core.assistant.project import load_assistant
from core.assistant.repair import with_default_patterns
from core.evaluation.command_scores import CommandScores, score_commands
from core.llm.client import ChatClient, Endpoint
from core.serving.grammar import grammar, request_extra
from tests import tiny_model
from tests.rigs.chat_server import ChatServer
from tests.rigs.grammar_model import GrammarModel
from tests.rigs.proxied import proxied

MESSAGES = ["a bed please", "porridge at 8", "who are you", "stop", "the caves", "a gull took my hat"]


@pytest.mark.parametrize("dialect", ["v1", "v2", "v3"])
def test_answers_through_the_proxy_are_commands(tmp_path, dialect):
    assistant = with_default_patterns(load_assistant(demo.assistant_folder()))
    model = GrammarModel(tiny_model.make(tmp_path / "model"))
    server = ChatServer(lambda prompt: model.answer(server.bodies[-1]))

    def scores(address: str) -> CommandScores:
        async def asked() -> list[tuple[str, str]]:
            async with ChatClient(Endpoint(address, "tiny"), concurrency=1) as chat:
                return [("", (await chat.complete([{"role": "user", "content": said}])).text) for said in MESSAGES]

        flows = {flow.id for flow in assistant.business_flows if not flow.never_startable}
        return score_commands(asyncio.run(asked()), dialect, flows, assistant.domain.slots)

    extra = request_extra(grammar(assistant, dialect))
    with server.running(), proxied(server.url, extra) as address:
        assert scores(server.url).invalid == len(MESSAGES)
        assert scores(address).invalid == 0
