"""The report where it is read: in a browser, light and dark, wide and narrow, and on paper."""

from __future__ import annotations

import pytest

from core.evaluation.report import as_html
from tests.rigs.browser import BROWSER, measured, pages_on_paper
from tests.rigs.reports import HOSTILE, hostile, nothing_done, whole

pytestmark = pytest.mark.skipif(BROWSER is None, reason="no Chromium here (apt-get install chromium)")
PHONE, SCREEN = 390, 1280
LEGIBLE = 4.5
"""Contrast that WCAG 2.2 asks of texts, level AA."""


@pytest.mark.parametrize("report", [whole(), nothing_done()], ids=["whole", "nothing done"])
def test_light_and_dark_follow_the_reader_and_both_are_legible(report, tmp_path):
    page = as_html(report)
    light, dark = (measured(page, tmp_path, SCREEN, dark) for dark in (False, True))
    assert light["background"] == "rgb(251, 250, 247)"
    assert dark["background"] == "rgb(18, 21, 27)"
    assert light["colour"] != dark["colour"]
    for found in (light, dark):
        assert found["contrast"]["contrast"] >= LEGIBLE, found["contrast"]
        assert found["resources"] == found["foreign"] == 0


@pytest.mark.parametrize("width", [320, PHONE, 768, SCREEN])
def test_no_width_scrolls_sideways(width, tmp_path):
    found = measured(as_html(whole()), tmp_path, width)
    assert found["width"] == width
    assert found["outside"] == []
    assert found["needed"] <= width


@pytest.mark.parametrize("at", range(len(HOSTILE)))
def test_hostile_texts_neither_run_nor_break_the_layout(at, tmp_path):
    page = as_html(hostile(HOSTILE[at]))
    for width in (PHONE, SCREEN):
        found = measured(page, tmp_path, width)
        assert found["title"].endswith("calmtune report")
        assert found["foreign"] == found["resources"] == 0
        assert found["outside"] == []
        assert found["needed"] <= width


def test_it_prints_on_some_pages_whatever_the_screen_wants(tmp_path):
    page = tmp_path / "report.html"
    page.write_text(as_html(whole()), encoding="utf-8")
    light, dark = pages_on_paper(page, tmp_path), pages_on_paper(page, tmp_path, dark=True)
    assert 5 <= light <= 20
    assert dark == light
    page.write_text(as_html(nothing_done()), encoding="utf-8")
    assert pages_on_paper(page, tmp_path) < light
