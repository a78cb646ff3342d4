"""The golden set: tests that no model of this session ever learns from, so that the last one still has something unseen to pass.

It is chosen once, before anything is rephrased, as the split chooses validation: spread over commands, flows and slots, each of which
the remaining tests hold as well. From then on it is frozen: later preparations take the same tests, and whatever became nearly
the same as one of them. Otherwise a model would be measured on other tests than the one before it, or on tests its fathers learnt.
"""

from __future__ import annotations

from collections.abc import Collection, Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml

from core.dataset.conversation import AnnotatedConversation
from core.dataset.output import write_yaml
from core.dataset.prepare import items_of
from core.dataset.split import split
from core.dialogue.engine import Engine
from core.dialogue.prompt import PromptRenderer
from core.errors import UsageError

FILE = "golden.yml"
_GOOD_SHARE = 0.5
"""Of the share wanted, from which a frozen set still counts as large enough."""


@dataclass(frozen=True)
class Golden:
    """Tests that are set aside."""

    tests: tuple[str, ...]
    """Ids, in the order of the tests."""
    frozen: bool
    """True when an earlier preparation chose them."""
    notice: str | None = None
    """A sentence for the owner."""


def choose_golden(
    conversations: Sequence[AnnotatedConversation],
    engine: Engine,
    renderer: PromptRenderer,
    fraction: float,
    seed: int,
    groups: Mapping[str, Hashable],
    frozen: Collection[str] = (),
) -> Golden:
    """About `fraction` (0 ≤ f < 1) of the tests, or the `frozen` ones that are still there with all of their groups."""
    ids = [conversation.case.id for conversation in conversations]
    kept = {groups[id] for id in ids if id in set(frozen)}
    if kept and fraction:
        tests = tuple(id for id in ids if groups[id] in kept)
        return Golden(tests, True, _too_small(len(tests) / len(ids), fraction))
    if not fraction or not ids:
        return Golden((), False)
    # Tests count here, not rows: one that teaches nothing has no share.
    items = [replace(item, size=min(item.size, 1)) for item in items_of(conversations, engine, renderer, groups)]
    chosen = split(items, 1 - fraction, seed).validation
    if chosen:
        return Golden(chosen, False)
    return Golden(
        (), False, "no test could be set aside for the golden set, since each holds something that no other does; write more tests"
    )  # fmt: skip


def _too_small(share: float, wanted: float) -> str | None:
    if share >= _GOOD_SHARE * wanted:
        return None
    return (
        f"the golden set is {100 * share:.1f} % of the tests, while {100 * wanted:.0f} % were asked for; it stays as it was chosen. "
        f"Remove {FILE} in the session's folder to choose anew"
    )


def read_golden(path: Path) -> tuple[str, ...]:
    """Ids of the tests a file names under `golden_tests`. Raises UsageError for anything else."""
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror or error}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} is no YAML: {error}") from error
    tests: Any = content.get("golden_tests") if isinstance(content, dict) else None
    if not isinstance(tests, list) or not all(isinstance(test, str) for test in tests):
        raise UsageError(
            f"{path} names no tests; write golden_tests: and a list of ids such as e2e_tests/a.yml::a test"
        )
    return tuple(tests)


def write_golden(path: Path, tests: Sequence[str]) -> None:
    """Write down which tests are golden, for later preparations."""
    write_yaml(path, {"golden_tests": list(tests)})
