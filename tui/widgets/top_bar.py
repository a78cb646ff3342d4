"""The line at the top: product, session, assistant, where work runs, what it costs."""

from __future__ import annotations

from textual.content import Content
from textual.reactive import reactive
from textual.widgets import Static

from tui.cost_meter import Costs
from tui.safe_text import one_line


class TopBar(Static):
    """One line; what does not fit is left out at the left."""

    DEFAULT_CSS = """
    TopBar { height: 1; background: $panel; padding: 0 1; text-wrap: nowrap; }
    """

    where: reactive[str] = reactive("")
    """Session and assistant."""
    state: reactive[str] = reactive("")
    """What is going on, at the right."""
    costs: reactive[Costs | None] = reactive(None)
    """The cost meter, where there is a session."""

    def render(self) -> Content:
        width = self.size.width - 2
        right = Content(self.state).stylize("$muted")
        if self.costs is not None:
            close = "bold $text-warning" if self.costs.close else "bold"
            right = Content.assemble(right, "  ·  " * bool(self.state), (self.costs.text, close))
        room = max(0, width - len("calmtune  ") - right.cell_length - 2)
        left = Content.assemble(("calmtune", "bold $text-accent"), "  ", Content(one_line(self.where)).truncate(room, ellipsis=True))
        return Content.assemble(left, " " * max(2, width - left.cell_length - right.cell_length), right)
