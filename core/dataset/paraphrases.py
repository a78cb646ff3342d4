"""Other wordings that the owner brings in a file, in the place of a language model.

```yaml
paraphrases:
  - user: please collect a parcel tomorrow       # a message of the tests
    test: e2e_tests/pickup.yml::order a pickup   # optional: where the same words mean something else in another test
    variants:
      - could you pick up a parcel tomorrow
      - parcel pickup for tomorrow pls
```

Messages are compared without regard to case, spacing and punctuation.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.assistant.source import Reader, YamlList, YamlMapping, read_yaml
from core.dataset.conversation import AnnotatedConversation
from core.dataset.text import normalised
from core.e2e.cases import TestCase
from core.errors import Problem, ProblemsError, errors_among


@dataclass(frozen=True)
class Paraphrase:
    """One entry of the file."""

    user: str
    variants: tuple[str, ...]
    line: int
    test: str | None = None
    """Id of the test it is meant for; None for all."""


@dataclass(frozen=True)
class Paraphrases:
    """A file of other wordings, as a rephraser."""

    file: str
    entries: tuple[Paraphrase, ...]

    async def candidates(self, conversation: AnnotatedConversation, count: int) -> Mapping[int, Sequence[str]]:
        """The first `count` wordings for each turn that has some; an entry for the test goes before one for all."""
        by_message = {(entry.test, normalised(entry.user)): entry.variants for entry in self.entries}
        found: dict[int, Sequence[str]] = {}
        for at, turn in enumerate(conversation.turns):
            message = normalised(turn.user)
            variants = by_message.get((conversation.case.id, message)) or by_message.get((None, message))
            if variants and turn.rephrased:
                found[at] = variants[:count]
        return found

    def strays(self, cases: Iterable[TestCase]) -> list[Problem]:
        """Warnings for entries that concern no test, with the nearest message or test."""
        cases = list(cases)
        messages = {normalised(turn.user): turn.user for case in cases for turn in case.turns}
        tests = {case.id for case in cases}
        problems: list[Problem] = []
        for entry in self.entries:
            if entry.test is not None and entry.test not in tests:
                text = f"there is no test {entry.test}{_nearest(entry.test, tests)}; its wordings are not used"
            elif normalised(entry.user) not in messages:
                nearest = _nearest(entry.user, messages.values())
                text = f"no test has the message {entry.user!r}{nearest}; its wordings are not used"
            else:
                continue
            problems.append(Problem(self.file, entry.line, text, "warning"))
        return problems


def read_paraphrases(path: Path, shown_as: str | None = None) -> Paraphrases:
    """Read a paraphrase file. Raises ProblemsError with every problem of the file."""
    file = shown_as or str(path)
    content = read_yaml(path, file)
    problems: list[Problem] = []
    reader = Reader(file, problems)
    if not isinstance(content, YamlMapping) or not isinstance(content.get("paraphrases"), YamlList):
        raise ProblemsError([Problem(file, 0, "no list `paraphrases:` was found; each item has `user` and `variants`")])
    reader.known_keys(content, ("paraphrases",), "a paraphrase file", reader.error)
    entries: dict[tuple[str | None, str], Paraphrase] = {}
    for item, line in reader.items(content, "paraphrases"):
        entry = _entry(item, line, reader)
        if entry is None:
            continue
        earlier = entries.setdefault((entry.test, normalised(entry.user)), entry)
        if earlier is not entry:
            text = f"{entry.user!r} is given twice (first in line {earlier.line}); put all variants in one place"
            reader.error(line, text)
    if errors_among(problems):
        raise ProblemsError(problems)
    return Paraphrases(file, tuple(entries.values()))


def _entry(item: Any, line: int, reader: Reader) -> Paraphrase | None:
    if not isinstance(item, YamlMapping):
        reader.error(line, "each item must be a mapping with `user` and `variants`")
        return None
    reader.known_keys(item, ("user", "test", "variants"), "a paraphrase", reader.error)
    user = _text(item.get("user"), item.line_of("user"), "user", reader)
    test = _text(item["test"], item.line_of("test"), "test", reader) if item.get("test") is not None else None
    variants = [_text(value, at, "a variant", reader) for value, at in reader.items(item, "variants")]
    if not variants:
        reader.error(item.line_of("variants"), "`variants` must list at least one other wording")
    if user is None or not variants:
        return None
    return Paraphrase(user, tuple(variant for variant in variants if variant is not None), line, test)


def _text(value: Any, line: int, what: str, reader: Reader) -> str | None:
    if isinstance(value, str) and value.strip():
        return " ".join(value.split())
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    reader.error(line, f"{what} must be text" + ("" if value is None else f"; put {value!r} in quotes"))
    return None


def _nearest(name: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(name, list(known), 1)
    return f"; the nearest is {near[0]!r}" if near else ""
