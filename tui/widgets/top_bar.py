"""The line at the top: product, session, assistant, where work runs."""

from __future__ import annotations

from textual.content import Content
from textual.reactive import reactive
from textual.widgets import Static


class TopBar(Static):
    """One line; `place` and `spent` say where work runs and what it has cost."""

    DEFAULT_CSS = """
    TopBar { height: 1; background: $panel; padding: 0 1; }
    """

    where: reactive[str] = reactive("")
    """Session and assistant."""
    state: reactive[str] = reactive("")
    """What is going on, at the right."""

    def render(self) -> Content:
        left = Content.assemble(("calmtune", "bold $text-accent"), (f"  {self.where}", ""))
        gap = max(2, self.size.width - 2 - left.cell_length - len(self.state))
        return Content.assemble(left, " " * gap, (self.state, "$muted"))
