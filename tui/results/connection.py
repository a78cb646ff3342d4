"""Connection: the change to the configuration as a diff, and the first conversation."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from textual.containers import VerticalScroll
from textual.content import Content
from textual.widget import Widget
from textual.widgets import Static, TabbedContent, TabPane

from tui.results.panel import ResultPanel, facts
from tui.safe_text import safe

_DIFF = {"+": "$text-success", "-": "$text-error", "@": "$text-secondary"}


class ConnectionResult(ResultPanel):
    """Diff and conversation."""

    DEFAULT_CSS = """
    ConnectionResult TabbedContent { height: 1fr; }
    ConnectionResult TabPane { padding: 1 0 0 0; height: 1fr; }
    """

    needs = ("endpoint", "changed", "conversation")

    def body(self) -> Iterator[Widget]:
        summary = self.outputs.summary
        changed = ", ".join(summary["changed"]) or "nothing of yours: the changed copy is in the session"
        yield Static(facts({"endpoint": summary["endpoint"], "changed": changed}), classes="facts")
        with TabbedContent():
            with TabPane("First conversation"), VerticalScroll():
                yield Static(conversation(summary["conversation"]))
                yield Static(Content.styled("\nYour turn: the button below, or ctrl+t, goes on talking with the model.", "$muted"))
            with TabPane("Change"), VerticalScroll():
                yield Static(diff(self.path("diff").read_text(encoding="utf-8")))


def diff(text: str) -> Content:
    """A unified diff in colour."""
    return Content("\n").join([Content.styled(safe(line), _DIFF.get(line[:1], "")) for line in text.splitlines()])


def conversation(lines: Sequence[str]) -> Content:
    """A transcript; what the user says stands out."""
    return Content("\n").join(
        [Content.styled(safe(line), "bold $text-accent" if line.strip().lower().startswith("user") else "") for line in lines]
    )
