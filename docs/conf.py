"""Sphinx's settings: Markdown by MyST, the Furo theme; `make docs` builds, warnings are errors."""

from importlib.metadata import version as version_of

project = "calmtune"
author = "the calmtune authors"
release = version_of("calmtune")
extensions = ["myst_parser"]
myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = f"calmtune {release}"
html_theme_options = {"source_edit_link": ""}
nitpicky = True
