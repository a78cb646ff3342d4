"""What the owner decided about single wordings: a file that the preparation reads.

```yaml
decisions:
  - test: e2e_tests/pickup.yml::order a pickup
    turn: 1
    wording: I have a parcel
    verdict: reject                # accept | reject | edit
  - test: e2e_tests/pickup.yml::order a pickup
    turn: 1
    wording: parcel pickup pls
    verdict: edit
    text: parcel pickup, please
```

The message of the test itself may be rejected too, which leaves its row out; to word it otherwise, edit the test.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal, get_args

from core.assistant.source import Reader, YamlList, YamlMapping, read_yaml
from core.assistant.yaml_text import to_yaml
from core.dataset.conversation import AnnotatedConversation, AnnotatedTurn, Rejected
from core.dataset.output import write_text
from core.errors import Problem, ProblemsError

Verdict = Literal["accept", "reject", "edit"]
VERDICTS: tuple[Verdict, ...] = get_args(Verdict)
BY_HAND = "was rejected by hand"
DECISIONS = "decisions.yml"
"""In the session's folder: what was decided. In a run's folder: what its rows were made with."""
Key = tuple[str, int, str]
"""Test, turn and wording: what a decision is about."""


@dataclass(frozen=True)
class Decision:
    """One verdict."""

    test: str
    turn: int
    """Of the test's user messages, counted from 1."""
    wording: str
    verdict: Verdict
    text: str | None = None
    """What an edited wording becomes."""
    line: int = field(default=0, compare=False)

    @property
    def key(self) -> Key:
        return (self.test, self.turn, self.wording)


def read_decisions(path: Path) -> list[Decision]:
    """Read a file of decisions. Raises ProblemsError with every problem of the file."""
    content = read_yaml(path, path.name)
    problems: list[Problem] = []
    reader = Reader(path.name, problems)
    if not isinstance(content, YamlMapping) or not isinstance(content.get("decisions"), YamlList):
        raise ProblemsError(
            [Problem(path.name, 0, "no list `decisions:` was found; each item has test, turn and wording")]
        )
    found = [_decision(item, line, reader) for item, line in reader.items(content, "decisions")]
    if problems:
        raise ProblemsError(problems)
    return [decision for decision in found if decision is not None]


def _decision(item: object, line: int, reader: Reader) -> Decision | None:
    if not isinstance(item, YamlMapping):
        reader.error(line, "each item must be a mapping with test, turn, wording and verdict")
        return None
    reader.known_keys(item, ("test", "turn", "wording", "verdict", "text"), "a decision", reader.error)
    test, turn, wording, text = (item.get(name) for name in ("test", "turn", "wording", "text"))
    verdict = next((known for known in VERDICTS if known == item.get("verdict")), None)
    if not isinstance(test, str) or not isinstance(wording, str):
        reader.error(line, "`test` and `wording` must be texts")
    elif not isinstance(turn, int) or isinstance(turn, bool) or turn < 1:
        reader.error(item.line_of("turn"), "`turn` must be the number of a user message, counted from 1")
    elif verdict is None:
        reader.error(item.line_of("verdict"), "`verdict` must be accept, reject or edit")
    elif (verdict == "edit") != (isinstance(text, str) and bool(text.strip())):
        reader.error(line, "`text` is what an edited wording becomes; edit needs it, the others have none")
    else:
        return Decision(test, turn, wording, verdict, text, line)
    return None


def write_decisions(path: Path, decisions: Iterable[Decision]) -> None:
    """Write all decisions, the latest about a wording in the place of earlier ones."""
    latest = {decision.key: decision for decision in decisions}
    items = [
        {
            "test": decision.test,
            "turn": decision.turn,
            "wording": decision.wording,
            "verdict": decision.verdict,
            **({"text": decision.text} if decision.text is not None else {}),
        }
        for decision in latest.values()
    ]
    write_text(path, to_yaml({"decisions": items}))


def decided(
    conversations: Sequence[AnnotatedConversation], decisions: Sequence[Decision]
) -> tuple[list[AnnotatedConversation], list[Decision]]:
    """The conversations as the owner wants them, and the decisions that concern nothing in them."""
    left = list(decisions)
    done: list[AnnotatedConversation] = []
    for conversation in conversations:
        turns = list(conversation.turns)
        for decision in decisions:
            if decision.test == conversation.case.id and decision.turn <= len(turns):
                changed = _changed(turns[decision.turn - 1], decision)
                if changed is not None:
                    turns[decision.turn - 1] = changed
                    left = [other for other in left if other is not decision]
        done.append(replace(conversation, turns=tuple(turns)))
    return done, left


def _changed(turn: AnnotatedTurn, decision: Decision) -> AnnotatedTurn | None:
    """The turn after a decision; None when it does not concern it."""
    wording = decision.wording
    known = [*turn.passing, *(rejected.text for rejected in turn.rejected)]
    if turn.annotated and wording == turn.user and decision.verdict == "reject":
        return replace(turn, commands=(), lines=(), prompt="", passing=(), rejected=(), skipped=BY_HAND)
    if wording not in known:
        return None
    if decision.verdict == "reject":
        passing = tuple(text for text in turn.passing if text != wording)
        others = tuple(rejected for rejected in turn.rejected if rejected.text != wording)
        return replace(turn, passing=passing, rejected=(*others, Rejected(wording, BY_HAND)))
    accepted = decision.text or wording
    if wording in turn.passing:
        passing = tuple(accepted if text == wording else text for text in turn.passing)
    else:
        passing = (*turn.passing, accepted)
    rejected = tuple(rejected for rejected in turn.rejected if rejected.text != wording)
    return replace(turn, passing=tuple(dict.fromkeys(passing)), rejected=rejected)
