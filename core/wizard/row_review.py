"""The rows of a session's newest preparation and what its owner decided about them, for every front that shows them."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from core.dataset.decisions import DECISIONS, Decision, Key, Verdict, read_decisions, write_decisions
from core.dataset.output import ALL_ROWS
from core.dataset.rows import Row, read_rows
from core.errors import UsageError
from core.wizard.consequences import duration
from core.wizard.inputs import difference, same
from core.wizard.recipe import REVIEWED, STEP_IDS, step
from core.wizard.session import Session, StepStatus, read_outputs

_RUN_OUTPUTS = "outputs.json"


@dataclass(frozen=True)
class Mark:
    """What was decided about a row by hand."""

    verdict: Verdict | None
    """None when an earlier verdict was taken back."""
    pending: bool
    """True until the rows are made again."""
    text: str | None = None
    """What an edited wording becomes; of a row that is the outcome of an edit, what it was before."""
    with_message: bool = False
    """True when not this wording was rejected but the message it stands for, and with it all its wordings."""


class RowReview:
    """Rows with decisions. Every decision is on the disk when `decide` or `undo` returns."""

    def __init__(self, session: Session, prompts: bool = True) -> None:
        """Raises UsageError when nothing was prepared yet, ProblemsError for a file of decisions that cannot be read."""
        self.session = session
        status = session.status(REVIEWED)
        self.folder = newest_preparation(session, status)
        self.rows: Sequence[Row] = read_rows(self.folder, prompts)
        self.summary = json.loads((self.folder / _RUN_OUTPUTS).read_text(encoding="utf-8"))["summary"]
        self._of_message: dict[tuple[str, int], list[Row]] = defaultdict(list)
        for row in self.rows:
            self._of_message[row.test, row.turn].append(row)
        self.path, now, self._then = _decisions(session, self.folder, status)
        self._know(now)

    def _know(self, now: dict[Key, Decision]) -> None:
        """Take over the decisions in force."""
        self._now = now
        self._became = {
            (one.test, one.turn, one.text): one for one in (*self._then.values(), *self._now.values()) if one.text
        }

    # What was decided

    @property
    def pending(self) -> int:
        """How many decisions the rows do not show yet."""
        return sum(self._now.get(key) != self._then.get(key) for key in self._now.keys() | self._then.keys())

    def mark(self, row: Row) -> Mark | None:
        """What was decided about a row; None when nothing was."""
        key = _key(row)
        if key in self._now or key in self._then:
            return self._mark(key)
        message = self._now.get((row.test, row.turn, row.original))
        if message is not None and message.verdict == "reject":
            return Mark("reject", self._is_pending(message.key), with_message=True)
        if (edit := self._became.get(key)) is not None and row.reason is None:
            mark = self._mark(edit.key)
            return Mark(mark.verdict, mark.pending, edit.wording)
        return None

    def _mark(self, key: Key) -> Mark:
        decision = self._now.get(key)
        if decision is None:
            return Mark(None, True)
        return Mark(decision.verdict, self._is_pending(key), decision.text)

    def _is_pending(self, key: Key) -> bool:
        return self._now.get(key) != self._then.get(key)

    def stays(self, row: Row) -> bool:
        """True when the wording is a row after the next run, as far as decisions tell."""
        mark = self.mark(row)
        if mark is None or not mark.pending or mark.verdict is None:
            return row.reason is None
        return mark.verdict != "reject"

    # Deciding

    def refusal(self, row: Row, verdict: Verdict, text: str | None = None) -> str | None:
        """Why a row cannot be decided about so: a sentence; None when it can."""
        if self.session.read_only:
            return self.session.notice or "this session can only be looked at here"
        if self.summary.get("prompts") == "rasa":
            return "these rows were prepared by the `rasa` command, which knows no decisions; change its files and bring them in again"
        mark = self.mark(row)
        if mark is not None and mark.with_message and verdict != "reject":
            return f"the message of row {row.number} was rejected, and with it all its wordings; take that back first"
        if verdict == "accept":
            if self.stays(row):
                return f"row {row.number} is accepted already; only rejected wordings (r1, r2, …) can be"
            same = self._row_with(row, row.wording)
            return f"row {same.number} has this wording already" if row.reason is not None and same else None
        if verdict == "reject":
            return None if self.stays(row) else f"row {row.number} is rejected already"
        if row.own:
            return f"row {row.number} is the message of the test {row.test}; edit it there"
        if text is None:
            return None
        if not text.strip():
            return "an edited wording needs words; reject it to leave it out"
        if text == row.wording and mark is None and row.reason is None:
            return f"row {row.number} is worded so already"
        same = self._row_with(row, text) if text != row.wording else None
        return f"row {same.number} has this wording already" if same else None

    def _row_with(self, row: Row, wording: str) -> Row | None:
        """Another row of the same message with a wording."""
        return next(
            (
                other
                for other in self._of_message[row.test, row.turn]
                if other.reason is None and other.wording == wording and other.original == row.original
            ),
            None,
        )

    def decide(self, rows: Iterable[Row], verdict: Verdict, text: str | None = None) -> None:
        """Decide about rows and write it down. Raises UsageError, and then none of it is decided."""
        rows = list(rows)
        text = text.strip() if text is not None else None
        for row in rows:
            if reason := self.refusal(row, verdict, text):
                raise UsageError(reason)
        self._change({_key(row): self._decision(row, verdict, text) for row in rows})

    def _decision(self, row: Row, verdict: Verdict, text: str | None) -> Decision | None:
        """The decision to write down; None where taking back a pending one comes to the same."""
        is_row = row.reason is None
        if verdict == ("accept" if is_row else "reject") or text == row.wording:
            if is_row or verdict == "reject":
                return self._then.get(_key(row))
            verdict, text = "accept", None
        return Decision(row.test, row.turn, row.wording, verdict, text)

    def undo(self, rows: Iterable[Row]) -> None:
        """Take back what was decided last about rows. Raises UsageError when nothing was."""
        if self.session.read_only:
            raise UsageError(self.session.notice or "this session can only be looked at here")
        changes: dict[Key, Decision | None] = {}
        for row in rows:
            key = self._decided_key(row)
            if key is None:
                raise UsageError(f"nothing was decided about row {row.number}")
            changes[key] = self._then.get(key) if self._is_pending(key) else None
        self._change(changes)

    def _decided_key(self, row: Row) -> Key | None:
        """The decision that a row's mark comes from."""
        key, message = _key(row), (row.test, row.turn, row.original)
        if key in self._now or key in self._then:
            return key
        if message in self._now and self._now[message].verdict == "reject":
            return message
        became = self._became.get(key)
        return became.key if became is not None and row.reason is None else None

    def _change(self, changes: dict[Key, Decision | None]) -> None:
        """Write the decisions with these changes. A kill at any moment leaves either the old ones or the new ones in force."""
        own = self.session.folder.resolve() / DECISIONS
        given = self.session.answers.get(REVIEWED, {})
        named = given.get("decisions") == str(self.path)
        decisions = {**(self._now if named else _read(self.path)), **changes}
        kept = [decision for decision in decisions.values() if decision is not None]
        if kept and not named:
            if not self.path.is_file():
                write_decisions(self.path, [])
            self.session.answer(REVIEWED, {**given, "decisions": str(self.path)})
        write_decisions(self.path, kept)
        if not kept and self.path == own:
            self.session.answer(REVIEWED, {name: value for name, value in given.items() if name != "decisions"})
            own.unlink()
        self._know({decision.key: decision for decision in kept})

    # What it means

    def outlook(self) -> str:
        """What running the preparation again will do, in words; "" when the rows show every decision."""
        if not self.pending:
            return ""
        concerned = {(key[0], key[1]) for key in self._now.keys() | self._then.keys() if self._is_pending(key)}
        rows = [row for message in concerned for row in self._of_message[message]]
        out = sum(row.reason is None and not self.stays(row) for row in rows)
        added = sum(row.reason is not None and self.stays(row) for row in rows)
        reworded = sum(row.reason is None and self.stays(row) and self._will_be_edited(row) for row in rows)
        parts = [
            f"takes out {_counted(out, 'row')}" if out else "",
            f"makes rows of {_counted(added, 'rejected wording')}" if added else "",
            f"rewords {_counted(reworded, 'row')}" if reworded else "",
        ]
        said = ", ".join(part for part in parts if part) or "makes the rows without what was taken back"
        decisions = _counted(self.pending, "decision")
        return f"{decisions}, not yet applied. Running again {said}{self._took()}.{self._below()}"

    def _will_be_edited(self, row: Row) -> bool:
        mark = self.mark(row)
        return mark is not None and mark.pending and mark.verdict == "edit"

    def _took(self) -> str:
        runs = [run for run in self.session.journal.runs(REVIEWED) if run.state == "done" and run.ended]
        took = f"it took {duration(runs[0].ended - runs[0].began)}" if runs and runs[0].ended else ""
        asked = "language models are not asked again" if self.summary["rephrasing"].get("llm_calls") else ""
        told = ", ".join(part for part in (took, asked) if part)
        return f" ({told})" if told else ""

    def _below(self) -> str:
        """The steps that are made of these rows and were run before."""
        below = STEP_IDS[STEP_IDS.index(REVIEWED) + 1 :]
        ran = {run.step for run in self.session.journal.runs() if run.state == "done"}
        titles = [step(id).title for id in below if id in ran]
        return f" Then {', '.join(titles)} run again too." if titles else ""


