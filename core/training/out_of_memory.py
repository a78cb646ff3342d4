"""What is said, and tried, when a step was too large for the memory. Standard library only: it also lies beside the training program."""

from __future__ import annotations


def smaller(rows: int, tokens: int = 0, needed: float = 0, available: float = 0) -> tuple[int | None, str]:
    """How many rows at a time to try after `rows` of `tokens` tokens did not fit, with a sentence; None when fewer make no sense.

    `needed` and `available` in bytes; what is not known is 0. Halving is enough: what a step keeps grows with its
    tokens.
    """
    what = f"a micro-batch of {tokens:,} tokens" if tokens else f"a micro-batch of {rows} {'row' if rows == 1 else 'rows'}"
    said = f"{what} does not fit the memory"
    if needed and available:
        said = f"{what} needs {gigabytes(needed)} of {gigabytes(available)}"
    if rows < 2:
        return None, f"{said}; it cannot be smaller, take a smaller model or a machine with more memory"
    return rows // 2, f"{said}; trying {rows // 2} of {rows} rows at a time"


def gigabytes(amount: float) -> str:
    """Bytes in words: 43 GB, 3.1 GB."""
    size = amount / 1e9
    return f"{size:.0f} GB" if size >= 9.95 else f"{size:.1f} GB"
