"""Verdicts on a tuned model."""
