"""A stretch of a file with line numbers, some of its lines marked."""

from __future__ import annotations

from collections.abc import Collection

from textual.content import Content
from textual.highlight import highlight


def source(text: str, language: str, first: int, last: int, marked: Collection[int]) -> Content:
    """Lines `first` to `last` (from 1) in the theme's colours; marked ones with a bar and a background."""
    lines = highlight("\n".join(text.splitlines()[first - 1 : last]), language=language).split("\n", allow_blank=True)
    shown = []
    for number, line in enumerate(lines, first):
        if number in marked:
            gutter = Content.assemble((f"{number:>4} ", "$text-warning"), ("▌ ", "$text-warning"))
            line = line.stylize("on $warning 18%")
        else:
            gutter = Content.styled(f"{number:>4}   ", "$faint")
        shown.append(gutter + line)
    return Content("\n").join(shown)
