"""Textual widgets, one a file."""
