"""What was typed into forms and is not taken over yet is there again the next time."""

from __future__ import annotations

import pytest

from tui.drafts import FILE, Drafts

SAVED = {"training": {"epochs": 3.0}}


def test_what_was_typed_is_there_again(tmp_path):
    Drafts(tmp_path / FILE, SAVED).keep("training", {"epochs": "2x"}, SAVED)
    again = Drafts(tmp_path / FILE, SAVED)
    assert again.of("training", SAVED) == {"epochs": "2x"}
    assert again.settings(SAVED) == ["training.epochs=2x"]
    again.drop("training")
    assert not (tmp_path / FILE).exists()
    assert Drafts(tmp_path / FILE, SAVED).of("training", SAVED) == {"epochs": 3.0}


def test_it_is_dropped_where_the_answers_beside_it_have_changed(tmp_path):
    Drafts(tmp_path / FILE, SAVED).keep("training", {"epochs": 2.0}, SAVED)
    now = {"training": {"epochs": 5.0}}
    assert Drafts(tmp_path / FILE, now).of("training", now) == {"epochs": 5.0}


def test_forms_as_they_were_leave_no_file(tmp_path):
    drafts = Drafts(tmp_path / FILE, SAVED)
    drafts.keep("training", {"epochs": 3.0}, SAVED)
    assert not (tmp_path / FILE).exists()
    drafts.keep("training", {"epochs": 2.0}, SAVED)
    drafts.keep("training", {"epochs": 3.0}, SAVED)
    assert not (tmp_path / FILE).exists()


def test_what_looks_like_a_key_is_not_written(tmp_path):
    drafts = Drafts(tmp_path / FILE, SAVED)
    drafts.keep("training", {"base_model": "sk-canary-0123456789"}, SAVED)
    assert drafts.of("training", SAVED) == {"base_model": "sk-canary-0123456789"}
    assert not (tmp_path / FILE).exists()


DAMAGED = ["", "[]", "\x00", '{"training": 3}', '{"training": {"values": 3}}', '{"nonsense": {"values": {}, "beside": {}}}']


@pytest.mark.parametrize("text", DAMAGED)
def test_a_damaged_file_is_as_none(tmp_path, text):
    (tmp_path / FILE).write_text(text)
    assert Drafts(tmp_path / FILE, SAVED).of("training", SAVED) == {"epochs": 3.0}


def test_where_it_cannot_be_written_it_lasts_as_long_as_the_app(tmp_path):
    drafts = Drafts(tmp_path / "gone" / FILE, SAVED)
    drafts.keep("training", {"epochs": 2.0}, SAVED)
    assert drafts.of("training", SAVED) == {"epochs": 2.0}


def test_a_session_that_may_only_be_looked_at_is_left_as_it_is(tmp_path):
    drafts = Drafts(None, SAVED)
    drafts.keep("training", {"epochs": 2.0}, SAVED)
    assert drafts.of("training", SAVED) == {"epochs": 2.0}
    assert list(tmp_path.iterdir()) == []
