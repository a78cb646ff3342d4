"""What went wrong, as a value that a card shows: what happened, what to try, the command that does it, where the log is."""

from __future__ import annotations

import contextlib
import errno
import shlex
import time
import traceback
from dataclasses import dataclass
from pathlib import Path

from core.errors import (
    BudgetReached,
    CalmtuneError,
    DeadlineError,
    Interrupted,
    ProblemsError,
    ProviderError,
    UsageError,
)
from core.wizard.recipe import STEP_IDS
from core.wizard.session import Session
from tui.output import redacted

APP_LOG = "app.log"
"""Beside a session's database: where mistakes of calmtune itself are written down."""
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_FULL_WORDS = ("disk is full", "disk I/O error", "No space left", "File too large", "quota exceeded")
_LOCKED_WORDS = ("database is locked", "database table is locked")


@dataclass(frozen=True)
class Mishap:
    """One thing that went wrong."""

    title: str
    what: str
    """A sentence, or one a line."""
    remedy: str
    command: str = ""
    """Does again what failed, without the app."""
    log: str = ""
    """Path of what was logged meanwhile."""

    @property
    def text(self) -> str:
        """All of it, to be pasted somewhere."""
        parts = [self.title, self.what, f"Try: {self.remedy}"]
        parts += [f"$ {self.command}"] if self.command else []
        parts += [f"Log: {self.log}"] if self.log else []
        return redacted("\n".join(parts)) + "\n"


def mishap_of(error: BaseException, title: str, session: Session | None = None, step: str | None = None) -> Mishap:
    """An error as a card shows it; one that nobody expected is written down with where it came from."""
    expected = isinstance(error, CalmtuneError | OSError)
    what = _sentence(error) if expected else f"a mistake in calmtune: {type(error).__name__}: {error}"
    log = _log_of(session, step) if session is not None else ""
    if not expected and session is not None:
        log = _written_down(session.folder / APP_LOG, error) or log
    return Mishap(title, redacted(what), remedy(error, what), _command(session, step), log)


def failed_before(reason: str, title: str, session: Session, step: str) -> Mishap:
    """A failure that only the session remembers."""
    return Mishap(title, redacted(reason), remedy(None, reason), _command(session, step), _log_of(session, step))


def remedy(error: BaseException | None, what: str) -> str:
    """What helps after such an error."""
    if (isinstance(error, OSError) and error.errno in _FULL) or any(words in what for words in _FULL_WORDS):
        return "make room on the disk, then run again: what was finished is kept"
    if any(words in what for words in _LOCKED_WORDS):
        return "close the other program that has this session open, then run again"
    if isinstance(error, Interrupted):
        return "run again: it goes on from its last checkpoint"
    if isinstance(error, BudgetReached):
        return "raise the budget in the session's answers, then run again: what was done is kept"
    if isinstance(error, DeadlineError):
        return "give it more time in the answers of this step, then run again"
    if isinstance(error, ProviderError):
        return "run again in a while; `calmtune doctor` shows what can be reached from here"
    if isinstance(error, ProblemsError):
        return "mend the files at these lines, then run again"
    if isinstance(error, UsageError):
        return "change the answer it names, then run again"
    if error is None or isinstance(error, CalmtuneError | OSError):
        return "change what it names, then run again: what was finished is kept"
    return "run again; if it comes back, report it with what the log says"


def _sentence(error: BaseException) -> str:
    if isinstance(error, OSError):
        return f"{error.strerror or error}{f' ({error.filename})' if error.filename else ''}"
    return str(error)


def _command(session: Session | None, step: str | None) -> str:
    if session is None:
        return ""
    until = ["--until", step] if step in STEP_IDS else []
    return shlex.join(["calmtune", "resume", session.id, *until])


def _log_of(session: Session, step: str | None) -> str:
    """The log of the step's last job."""
    with contextlib.suppress(CalmtuneError, OSError):
        logs = [session.folder / "jobs" / (job.id or job.name) / "log.txt" for job in session.journal.jobs() if job.step == step]
        there = [log for log in logs if log.is_file()]
        if there:
            return str(max(there, key=lambda log: log.stat().st_mtime))
    return ""


def _written_down(path: Path, error: BaseException) -> str:
    """Add where an error came from to a log; "" where that cannot be written."""
    came_from = redacted("".join(traceback.format_exception(error)))
    try:
        with path.open("a", encoding="utf-8") as log:
            log.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')}\n{came_from}\n")
    except OSError:
        return ""
    return str(path)
