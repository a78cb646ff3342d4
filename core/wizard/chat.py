"""A conversation with a session's tuned model through the assistant's flows, as in production."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from core.dialogue.engine import Engine
from core.dialogue.events import BotSaid, Event, FlowCancelled, FlowStarted, SlotSet
from core.dialogue.generator import LlmCommandGenerator
from core.dialogue.source import CommandSource, UserMessage
from core.errors import UsageError
from core.evaluation.review import workbench
from core.llm.client import ChatClient, Endpoint
from core.serving.connect import KEY_VARIABLE
from core.wizard.answers import SESSION
from core.wizard.events import Log, StepEvent
from core.wizard.exporting import final_model
from core.wizard.jobs import JobKeeper
from core.wizard.purposes import CHAT
from core.wizard.retrieval import embedder_of, require_as_recorded
from core.wizard.served import ServerRequest, served
from core.wizard.session import Session
from core.wizard.step import Context, Upstream

_SECONDS = 3600.0
"""After which such a server ends by itself."""


@dataclass(frozen=True)
class Reply:
    """What became of one message; the greeting has no commands."""

    said: tuple[str, ...]
    """The bot's messages."""
    choices: tuple[str, ...] = ()
    """Titles of the buttons it offered."""
    commands: str = ""
    """As the model wrote them."""
    seconds: float = 0.0
    """What the model took."""
    effects: tuple[str, ...] = ()
    """Flows that began or ended and slots that were set, a line each."""


class Chat:
    """One conversation; messages are answered one after the other."""

    def __init__(self, engine: Engine, source: CommandSource) -> None:
        self._engine, self._source = engine, source
        self._tracker = engine.new_tracker("chat")

    async def begin(self) -> Reply:
        """A new conversation, with the assistant's greeting where it has one."""
        self._tracker = self._engine.new_tracker("chat")
        return _reply(await asyncio.to_thread(self._engine.start, self._tracker))

    async def say(self, text: str) -> Reply:
        """Raises CalmtuneError when the model or an action cannot be reached; the message is then as if it was not said."""
        message = UserMessage(text)
        payload = self._engine.payload_commands(text)
        prediction = None if payload is not None else await self._source.predict(self._tracker, message)
        commands = payload or () if prediction is None else prediction.commands
        events = await asyncio.to_thread(self._engine.handle, self._tracker, message, commands)
        if prediction is None:
            return _reply(events, text)
        return _reply(events, prediction.completion or "", prediction.seconds)


@asynccontextmanager
async def chat_with(session: Session, say: Callable[[str], object]) -> AsyncIterator[Chat]:
    """A conversation with the deployed model; where no server runs, one is started for as long as the block lasts. `say` hears
    what happens meanwhile.

    Raises UsageError before there is a tuned model, StepFailed and ProviderError when it cannot be served.
    """
    dataset = await asyncio.to_thread(_upstream, session, "dataset")
    shared = session.model(SESSION)
    facts = dataset.outputs.summary
    bench = await asyncio.to_thread(workbench, shared.assistant, shared.tests, facts["dialect"], shared.patterns, embedder_of(shared))
    async with AsyncExitStack() as stack:
        stack.callback(bench.close)
        await asyncio.to_thread(require_as_recorded, bench, dataset)
        endpoint = await _endpoint(session, stack, say)
        client = await stack.enter_async_context(ChatClient(endpoint, concurrency=1))
        engine = bench.engine.with_actions(bench.actions, require_actions=False)
        yield Chat(engine, LlmCommandGenerator(client, bench.renderer(facts["history_turns"]), engine.index))


async def _endpoint(session: Session, stack: AsyncExitStack, say: Callable[[str], object]) -> Endpoint:
    deployed = await asyncio.to_thread(session.status, "deployment")
    if deployed.outputs is not None:
        facts = deployed.outputs.summary
        say(f"asking the deployed model at {facts['endpoint']}")
        return Endpoint(facts["endpoint"], facts["model"], KEY_VARIABLE if facts["needs_key"] else None)
    if session.read_only:
        raise UsageError("the model is not served now, and this session is open elsewhere: start its server there")
    production = await asyncio.to_thread(_upstream, session, "production")
    answers = session.model("deployment")
    say("no server runs: starting one for this conversation")
    context = Context(
        answers=answers,
        shared=session.model(SESSION),
        upstream={},
        folder=session.folder / "jobs",
        emit=lambda event: _tell(event, say),
        jobs=JobKeeper(session.journal, session.targets, session.id, CHAT, production.outputs.digest),
    )
    model = final_model(production)
    request = ServerRequest(
        model.folder, answers.machine, answers.engine, answers.served_name, answers.python, limit_seconds=_SECONDS,
        longest_row=model.longest_row,
    )  # fmt: skip
    return await stack.enter_async_context(served(context, request))


def _upstream(session: Session, step: str) -> Upstream:
    status = session.status(step)
    if status.outputs is None or status.folder is None:
        why = f" ({status.reason})" if status.reason else ""
        raise UsageError(f"there is no tuned model to talk to yet: {step} is {status.state}{why}")
    return Upstream(status.outputs, status.folder)


def _tell(event: StepEvent, say: Callable[[str], object]) -> None:
    if isinstance(event, Log):
        say(event.line)


def _reply(events: list[Event], commands: str = "", seconds: float = 0.0) -> Reply:
    said = [event for event in events if isinstance(event, BotSaid)]
    effects = []
    for event in events:
        if isinstance(event, SlotSet) and not event.reset:
            effects.append(f"{event.name} = {event.value!r}")
        elif isinstance(event, FlowStarted | FlowCancelled) and not event.flow.startswith("pattern_"):
            effects.append(f"{event.flow} {'started' if isinstance(event, FlowStarted) else 'cancelled'}")
    choices = tuple(button.title for event in said for button in event.buttons)
    return Reply(tuple(event.text or "(a message without text)" for event in said), choices, commands.strip(), seconds, tuple(effects))
