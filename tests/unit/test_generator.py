"""A language model as command source, behind a real endpoint on loopback."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
from rigs.chat_server import ChatServer
from rigs.parcels import DOMAIN, FLOWS

from core.assistant.settings import ModelEndpoint
from core.dialogue.commands import CannotHandle, InternalError, SetSlot, StartFlow
from core.dialogue.engine import Engine
from core.dialogue.events import BotSaid
from core.dialogue.generator import LlmCommandGenerator, endpoint_of
from core.dialogue.prompt import PromptRenderer
from core.dialogue.source import Prediction, UserMessage, unread
from core.errors import ProviderError, UsageError
from core.llm.client import ChatClient, Endpoint


@pytest.fixture
def engine(make_assistant) -> Engine:
    return Engine(make_assistant(FLOWS, DOMAIN))


@asynccontextmanager
async def generator(
    engine: Engine, reply: Callable[[str], str]
) -> AsyncIterator[tuple[LlmCommandGenerator, ChatServer]]:
    with ChatServer(reply).running() as server:
        async with ChatClient(Endpoint(server.url, "small"), retries=0) as client:
            renderer = PromptRenderer(engine.assistant, "v2", index=engine.index)
            yield LlmCommandGenerator(client, renderer, engine.index), server


async def predict(engine: Engine, text: str, answer: str) -> tuple[Prediction, list[str]]:
    async with generator(engine, lambda _: answer) as (source, server):
        return await source.predict(engine.new_tracker(), UserMessage(text)), server.prompts


async def test_a_message_becomes_commands(engine):
    prediction, prompts = await predict(engine, "send it to Rome", "start flow send_parcel\nset slot street Rome")
    assert prediction.commands == (StartFlow("send_parcel"), SetSlot("street", "Rome"))
    assert [prediction.prompt] == prompts
    assert prediction.completion == "start flow send_parcel\nset slot street Rome"
    assert prediction.prompt_tokens == len(prompts[0]) // 4
    assert prediction.seconds > 0


@pytest.mark.parametrize(
    "answer", ["", "I would be glad to help!", "start flow fly_to_the_moon", "set slot street None"]
)
async def test_an_answer_without_commands_cannot_be_handled(engine, answer):
    prediction, _ = await predict(engine, "hm", answer)
    assert prediction.commands == (CannotHandle(),)
    assert prediction.completion == answer


async def test_a_value_that_says_none_is_one_where_the_assistant_knows_it(make_assistant):
    domain = DOMAIN.replace("slots:", "slots:\n  insured: {type: categorical, values: [public, none]}", 1)
    engine = Engine(make_assistant(FLOWS, domain))
    said = [SetSlot("insured", "none"), SetSlot("insured", "none"), SetSlot("interrupted_flow_to_continue", "none")]
    text = 'set slot insured none\nset slot insured "none"\nset slot interrupted_flow_to_continue none\nset slot street none'
    prediction, _ = await predict(engine, "none", text)
    assert prediction.commands == tuple(said)


def test_a_negative_limit_is_none():
    assert unread("x" * 1000, -1) is None


@pytest.mark.parametrize(
    ("text", "error"),
    [
        (" \n", InternalError("rasa_internal_error_user_input_empty")),
        ("x" * 421, InternalError("rasa_internal_error_user_input_too_long", (("max_characters", 420),))),
    ],
)
async def test_empty_and_endless_messages_are_not_asked_about(engine, text, error):
    prediction, prompts = await predict(engine, text, "cancel flow")
    assert prediction.commands == (error,)
    assert prompts == []


async def test_a_message_of_just_the_length_is_asked_about(engine):
    _, prompts = await predict(engine, "x" * 420, "offtopic reply")
    assert len(prompts) == 1


async def test_a_conversation_led_by_a_model(engine):
    """Each answer depends on the state that the prompt tells."""

    def reply(prompt: str) -> str:
        return "set slot weight 2" if "\nAsked: weight\n" in prompt else "start flow send_parcel\nset slot street Rome"

    tracker = engine.new_tracker()
    async with generator(engine, reply) as (source, _):
        for text in ("a parcel to Rome", "2 kg"):
            prediction = await source.predict(tracker, UserMessage(text))
            engine.handle(tracker, UserMessage(text), prediction.commands)
    said = [event.text for event in tracker.events if isinstance(event, BotSaid)]
    assert said == ["How heavy?", "To Rome. Sure?"]


async def test_a_provider_that_is_down_is_no_command(engine):
    async with generator(engine, lambda _: "cancel flow") as (source, server):
        pass
    async with ChatClient(Endpoint(server.url, "small"), retries=0) as client:
        source = LlmCommandGenerator(client, PromptRenderer(engine.assistant, "v2"), engine.index)
        with pytest.raises(ProviderError, match="cannot be reached"):
            await source.predict(engine.new_tracker(), UserMessage("hi"))


@pytest.mark.parametrize(
    ("model", "endpoint"),
    [
        (ModelEndpoint("gpt-4", api_key_variable="MY_KEY"), Endpoint(None, "gpt-4", "MY_KEY", 60.0)),
        (ModelEndpoint("qwen3", "ollama"), Endpoint("http://127.0.0.1:11434/v1", "qwen3", "OLLAMA_API_KEY", 60.0)),
        (
            ModelEndpoint("tuned", "self-hosted", "http://10.0.0.5:8000/v1", timeout_seconds=90.0),
            Endpoint("http://10.0.0.5:8000/v1", "tuned", "HOSTED_VLLM_API_KEY", 90.0),
        ),
    ],
)
def test_the_endpoint_of_a_configured_model(model, endpoint):
    assert endpoint_of(model) == endpoint


def test_a_model_of_ones_own_is_never_asked_for_at_openai():
    with pytest.raises(UsageError, match="self-hosted needs api_base"):
        endpoint_of(ModelEndpoint("tuned", "self-hosted"))
