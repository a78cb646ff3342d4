"""`calmtune doctor PATH`: a project on one page."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from core.errors import UsageError

if TYPE_CHECKING:
    from core.assistant.repair import PatternChoice
    from core.evaluation.doctor import Diagnosis


def check_project(path: Path, tests: str | None, patterns: PatternChoice, as_json: bool) -> None:
    """Print what a project uses and what of it runs. Raises UsageError when it has errors, after printing all of them."""
    from core.evaluation.doctor import diagnose
    from tui import output

    found = diagnose(path, tests, patterns)
    if as_json:
        output.as_json(found.as_json())
    else:
        output.data(page(found))
    if found.errors:
        count = len(found.errors)
        raise UsageError(f"{count} error{'s keep' if count > 1 else ' keeps'} this project from running; see above")


def page(found: Diagnosis) -> str:
    """A diagnosis as text: the facts, the table of features, the problems."""
    from core.assistant.repair import version
    from core.evaluation.doctor import counted
    from tui.output import table

    verdicts = counted(found.features)
    facts = [
        ["assistant", ", ".join(f"{count} {what}" for what, count in found.counts.items())],
        ["conversation repair", f"{version(found.patterns)}: {found.patterns_reason}"],
        ["command generator", f"{found.generator or 'none'}, dialect {found.dialect}"],
        ["features", ", ".join(f"{count} {verdict}" for verdict, count in verdicts.items())],
    ]
    if found.notice:
        facts.append(["tests", found.notice])
    rows = [
        [
            feature.kind,
            feature.name,
            str(feature.count),
            f"{feature.file}:{feature.line}" if feature.line else feature.file,
            feature.verdict,
            feature.why,
        ]
        for feature in found.features
    ]
    parts = [table(facts, ["what", "found"]), table(rows, ["kind", "feature", "used", "first", "verdict", "why"])]
    parts += ["\n".join(f"{problem.severity}: {problem}" for problem in found.problems) or "no problems"]
    return "\n\n".join(parts)
