"""How rows are spread over flows, commands or slots."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from textual.content import Content

from tui.safe_text import one_line
from tui.widgets.bars import bar

_LONGEST_NAME = 32
"""Columns of a name; a longer one is cut, so that the bars stay in their columns."""


def spread(train: Mapping[str, int], validation: Mapping[str, int], thin: Collection[str] = ()) -> Content:
    """Rows by name on both sides, most frequent first; `thin` ones, which few tests hold, are marked."""
    names = sorted({*train, *validation}, key=lambda name: (-train.get(name, 0), name))
    if not names:
        return Content.styled("nothing: no row holds any", "$muted")
    shown = {name: Content(one_line(name)) for name in names}
    most = max([*train.values(), 1])
    width = min(_LONGEST_NAME, max(name.cell_length for name in shown.values()))
    lines = [Content.styled(f"{'':<{width}}  {'train':<32}validation", "$muted")]
    for name in names:
        count, other = train.get(name, 0), validation.get(name, 0)
        lines.append(
            Content.assemble(
                shown[name].truncate(width, ellipsis=True, pad=True),
                "  ",
                bar(count / most, 22, "$text-warning" if name in thin else "$text-primary"),
                f" {count:<8,} ",
                bar(other / most, 10, "$text-accent"),
                f" {other:,}",
                ("  thin" if name in thin else "", "$text-warning"),
            )
        )
    return Content("\n").join(lines)
