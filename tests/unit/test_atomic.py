"""Files that are replaced as a whole."""

from __future__ import annotations

import os

import pytest

from core.atomic import write_atomically


def test_a_file_is_replaced_as_a_whole_and_stays_as_readable_as_it_was(tmp_path):
    path = tmp_path / "endpoints.yml"
    write_atomically(path, "one")
    assert path.stat().st_mode & 0o777 == 0o644
    path.chmod(0o600)
    with path.open() as before:
        write_atomically(path, "two")
        assert before.read() == "one", "who reads it has the old one"
    assert path.read_text() == "two"
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_link_stays_one(tmp_path):
    kept = tmp_path / "kept" / "config.yml"
    kept.parent.mkdir()
    link = tmp_path / "config.yml"
    link.symlink_to(kept)
    write_atomically(link, "new")
    assert link.is_symlink()
    assert kept.read_text() == "new"


def test_what_fails_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    path = tmp_path / "answers.yml"
    write_atomically(path, "old")

    def full(*paths: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(OSError, match="No space left"):
        write_atomically(path, "new")
    assert [(one.name, one.read_text()) for one in tmp_path.iterdir()] == [("answers.yml", "old")]
