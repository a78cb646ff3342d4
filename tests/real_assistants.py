"""Where real assistants may be found."""

from __future__ import annotations

from pathlib import Path

SHARED_ASSISTANTS = Path(__file__).resolve().parents[2] / "shared" / "assistants"
"""Beside the checkout, where there are any; tests over them are skipped elsewhere."""
