"""A row as the review shows it: one line in the list, and all of it beside the list."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from textual.content import Content

from core.dataset.rows import Row
from core.wizard.row_review import Mark
from tui.safe_text import one_line, safe

_MARKS: Mapping[str | None, tuple[str, str]] = {
    "accept": ("✓", "$text-success"),
    "reject": ("✗", "$text-error"),
    "edit": ("✎", "$text-accent"),
    None: ("↺", "$text-warning"),
}
_DONE = {"accept": "accepted by hand", "reject": "rejected by hand", "edit": "edited by hand", None: "taken back"}
_HEADING = "bold $text-accent"


def row_line(row: Row, mark: Mark | None) -> Content:
    """The line of a row: what was decided, and its wording."""
    sign, colour = _MARKS[mark.verdict] if mark is not None else (" ", "")
    wording = mark.text if mark is not None and mark.pending and mark.text else row.wording
    out = row.reason is not None or (mark is not None and mark.verdict == "reject")
    style = "$muted" if out and not (mark is not None and mark.verdict in ("accept", "edit")) else ""
    return Content.assemble(
        (f"{sign} ", f"bold {colour}" if colour else ""),
        (one_line(wording, 400), style),
        ("   " + one_line("; ".join(row.commands), 400), "$faint"),
    )


def row_detail(row: Row, mark: Mark | None) -> Content:
    """All of a row but its prompt."""
    parts = [_heading(row)]
    if mark is not None:
        parts += [_decision(mark), Content("\n")]
    elif row.reason is not None:
        parts += [Content.styled(f"✗ {safe(row.reason)}\n", "$text-error")]
    parts.append(Content("\n"))
    parts += [Content.styled(f"{safe(line)}\n", "$muted") for line in row.conversation]
    parts.append(Content.assemble(("USER: ", "bold"), (f"{safe(row.wording)}\n", "bold")))
    if row.wording != row.original:
        parts.append(Content.styled(f"      a wording of: {safe(row.original)}\n", "$muted"))
    if mark is not None and mark.verdict == "edit" and mark.pending:
        parts.append(Content.assemble(("  →   ", "$text-accent"), (f"{safe(mark.text or '')}\n", "bold $text-accent")))
    parts.append(Content.styled("\ncommands\n", _HEADING))
    parts += [Content(f"{safe(command)}\n") for command in row.commands]
    if row.reason is None:
        parts.append(Content.styled("\np shows or hides the prompt\n", "$faint"))
    return Content("").join(parts)


def row_prompt(prompt: str) -> Content:
    """What the model is shown."""
    return Content.styled("prompt\n", _HEADING) + Content(safe(prompt, 100_000) or "a rejected wording has none")


def _heading(row: Row) -> Content:
    file, _, name = row.test.rpartition("::")
    kind = f"row {row.number}" if row.reason is None else f"rejected wording {row.number}"
    places = {"train": "train", "validation": "validation", "left out": "left out: train shows it too"}
    facts = [places.get(row.side, ""), f"turn {row.turn}", _variant(row)]
    return Content.assemble(
        (one_line(name or row.test), "bold"), (f"  {one_line(Path(file).name)}\n", "$faint"),
        (" · ".join([kind, *(fact for fact in facts if fact)]) + "\n", "$muted"),
    )  # fmt: skip


def _variant(row: Row) -> str:
    if row.reason is not None:
        return ""
    return f"variant {row.variant}" if row.variant else "the test's own words"


def _decision(mark: Mark) -> Content:
    """What was decided, and whether the rows show it."""
    sign, colour = _MARKS[mark.verdict]
    what = "its message was rejected by hand" if mark.with_message else _DONE[mark.verdict]
    before = f", was: {one_line(mark.text)}" if mark.verdict == "edit" and not mark.pending and mark.text else ""
    return Content.assemble(
        (f"{sign} {what}{before}", f"bold {colour}"), (", not yet applied" if mark.pending else "", "$muted")
    )
