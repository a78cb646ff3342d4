"""F1: where one is, what the focused field means, and the keys that work here."""

from __future__ import annotations

from typing import Any

from textual.content import Content
from textual.screen import Screen

from core.wizard import recipe
from tui.help_texts import SCREEN_HELP, STEP_HELP
from tui.screens.dialogs import HelpDialog
from tui.widgets.question_form import QuestionForm, explanation


def help_for(screen: Screen[Any]) -> HelpDialog:
    """Help for a screen as it is now."""
    view = getattr(screen, "view", None)
    if view in STEP_HELP:
        title, text = recipe.step(view).title, STEP_HELP[view]
    else:
        title, text = SCREEN_HELP.get(type(screen).__name__, ("calmtune", "Escape goes back to where you were."))
    parts = [Content(text)]
    for form in screen.query(QuestionForm):
        if (question := form.focused_question) is not None:
            parts.insert(0, Content.assemble(explanation(question), "\n\n", (title, "bold"), "\n"))
            title = f"The field in focus, in step {title}"
    return HelpDialog(title, Content("").join(parts), keys_of(screen))


def keys_of(screen: Screen[Any]) -> list[tuple[str, str]]:
    """Keys that do something now, several of one action on one line."""
    found: dict[str, list[str]] = {}
    for active in screen.active_bindings.values():
        binding = active.binding
        if active.enabled and binding.tooltip:
            found.setdefault(binding.tooltip, []).append(binding.key)
    return [(" ".join(keys), tooltip) for tooltip, keys in found.items()]
