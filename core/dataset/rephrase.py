"""Other wordings of the user's messages: the protocol of their sources, and a language model as one of them.

One call for each conversation, so that wordings fit what is said around them. Whether a wording keeps the meaning is
judged afterwards, in `validation.py`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from core.assistant import templates
from core.dataset.choices import Manner
from core.dataset.conversation import AnnotatedConversation
from core.dataset.text import normalised
from core.dialogue.events import BotSaid, UserSaid
from core.errors import UsageError

if TYPE_CHECKING:
    from core.llm.client import ChatClient, Completion

USER_PREFIX = "USER"
TEMPERATURE = 0.8
"""High enough for wordings to differ."""

_TOKENS_PER_CHARACTER = 0.5
"""Of an answer, generously; most languages need less."""
_HEADER = re.compile(rf"^[\s*_#>`-]*{USER_PREFIX}[\s*_`]*:[\s*_`]*(.*)$", re.IGNORECASE)
_NUMBERED = re.compile(r"^[\s*_>`-]*\d+[.):][\s*_`]*(\S.*)$")
_PLACEHOLDER = re.compile(r"<[^<>]*>")
"""What our prompt shows in the place of a wording; small models copy it."""
_QUOTES = {'"': '"', "'": "'", "“": "”", "„": "“", "«": "»", "`": "`"}
AS_PEOPLE_TALK = Manner()


class Rephraser(Protocol):
    """A source of other wordings."""

    async def candidates(self, conversation: AnnotatedConversation, count: int) -> Mapping[int, Sequence[str]]:
        """Up to `count` wordings for each turn to be rephrased, by position of the turn. Raises ProviderError."""
        ...


@dataclass(frozen=True)
class LlmRephraser:
    """Asks a language model."""

    client: ChatClient
    manner: Manner = AS_PEOPLE_TALK
    template: Path | None = None
    """The owner's own prompt; None for ours."""

    async def candidates(self, conversation: AnnotatedConversation, count: int) -> Mapping[int, Sequence[str]]:
        positions = [at for at, turn in enumerate(conversation.turns) if turn.rephrased]
        if not positions or count == 0:
            return {}
        messages = [conversation.turns[at].user for at in positions]
        most_tokens = answer_tokens(messages, count)
        completion = await self.client.complete(
            [{"role": "user", "content": self.prompt(conversation, count)}],
            temperature=TEMPERATURE,
            max_tokens=most_tokens,
        )
        sets = parse_reply(_whole_lines(completion, most_tokens), messages)
        return {at: found[:count] for at, found in zip(positions, sets, strict=True)}

    def prompt(self, conversation: AnnotatedConversation, count: int) -> str:
        """What the model is asked for one conversation."""
        messages = [turn.user for turn in conversation.turns if turn.rephrased]
        return render_prompt(
            self.template,
            manner=self.manner,
            test_case_name=conversation.case.name,
            transcript=transcript(conversation),
            number_of_rephrasings=count,
            user_prefix=USER_PREFIX,
            number_of_user_messages=len(messages),
            user_messages=messages,
        )


def answer_tokens(messages: Sequence[str], count: int) -> int:
    """Upper bound of an answer with `count` wordings of each message, in tokens."""
    return int(sum((len(message) + 40) * (count + 1) for message in messages) * _TOKENS_PER_CHARACTER) + 50


def transcript(conversation: AnnotatedConversation) -> str:
    """`USER: …` and `AI: …` lines of a whole conversation, buttons included."""
    lines: list[str] = []
    for event in (
        *conversation.result.opening,
        *(event for record in conversation.result.turns for event in record.events),
    ):
        if isinstance(event, UserSaid):
            lines.append(f"{USER_PREFIX}: {event.text}")
        elif isinstance(event, BotSaid) and event.text:
            lines.append(f"AI: {event.text}")
    return "\n".join(lines)


def parse_reply(reply: str, messages: Sequence[str]) -> list[tuple[str, ...]]:
    """The wordings in a model's reply for each message, () where it has none.

    A set is a `USER:` line and the numbered lines that follow; decoration (bold, bullets, quotes, fences) is
    forgiven. Sets are matched to messages by their text; what is left is matched in order if as many sets as messages
    are left, else not at all.
    """
    sets = _sets(reply)
    found: dict[int, list[str]] = {}
    for at, message in enumerate(messages):
        same = next(
            (which for which, (header, _) in enumerate(sets) if normalised(header) == normalised(message)), None
        )
        if same is not None:
            found[at] = sets.pop(same)[1]
    left = [at for at in range(len(messages)) if at not in found]
    if len(left) == len(sets):
        found.update((at, wordings) for at, (_, wordings) in zip(left, sets, strict=True))
    return [tuple(dict.fromkeys(found.get(at, ()))) for at in range(len(messages))]


def _sets(reply: str) -> list[tuple[str, list[str]]]:
    sets: list[tuple[str, list[str]]] = []
    for line in reply.splitlines():
        if header := _HEADER.match(line):
            sets.append((_bare(header[1]), []))
        elif sets and (numbered := _NUMBERED.match(line)):
            wording = _bare(numbered[1].removeprefix(f"{USER_PREFIX}:"))
            if wording and not _PLACEHOLDER.fullmatch(wording):
                sets[-1][1].append(wording)
    return sets


def _bare(text: str) -> str:
    """Without surrounding blanks, emphasis and one pair of quotes."""
    text = text.strip().strip("*_").strip()
    if len(text) > 1 and _QUOTES.get(text[0]) == text[-1]:
        text = text[1:-1].strip()
    return text


def _whole_lines(completion: Completion, most_tokens: int) -> str:
    """The reply without its last line when it was cut off at the limit."""
    cut_off = completion.completion_tokens >= most_tokens
    return completion.text.rpartition("\n")[0] if cut_off else completion.text


def render_prompt(template: Path | None, **variables: Any) -> str:
    """The prompt by the owner's template or ours. Raises UsageError with the place of a mistake in the owner's."""
    path = template or Path(__file__).parent / "templates" / "rephrase.jinja2"
    try:
        return templates.render(path.read_text(encoding="utf-8") + "\n", variables, strict=True)
    except OSError as error:
        raise UsageError(f"the rephrasing prompt {path} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise UsageError(f"the rephrasing prompt {path} is not UTF-8; save it as UTF-8") from None
    except templates.TemplateProblem as problem:
        line = f":{problem.line}" if problem.line else ""
        raise UsageError(f"{path}{line}: {problem}; a prompt may use {', '.join(variables)}") from None
