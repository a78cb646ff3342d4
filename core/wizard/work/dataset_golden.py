"""Which tests a session sets aside: those its owner names, those it set aside before, or a choice made now and kept."""

from __future__ import annotations

from collections.abc import Collection, Hashable, Mapping, Sequence
from pathlib import Path

from core.dataset.conversation import AnnotatedConversation
from core.dataset.golden import FILE, choose_golden, read_golden, write_golden
from core.evaluation.review import Workbench
from core.wizard.events import Log, Notice
from core.wizard.step import Context
from core.wizard.steps.dataset import DatasetAnswers


def set_aside(
    conversations: Sequence[AnnotatedConversation],
    bench: Workbench,
    groups: Mapping[str, Hashable],
    context: Context,
) -> frozenset[str]:
    """Ids of the golden tests. A first choice is written into the session's folder. Raises UsageError for a file that names none."""
    answers: DatasetAnswers = context.answers
    golden = choose_golden(
        conversations,
        bench.engine,
        bench.renderer(answers.history_turns),
        answers.golden_fraction,
        context.shared.seed,
        groups,
        _known(context),
    )
    if golden.notice is not None:
        context.emit(Notice("warning", golden.notice))
    if golden.tests:
        word = "as before" if golden.frozen else "chosen now and kept"
        context.emit(Log(f"{len(golden.tests)} golden tests, {word}: no model of this session learns from them"))
    if golden.tests and not golden.frozen:
        write_golden(_kept_in(context), golden.tests)
    return frozenset(golden.tests)


def _known(context: Context) -> Collection[str]:
    answers: DatasetAnswers = context.answers
    if answers.golden is not None:
        return read_golden(answers.golden)
    kept = _kept_in(context)
    return read_golden(kept) if kept.is_file() else ()


def _kept_in(context: Context) -> Path:
    return context.folder.parent.parent / FILE
