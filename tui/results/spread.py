"""How rows are spread over flows, commands or slots."""

from __future__ import annotations

from collections.abc import Mapping

from textual.content import Content

from tui.widgets.bars import bar


def spread(train: Mapping[str, int], validation: Mapping[str, int]) -> Content:
    """Rows by name on both sides, most frequent first."""
    names = sorted({*train, *validation}, key=lambda name: (-train.get(name, 0), name))
    most, width = max([*train.values(), 1]), max((len(name) for name in names), default=0)
    lines = [Content.styled(f"{'':<{width}}  {'train':<36}validation", "$muted")]
    for name in names:
        count, other = train.get(name, 0), validation.get(name, 0)
        lines.append(
            Content.assemble(
                f"{name:<{width}}  ",
                bar(count / most, 26),
                f" {count:<8,}",
                bar(other / most, 12, "$text-accent"),
                f" {other:,}",
            )
        )
    return Content("\n").join(lines)
