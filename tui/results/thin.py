"""What is taught thinly: commands, flows and slots that few tests hold, and what to write about them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from textual.content import Content

from core.dataset.account import ENOUGH_TESTS, WHAT_TO_WRITE
from tui.safe_text import one_line
from tui.widgets.bars import bar

_SIDES = {"flow": "flows", "command": "command_types", "slot": "slots"}
"""Kind of a thing → where the summary counts its rows."""
_LONGEST_NAME = 40


def thin(split: Mapping[str, Any]) -> Content:
    """A paragraph a kind: each thing with its tests of those it needs and its rows to train on, then what to write."""
    few: Mapping[str, int] = split.get("thin") or {}
    if not few:
        return Content.styled(f"nothing: at least {ENOUGH_TESTS} tests hold each flow, command and slot", "$muted")
    names = {entry: one_line(entry.partition(" ")[2]) for entry in few}
    width = min(_LONGEST_NAME, max(Content(name).cell_length for name in names.values()))
    lines = []
    for kind, what in WHAT_TO_WRITE.items():
        of_kind = {entry: count for entry, count in few.items() if entry.startswith(f"{kind} ")}
        if not of_kind:
            continue
        lines.append(Content.styled(f"{kind.capitalize()}s", "bold $text-accent"))
        rows = split.get(_SIDES[kind], {}).get("train", {})
        for entry, count in of_kind.items():
            lines.append(
                Content.assemble(
                    "  ",
                    Content(names[entry]).truncate(width, ellipsis=True, pad=True),
                    "  ",
                    bar(count / ENOUGH_TESTS, 6, "$text-warning"),
                    f"  {count} of {ENOUGH_TESTS} tests",
                    (f"  {rows.get(entry.partition(' ')[2], 0):,} rows to train on", "$muted"),
                )
            )
        lines += [Content.styled(f"  → write {what}", "$text-warning"), Content("")]
    return Content("\n").join(lines[:-1])
