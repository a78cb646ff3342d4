"""Textual screens, one a file."""
