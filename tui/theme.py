"""The two themes of the app. Everything drawn takes its colours from them; the terminal's own are in the palette as ansi themes."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from textual.theme import Theme

DARK = Theme(
    "calm-dark",
    primary="#7fb4ca",
    secondary="#9d8cc4",
    accent="#e8b45a",
    foreground="#d7dae0",
    background="#12151b",
    surface="#181c24",
    panel="#242a35",
    success="#8fbf7f",
    warning="#e0a35c",
    error="#e2777a",
    dark=True,
    variables={
        "block-cursor-background": "#2c3a4a",
        "block-cursor-foreground": "#f2f4f8",
        "block-cursor-text-style": "bold",
        "footer-key-foreground": "#e8b45a",
        "footer-background": "#181c24",
        "input-selection-background": "#7fb4ca 35%",
        "scrollbar": "#2c3340",
        "scrollbar-background": "#12151b",
        "scrollbar-corner-color": "#12151b",
        "border": "#7fb4ca",
        "border-blurred": "#2c3340",
    },
)
LIGHT = Theme(
    "calm-light",
    primary="#1f6f8b",
    secondary="#6a5a9c",
    accent="#9a5b00",
    foreground="#22262e",
    background="#fbfaf7",
    surface="#f2f0ea",
    panel="#e4e1d8",
    success="#3d7a2e",
    warning="#9a5b00",
    error="#b3363b",
    dark=False,
    variables={
        "block-cursor-background": "#d5e6ec",
        "block-cursor-foreground": "#12151b",
        "block-cursor-text-style": "bold",
        "footer-key-foreground": "#9a5b00",
        "footer-background": "#f2f0ea",
        "scrollbar": "#d5d1c5",
        "scrollbar-background": "#fbfaf7",
        "scrollbar-corner-color": "#fbfaf7",
        "border": "#1f6f8b",
        "border-blurred": "#d5d1c5",
    },
)


def theme_to_begin_with(environment: Mapping[str, str], remembered: object, known: Collection[str]) -> tuple[str, str]:
    """(name of a theme, what is odd about the one asked for): CALMTUNE_THEME, else the one of the last time.

    Without colours (NO_COLOR) the terminal's own would be black on black, so those are not taken then.
    """
    asked = environment.get("CALMTUNE_THEME", "")
    odd = ""
    if asked and asked not in known:
        odd = f"there is no theme {asked!r} (CALMTUNE_THEME); the command palette lists those there are"
        asked = ""
    name = asked or (remembered if isinstance(remembered, str) and remembered in known else DARK.name)
    if "NO_COLOR" in environment and name.startswith("ansi"):
        return DARK.name, odd or f"the theme {name} needs colours, and NO_COLOR is set"
    return name, odd
