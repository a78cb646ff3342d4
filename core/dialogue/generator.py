"""A language model as command source."""

from __future__ import annotations

from core.assistant.settings import ModelEndpoint
from core.dialogue.command_text import parse
from core.dialogue.commands import CannotHandle
from core.dialogue.flow_index import FlowIndex
from core.dialogue.prompt import PromptRenderer
from core.dialogue.source import Prediction, UserMessage, unread
from core.dialogue.tracker import Tracker
from core.llm.client import ChatClient, Endpoint
from core.llm.providers import address, key_variable


class LlmCommandGenerator:
    """Renders the prompt, asks the endpoint, reads the answer."""

    def __init__(
        self,
        client: ChatClient,
        renderer: PromptRenderer,
        index: FlowIndex,
        max_characters: int = 420,
        max_tokens: int = 256,
    ) -> None:
        self._client, self._renderer, self._index = client, renderer, index
        self._max_characters, self._max_tokens = max_characters, max_tokens

    async def predict(self, tracker: Tracker, message: UserMessage) -> Prediction:
        """Commands for a message; CannotHandle when the answer holds none. Raises ProviderError."""
        if (error := unread(message.text, self._max_characters)) is not None:
            return Prediction((error,))
        prompt = await self._renderer.rendered(tracker, message.text)
        answer = await self._client.complete([{"role": "user", "content": prompt}], max_tokens=self._max_tokens)
        commands = parse(answer.text, self._renderer.dialect, self._index.flows.keys(), meant=self._index.meant).commands
        return Prediction(
            commands or (CannotHandle(),),
            prompt,
            answer.text,
            answer.seconds,
            answer.prompt_tokens,
            answer.completion_tokens,
            answer.cached,
        )


def endpoint_of(model: ModelEndpoint) -> Endpoint:
    """The endpoint an assistant is configured with. Annotating may take longer than a live turn: at least 60 s are waited.

    Raises UsageError when the configuration does not say where the model is.
    """
    return Endpoint(
        address(model.provider, model.api_base),
        model.model,
        model.api_key_variable or key_variable(model.provider),
        max(60.0, model.timeout_seconds),
    )
