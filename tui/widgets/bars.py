"""Horizontal bars in text, half a character fine."""

from __future__ import annotations

from textual.content import Content


def bar(share: float, width: int, style: str = "$text-primary", ascii_only: bool = False) -> Content:
    """A bar over `width` characters filled to `share` (0 to 1, clipped)."""
    share = min(1.0, max(0.0, share))
    if ascii_only:
        full = round(share * width)
        return Content.assemble(("#" * full, style), ("." * (width - full), "$faint"))
    full, half = divmod(round(share * width * 2), 2)
    text = "━" * full + "╸" * half
    return Content.assemble((text, style), ("━" * (width - len(text)), "$track"))
