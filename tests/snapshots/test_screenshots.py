"""The pictures of the app in screenshots/ are what it shows today: made again from the kept session, and compared."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from screenshots.make import HERE, LOOKS, take

_QUICK = ("120x36-dark", "80x24-light")
_NAMES = re.compile(r"terminal-\d+")
"""Names within a drawing, which follow from how styles are numbered."""


@pytest.mark.parametrize("look", [look if look in _QUICK else pytest.param(look, marks=pytest.mark.slow) for look in LOOKS])
async def test_pictures_are_of_today(look, tmp_path):
    taken = await take(look, tmp_path)
    assert {path.name for path in taken} == {path.name for path in HERE.glob(f"*-{look}.svg")}, "`make screenshots` makes them"
    other = [path.name for path in taken if drawn(path) != drawn(HERE / path.name)]
    assert other == [], "`make screenshots` makes them again; look at them before you keep them"


def drawn(path: Path) -> str:
    return _NAMES.sub("terminal", path.read_text(encoding="utf-8"))
