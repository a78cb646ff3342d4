"""The grammar of an assistant's commands, for servers that let a model write nothing else.

The text is GBNF as vLLM's structured outputs read it (xgrammar, and llguidance beside it): what `command_text.render` writes for the flows
a user may start, for slots that a flow asks for and a model may fill, and for every other command of the form. A slot of few values takes
those in any case and any spelling the engine takes for them; all others take text of a bounded length, without line breaks. Names unknown
to the assistant, prose and empty answers have no place. Size, and time to compile, grow with the assistant and not faster.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from itertools import groupby, takewhile
from typing import Any

from core.assistant.domain import Slot
from core.assistant.project import Assistant
from core.assistant.settings import Dialect
from core.dialogue.command_text import PLAIN, render
from core.dialogue.commands import Clarify, SetSlot, StartFlow
from core.dialogue.values import FALSE_WORDS, TRUE_WORDS

MOST_COMMANDS = 16
"""Commands in one answer; messages ask for five at the most, so that this only ends a model that repeats itself."""
MOST_OPTIONS = 10
"""Flows of one clarification; assistants offer three of them unless they say otherwise."""
LONGEST_VALUE = 420
"""Characters of a value, each escape of a JSON string counted as one: as many as messages have at most, which values are taken from."""

_SLOTS_IN_A_RULE = 1000
"""Beyond some thousands of names with different values in one rule, xgrammar takes minutes to compile it."""
_WAY_OUT = "other"
"""What prompts offer beside the values of a category."""
_NAME = "§"
"""Stands for a name or value, to see what a form writes around it."""
_CONTROLS = r"\x00-\x1f\x7f-\x9f\u2028\u2029"
"""What would end a line, or no one writes, as a part of a character class."""
_BLANKS = r" \u00a0\u1680\u2000-\u200a\u202f\u205f\u3000"
_QUOTES = "\"'`"


def grammar(assistant: Assistant, dialect: Dialect) -> str:
    """The grammar of one to MOST_COMMANDS commands, one a line. `assistant` has its default patterns, as the engine holds it."""
    flows = [flow.id for flow in assistant.business_flows if not flow.never_startable]
    slots = _fillable(assistant)
    commands = [_literal(text) for text in PLAIN[dialect].values()]
    commands.append(_literal(render(Clarify(), dialect)))
    rules = {}
    if flows:
        before, after = render(StartFlow(_NAME), dialect).split(_NAME)
        commands.append(_sequence(_literal(before), "flow", _literal(after)))
        before, between, after = (_literal(part) for part in render(Clarify((_NAME, _NAME)), dialect).split(_NAME))
        options = f"({between} flow){{0,{MOST_OPTIONS - 1}}}"
        commands.append(_sequence(before, "flow", options, after))
        rules["flow"] = _any_of(map(_literal, flows))
    if slots:
        before, _, after = render(SetSlot(_NAME, _NAME), dialect).split(_NAME)
        commands.append(_sequence(_literal(before), "assignment", _literal(after)))
        rules |= _assignments(slots, dialect)
        rules["truth"] = _any_of(map(_any_case, sorted(TRUE_WORDS | FALSE_WORDS)))
        rules |= _free_value(dialect, longest_value(assistant))
    rules = {
        "root": f'command ("\\n" command){{0,{MOST_COMMANDS - 1}}}',
        "command": _any_of(commands),
        **rules,
    }
    return "".join(f"{name} ::= {body}\n" for name, body in rules.items())


def longest_value(assistant: Assistant) -> int:
    """Characters a value may have: LONGEST_VALUE, or up to four times as many where the assistant lets messages be longer."""
    return min(max(LONGEST_VALUE, assistant.settings.max_characters), 4 * LONGEST_VALUE)


def request_extra(grammar: str) -> dict[str, Any]:
    """What a grammar adds to the body of a request; vLLM knows it from 0.11.0 on, `transformers serve` does not."""
    return {"structured_outputs": {"grammar": grammar}}


def _fillable(assistant: Assistant) -> list[Slot]:
    """The slots that commands may set at some time: a flow asks for them, and their mappings let a model fill them."""
    asked = dict.fromkeys(step.slot for flow in assistant.flows.values() for step in flow.collects())
    known = (assistant.domain.slots.get(name) for name in asked)
    return [slot for slot in known if slot is not None and slot.from_llm]


def _assignments(slots: Iterable[Slot], dialect: Dialect) -> dict[str, str]:
    """Rules of a slot and what it may be given, by name. Many slots are first told apart by the beginnings of their names."""
    _, between, _ = render(SetSlot(_NAME, _NAME), dialect).split(_NAME)
    rules: dict[str, str] = {}

    def add(ends: list[tuple[str, str]]) -> str:
        """The rule of slots, given as what is left of their names, and their values."""
        name = f"assignment{len(rules) or ''}"
        rules[name] = ""
        rules[name] = _any_of(_grouped(ends, between) if len(ends) <= _SLOTS_IN_A_RULE else divided(ends))
        return name

    def divided(ends: list[tuple[str, str]]) -> Iterator[str]:
        for first, group in groupby(sorted(ends), key=lambda end: end[0][:1]):
            alike = list(group)
            shared = _shared(alike[0][0], alike[-1][0])
            same = [(rest[len(shared) :], values) for rest, values in alike]
            yield f"{_literal(shared)} {add(same)}" if first else next(_grouped(same, between))

    add([(slot.name, _values(slot, dialect)) for slot in slots])
    return rules


def _grouped(ends: Iterable[tuple[str, str]], between: str) -> Iterator[str]:
    """Names and their values; names that may be given the same share it."""
    for values, group in groupby(sorted(ends, key=lambda end: end[1]), key=lambda end: end[1]):
        yield f"({_any_of(_literal(name) for name, _ in group)}) {_literal(between)} ({values})"


def _values(slot: Slot, dialect: Dialect) -> str:
    if slot.type == "bool":
        return "truth"
    if slot.type != "categorical":
        return "value"
    spelled = [spelling for value in slot.values for spelling in _spellings(value, dialect)]
    return _any_of([*spelled, _literal(_WAY_OUT)])


def _spellings(value: Any, dialect: Dialect) -> Iterator[str]:
    """How a value of a category may be written: as it is defined and as text, in any case."""
    before, between, after = render(SetSlot(_NAME, _NAME), dialect).split(_NAME)
    for written in (value, str(value)):
        line = render(SetSlot(_NAME, written), dialect)
        text = line.removeprefix(before + _NAME + between).removesuffix(after)
        yield _any_case_in_quotes(str(written)) if text.startswith('"') else _any_case(text)


def _free_value(dialect: Dialect, longest: int) -> dict[str, str]:
    """Rules of a value of any text, plain or as a JSON string, as `command_text` tells them apart."""
    brackets = "()" if dialect == "v1" else ""
    inner, edge = f"[^{brackets}{_CONTROLS}]", f"[^{brackets}{_BLANKS}{_QUOTES}{_CONTROLS}]"
    return {
        "value": rf'{edge} ({inner}{{0,{longest - 2}}} {edge})? | "\"" character{{0,{longest}}} "\""',
        "character": rf'[^"\\{_CONTROLS}] | "\\" (["\\/bfnrt] | "u" [0-9a-fA-F]{{4}})',
    }


def _shared(one: str, other: str) -> str:
    """How both begin."""
    return "".join(a for a, _ in takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False)))


# Terminals


def _any_of(alternatives: Iterable[str]) -> str:
    return " | ".join(dict.fromkeys(alternatives))


def _sequence(*parts: str) -> str:
    return " ".join(part for part in parts if part != _literal(""))


def _literal(text: str) -> str:
    """A quoted terminal in ASCII."""
    return f'"{"".join(map(_escaped, text))}"'


def _any_case(text: str) -> str:
    """A terminal whose letters may be upper or lower case."""
    parts: list[str] = []
    for has_case, group in groupby(text, key=lambda character: len(_cases(character)) > 1):
        run = "".join(group)
        parts += [f"[{''.join(map(_escaped, _cases(one)))}]" for one in run] if has_case else [_literal(run)]
    return " ".join(parts)


def _any_case_in_quotes(text: str) -> str:
    """The same as a JSON string, as `command_text` writes it."""
    letters = (
        _any_of(_literal(json.dumps(one, ensure_ascii=not text.isprintable())[1:-1]) for one in _cases(character))
        for character in text
    )
    return " ".join(['"\\""', *(f"({letter})" if " | " in letter else letter for letter in letters), '"\\""'])


def _cases(character: str) -> list[str]:
    """The characters that count as the same to an engine that does not look at case."""
    candidates = (character, character.lower(), character.upper())
    return sorted({one for one in candidates if len(one) == 1 and one.casefold() == character.casefold()})


def _escaped(character: str) -> str:
    if character.isascii() and character.isprintable() and character not in '"\\':
        return character
    code = ord(character)
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
