"""How a command ends: the exit code of an error, and what is said of it."""

from __future__ import annotations

from dataclasses import dataclass

import click

from core.errors import CalmtuneError


@dataclass(frozen=True)
class Ending:
    exit_code: int
    sentence: str = ""


def ending_of(error: BaseException) -> Ending:
    """Of anything that a command may raise."""
    if isinstance(error, click.Abort) and not isinstance(error.__cause__, KeyboardInterrupt):
        return Ending(130)  # a question of ours that was answered with end of file
    if isinstance(error, KeyboardInterrupt | click.Abort):
        return Ending(130, "stopped; what was finished is kept, `calmtune resume` goes on")
    if isinstance(error, click.exceptions.Exit):
        return Ending(error.exit_code)
    if isinstance(error, click.ClickException):
        return Ending(2, error.format_message())
    if isinstance(error, CalmtuneError):
        return Ending(error.exit_code, str(error))
    if isinstance(error, OSError):
        where = f" ({error.filename})" if error.filename else ""
        return Ending(1, f"{error.strerror or error}{where}; what was finished is kept, `calmtune resume` goes on")
    return Ending(
        1, f"a mistake in calmtune: {type(error).__name__}: {error}; run again with --debug and report what it shows"
    )
