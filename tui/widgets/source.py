"""A stretch of a file with line numbers, some of its lines marked."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Collection

from textual.content import Content
from textual.highlight import highlight

from tui.safe_text import safe

_LONGEST = 400
"""Characters of a line."""
_BREAK = re.compile("\r\n|[\n\r\x85\u2028\u2029]")
"""What ends a line in YAML."""


def source(text: str, language: str, first: int, last: int, marked: Collection[int], dedent: bool = False) -> Content:
    """Lines `first` to `last` (from 1) in the theme's colours; marked ones with a bar and a background.

    `dedent` leaves out the blanks that all of them begin with.
    """
    written = [safe(line, _LONGEST) for line in _BREAK.split(text)[first - 1 : last]]
    shown = "\n".join(written)
    lines = highlight(textwrap.dedent(shown) if dedent else shown, language=language).split("\n", allow_blank=True)
    numbered = []
    for number, line in enumerate(lines, first):
        if number in marked:
            gutter = Content.assemble((f"{number:>4} ", "$text-warning"), ("▌ ", "$text-warning"))
            line = line.stylize("on $warning 18%")
        else:
            gutter = Content.styled(f"{number:>4}   ", "$faint")
        numbered.append(gutter + line)
    return Content("\n").join(numbered)
