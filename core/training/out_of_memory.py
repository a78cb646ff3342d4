"""What is said, and tried, when a step was too large for the memory. Standard library only: it also lies beside the training program."""

from __future__ import annotations


def smaller(tokens: int, needed: float, available: float) -> tuple[int | None, str]:
    """The next micro-batch to try after one of `tokens` tokens, with a sentence; None when a smaller one makes no sense.

    `needed` and `available` in bytes. Halving is enough: what a step keeps grows with its tokens, and above that with their pairs.
    """
    said = f"micro-batch of {tokens:,} tokens needs {gigabytes(needed)} of {gigabytes(available)}"
    if tokens < 2:
        return None, f"{said}; it cannot be smaller, take a smaller model or a larger machine"
    return tokens // 2, f"{said}; trying {tokens // 2:,}"


def gigabytes(amount: float) -> str:
    """Bytes in words: 43 GB, 3.1 GB."""
    size = amount / 1e9
    return f"{size:.0f} GB" if size >= 9.95 else f"{size:.1f} GB"