def newest_preparation(session: Session, status: StepStatus | None = None) -> Path:
    """The folder of the rows in force, else of the newest ones. Raises UsageError when there are none."""
    runs = [run for run in (session.folder / "runs").glob(f"{REVIEWED}-*") if (run / _RUN_OUTPUTS).is_file()]
    runs = [run for run in runs if run.suffix != ".partial" and (run / ALL_ROWS).is_file()]
    if not runs:
        raise UsageError(f"session {session.id} has no prepared rows yet; `calmtune resume {session.id}` makes them")
    status = status or session.status(REVIEWED)
    if status.folder is not None and status.folder in runs:
        return status.folder
    return max(runs, key=lambda run: (run / _RUN_OUTPUTS).stat().st_mtime)


def waiting_rows(session: Session, status: StepStatus) -> StepStatus | None:
    """A stale preparation with the outputs of its newest rows, when decisions about these wait to be applied.

    Its reason is what else changed since, "" when nothing did.
    """
    try:
        folder = newest_preparation(session, status)
        path, now, then = _decisions(session, folder, status)
    except UsageError:  # also of a file of decisions that cannot be read; running the step tells what is wrong in it
        return None
    run = next((run for run in session.journal.runs(REVIEWED) if folder.name.endswith(run.key[:12])), None)
    if status.state != "stale" or now == then or run is None:
        return None
    before, after = (_but_decisions(inputs, path) for inputs in (run.inputs, session.inputs(REVIEWED)))
    it = step(REVIEWED)
    outputs = read_outputs(json.loads((folder / _RUN_OUTPUTS).read_text(encoding="utf-8")))
    return replace(status, outputs=outputs, folder=folder, reason="" if same(it, before, after) else difference(it, before, after))


def _but_decisions(inputs: Mapping[str, Any], path: Path) -> dict[str, Any]:
    """Inputs of a run without what it is told about decisions."""
    answers = {name: value for name, value in inputs["answers"].items() if name != "decisions"}
    files = {name: value for name, value in inputs["files"].items() if name != path.as_posix()}
    return {**inputs, "answers": answers, "files": files}


def _decisions(
    session: Session, folder: Path, status: StepStatus
) -> tuple[Path, dict[Key, Decision], dict[Key, Decision]]:
    """The file of decisions, those in force now, and those that the rows in `folder` were made with."""
    given: Path | None = session.model(REVIEWED).decisions
    now = _read(given) if given is not None else {}
    then = dict(now) if status.folder == folder else _read(folder / DECISIONS)
    return given or session.folder.resolve() / DECISIONS, now, then


def _key(row: Row) -> Key:
    return (row.test, row.turn, row.wording)


def _read(path: Path) -> dict[Key, Decision]:
    return {decision.key: decision for decision in read_decisions(path)} if path.is_file() else {}


def _counted(count: int, what: str) -> str:
    return f"{count:,} {what}" if count == 1 else f"{count:,} {what}s"
