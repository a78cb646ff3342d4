"""What runs tell other programs."""

from __future__ import annotations

import click


@click.group()
def events() -> None:
    """Describe the JSON lines that a run with --json prints."""


@events.command("schema")
def events_schema() -> None:
    """Print the JSON Schema of one line."""
    from core.wizard.event_lines import schema
    from tui import output

    output.as_json(schema())
