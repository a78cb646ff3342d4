"""Saying a response: which variation, and its text with slots filled in."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from core.assistant import templates
from core.assistant.domain import Button, Response, Variation
from core.dialogue.events import BotSaid

Choose = Callable[[Sequence[Variation]], Variation]
"""Picks one of several eligible variations; tests want the first, a chat may want a seeded random one."""

_PLACEHOLDER = re.compile(r"\{\{|\}\}|\{([^\n{}]+?)\}")
_SIMPLE = re.compile(r"\{\{\s*(context|slots)\.(\w+)\s*\}\}")


def render(
    text: str, slots: Mapping[str, Any], context: Mapping[str, Any], extra: Mapping[str, Any] | None = None
) -> str:
    """A Jinja text with `slots.x`, `context.y` and bare slot names. Raises TemplateProblem."""
    if "{" not in text:
        return text
    scopes = {"context": context, "slots": slots}
    if (
        not extra
        and "{%" not in text
        and "{{" not in (plain := _SIMPLE.sub(lambda m: str(scopes[m[1]].get(m[2], "")), text))
    ):
        return plain  # the common `{{context.x}}` needs no template engine
    return templates.render(text, {**slots, **(extra or {}), **scopes})


def fill(text: str, slots: Mapping[str, Any]) -> str:
    """`{slot}` placeholders replaced by values; empty slots print None, names that are no slots stay as they are.

    Doubled braces stand for single ones, as in the payload `/order{{"dish": "{dish}"}}`.
    """

    def filled(match: re.Match[str]) -> str:
        if match[1] is None:
            return match[0][0]
        return str(slots[match[1]]) if match[1] in slots else match[0]

    return _PLACEHOLDER.sub(filled, text)


def eligible(
    response: Response, slots: Mapping[str, Any], context: Mapping[str, Any], channel: str | None = None
) -> list[Variation]:
    """Variations that may be said now, the most specific kind only.

    Order of kinds: condition and channel, channel alone, condition alone, neither.
    """
    best: list[Variation] = []
    best_rank = -1
    for variation in response.variations:
        if variation.channel is not None and variation.channel != channel:
            continue
        if variation.condition is not None and not variation.condition.evaluate(slots, context):
            continue
        rank = 2 * (variation.channel is not None) + (variation.condition is not None)
        if rank > best_rank:
            best, best_rank = [], rank
        if rank == best_rank:
            best.append(variation)
    return best


def say(
    response: Response,
    slots: Mapping[str, Any],
    context: Mapping[str, Any],
    extra: Mapping[str, Any] | None = None,
    choose: Choose = lambda variations: variations[0],
) -> BotSaid | None:
    """The response as a message; None when no variation is eligible. Raises TemplateProblem."""
    variations = eligible(response, slots, context)
    if not variations:
        return None
    variation = choose(variations)
    values = {**slots, **extra} if extra else slots

    def filled(text: str) -> str:
        return render(text, slots, context, extra) if variation.is_jinja else fill(text, values)

    buttons = tuple(Button(filled(button.title), filled(button.payload)) for button in variation.buttons)
    text = None if variation.text is None else filled(variation.text)
    return BotSaid(text=text, utter=response.name, buttons=buttons, image=variation.image, custom=variation.custom)
