"""How a command ends: the exit code of an error, and what is said of it."""

from __future__ import annotations

import signal
from dataclasses import dataclass
from types import FrameType

import click

from core.errors import CalmtuneError

CANCELLED = 130
"""Exit code of what Ctrl-C or a signal ended."""


@dataclass(frozen=True)
class Ending:
    exit_code: int
    sentence: str = ""


def ending_of(error: BaseException) -> Ending:
    """Of anything that a command may raise."""
    if isinstance(error, click.Abort) and not isinstance(error.__cause__, KeyboardInterrupt):
        return Ending(CANCELLED)  # a question of ours that was answered with end of file
    if isinstance(error, KeyboardInterrupt | click.Abort):
        return Ending(CANCELLED, "stopped; what was finished is kept, `calmtune resume` goes on with a session")
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


def end_as_ctrl_c_does() -> None:
    """Let SIGTERM, and SIGHUP unless `nohup` holds it off, end a command as Ctrl-C does: with a sentence, and the terminal as it was."""

    def interrupt(_: int, frame: FrameType | None) -> None:
        handler = signal.getsignal(signal.SIGINT)  # asyncio has one of its own
        (handler if callable(handler) else signal.default_int_handler)(signal.SIGINT, frame)

    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) == signal.SIG_DFL:
            signal.signal(number, interrupt)
