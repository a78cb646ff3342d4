"""The report of a session as one HTML file, as Markdown and as JSON: a `Report` says what; where that is from is not known here."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

from core.evaluation.report_content import Report

__all__ = ["Report", "as_html", "as_json", "as_markdown"]


def as_html(report: Report) -> str:
    """One file that needs no other: opens from a mail, prints, follows the reader's light or dark scheme, runs nothing."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    from core.evaluation.report_sections import cards, sections
    from core.evaluation.report_words import NOTHING, breakable, has_long_word, when

    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.tests["wordy"] = has_long_word
    environment.filters["breakable"] = breakable
    environment.globals["nothing"] = NOTHING
    page = environment.get_template("report.html.jinja")
    text = page.render(report=report, date=when(report.date), cards=cards(report), sections=sections(report))
    return text.lstrip()


def as_markdown(report: Report) -> str:
    """The same in words and tables."""
    from core.evaluation.report_markdown import markdown
    from core.evaluation.report_sections import cards, sections

    return markdown(report, cards(report), sections(report))


def as_json(report: Report) -> str:
    """The content itself, complete."""
    return json.dumps(asdict(report), ensure_ascii=False, indent=1, allow_nan=False) + "\n"
