"""The recipe's bars, as shares from 0 to 1, and what lets a pass rate through them."""

from __future__ import annotations

from typing import Literal

TOTAL_COVERAGE = 0.90
FLOW_COVERAGE = 0.80
VALIDATION_PASS_RATE = 0.80
TRAINING_PASS_RATE = 0.95

Accept = Literal["share", "proven"]
"""The share of passed tests as it is, or the whole interval."""
