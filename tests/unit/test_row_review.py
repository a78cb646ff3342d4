"""What the owner decides about rows: written at once, shown on the rows, taken back to what it was."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rigs.prepared import Prepared

from core.dataset.decisions import read_decisions
from core.dataset.output import ALL_ROWS
from core.dataset.rows import Row, read_prompt, read_rows
from core.errors import UsageError
from core.wizard.row_review import Mark, RowReview, waiting_rows
from core.wizard.session import Session


@pytest.fixture
def prepared(write_assistant, tmp_path, monkeypatch):
    monkeypatch.setenv("CALMTUNE_HOME", str(tmp_path / "home"))
    return Prepared(write_assistant, tmp_path)


@pytest.fixture
def session(prepared):
    opened = Session.open(prepared.home / "s")
    yield opened
    opened.close()


def row(review: RowReview, wording: str) -> Row:
    return next(row for row in review.rows if row.wording == wording)


def test_a_decision_is_on_disk_and_on_the_row_at_once(session):
    review = RowReview(session)
    review.decide([row(review, "Friday hours")], "reject")
    assert [decision.verdict for decision in read_decisions(session.folder / "decisions.yml")] == ["reject"]
    assert review.mark(row(review, "Friday hours")) == Mark("reject", pending=True)
    assert review.mark(row(review, "open on Friday?")) is None
    assert session.status("dataset").state == "stale"
    assert RowReview(session).mark(row(review, "Friday hours")) == Mark("reject", pending=True)
    assert review.outlook().startswith("1 decision, not yet applied. Running again takes out 1 row (it took ")


def test_running_again_applies_what_was_decided_and_the_marks_say_so(prepared, session):
    review = RowReview(session)
    review.decide([row(review, "Friday hours")], "reject")
    review.decide([row(review, "are you open")], "accept")
    review.decide([row(review, "all wet")], "edit", " soaking wet ")
    assert review.pending == 3
    assert "takes out 1 row, makes rows of 1 rejected wording, rewords 1 row" in review.outlook()
    session.close()
    prepared.prepare()
    session = Session.open(prepared.home / "s")
    review = RowReview(session)
    assert (review.pending, review.outlook()) == (0, "")
    assert review.mark(row(review, "Friday hours")) == Mark("reject", pending=False)
    assert review.mark(row(review, "are you open")) == Mark("accept", pending=False)
    assert review.mark(row(review, "soaking wet")) == Mark("edit", pending=False, text="all wet")
    review.undo([row(review, "soaking wet")])
    assert review.mark(row(review, "soaking wet")) == Mark(None, pending=True, text="all wet")
    assert "makes the rows without what was taken back" in review.outlook()
    review.undo([row(review, "soaking wet")])
    assert session.status("dataset").state == "fresh"
    session.close()


def test_taking_everything_back_finds_the_earlier_rows_again(session):
    before = session.status("dataset")
    review = RowReview(session)
    review.decide([row(review, "are you open")], "accept")
    review.undo([row(review, "are you open")])
    assert session.status("dataset").folder == before.folder
    assert not (session.folder / "decisions.yml").exists()
    assert "decisions" not in session.answers["dataset"]


def test_the_opposite_of_a_decision_takes_it_back(session):
    review = RowReview(session)
    review.decide([row(review, "Friday hours")], "reject")
    review.decide([row(review, "Friday hours")], "accept")
    review.decide([row(review, "are you open")], "edit", "open at all on Friday")
    review.decide([row(review, "are you open")], "reject")
    assert review.pending == 0


def test_a_message_that_is_rejected_takes_its_wordings_along(session):
    review = RowReview(session)
    message, wording = row(review, "are you open on Friday"), row(review, "Friday hours")
    review.decide([message], "reject")
    assert review.mark(wording) == Mark("reject", pending=True, with_message=True)
    assert "takes out 3 rows" in review.outlook()
    with pytest.raises(UsageError, match="the message of row 3 was rejected"):
        review.decide([wording], "accept")
    review.undo([wording])
    assert review.mark(message) is None


def test_of_several_decisions_all_are_taken_or_none(session):
    review = RowReview(session)
    with pytest.raises(UsageError, match="row r1 is rejected already"):
        review.decide([row(review, "Friday hours"), row(review, "are you open")], "reject")
    assert review.pending == 0


def test_a_session_open_elsewhere_is_only_looked_at(session, prepared):
    other = Session.open(prepared.home / "s")
    other.read_only, other.notice = True, "open elsewhere"
    review = RowReview(other)
    for change in (lambda: review.decide(review.rows[1:2], "reject"), lambda: review.undo(review.rows[1:2])):
        with pytest.raises(UsageError, match="open elsewhere"):
            change()
    assert not (session.folder / "decisions.yml").exists()
    other.journal.close()


def test_rows_of_the_rasa_command_cannot_be_decided_about(session):
    review = RowReview(session)
    review.summary["prompts"] = "rasa"
    with pytest.raises(UsageError, match="prepared by the `rasa` command"):
        review.decide([row(review, "Friday hours")], "reject")


def test_earlier_rows_are_shown_while_decisions_wait_with_what_else_changed(session):
    assert waiting_rows(session, session.status("dataset")) is None
    review = RowReview(session)
    review.decide([row(review, "Friday hours")], "reject")
    waiting = waiting_rows(session, session.status("dataset"))
    assert (waiting.folder, waiting.reason) == (review.folder, "")
    session.answer("dataset", {**session.answers["dataset"], "num_rephrases": 4})
    assert waiting_rows(session, session.status("dataset")).reason == "num rephrases 10 → 4"


@pytest.mark.parametrize(("name", "cut"), [("params.yaml", ""), (ALL_ROWS, '{"original_test_name": "a'), (ALL_ROWS, "1\n")])
def test_damaged_rows_are_named(session, name, cut):
    folder = RowReview(session).folder
    (folder / name).write_text(cut)
    with pytest.raises(UsageError, match=f"the rows in {folder} are damaged .*--force dataset"):
        read_rows(folder)


def test_prompts_are_read_one_by_one(session):
    review = RowReview(session, prompts=False)
    whole = read_rows(review.folder)
    assert {row.prompt for row in review.rows} == {""}
    assert [read_prompt(review.folder, row) for row in review.rows] == [row.prompt for row in whole]


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.tuples(st.integers(0, 8), st.sampled_from(["accept", "reject", "edit", "undo"]), st.sampled_from("xyz"))
    )
)
def test_whatever_is_decided_the_file_says_the_same_as_the_rows(session, deeds):
    review = RowReview(session, prompts=False)
    for at, verb, text in deeds:
        one = review.rows[at % len(review.rows)]
        stays = review.stays(one)
        try:
            if verb == "undo":
                review.undo([one])
            else:
                review.decide([one], verb, text if verb == "edit" else None)
                assert review.stays(one) == (verb != "reject")
        except UsageError:
            assert review.stays(one) == stays
        again = RowReview(session, prompts=False)
        assert [again.mark(row) for row in again.rows] == [review.mark(row) for row in review.rows]
        assert (session.status("dataset").state == "fresh") == (review.pending == 0)
    for one in review.rows:
        if review.mark(one) is not None:
            review.undo([one])
    assert review.pending == 0
    assert not (session.folder / "decisions.yml").exists()
