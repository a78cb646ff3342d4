"""The three forms of a report: complete, well formed, and proof against any text."""

from __future__ import annotations

import json
import math
import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from pydantic import TypeAdapter

from core.evaluation.report import Report, as_html, as_json, as_markdown
from core.evaluation.report_charts import difference_chart, interval_bar, loss_chart
from core.evaluation.report_content import LossCurve, PassRate
from core.evaluation.report_sections import cards
from core.evaluation.report_words import breakable, dollars, duration, percent, points, ranges, signed, when
from tests.rigs.reports import HOSTILE, hostile, nothing_done, whole

EMPTY = {"meta", "link", "br", "wbr", "img", "input", "hr"}
REPORTS = {"whole": whole(), "nothing done": nothing_done(), **{text[:20]: hostile(text) for text in HOSTILE}}
every_report = pytest.mark.parametrize("report", REPORTS.values(), ids=REPORTS.keys())


class Page(HTMLParser):
    """Reads a page as strictly as none of the browsers does."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.rows: list[tuple[str, int]] = []
        """(the table's number, cells) of each row."""
        self.text = ""
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        names = [name for name, _ in attrs]
        assert len(names) == len(set(names)), f"<{tag}> has an attribute twice"
        self.attributes += [(name, value or "") for name, value in attrs]
        if tag == "tr":
            self.rows.append((self.tags.count("table"), 0))
        elif tag in ("td", "th"):
            table, cells = self.rows[-1]
            self.rows[-1] = (table, cells + 1)
        if tag not in EMPTY:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if tag not in EMPTY:
            self.handle_endtag(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag, f"</{tag}> closes another"

    def handle_data(self, data):
        if "style" not in self.open:
            self.text += data

    def values(self, name: str) -> list[str]:
        return [value for key, value in self.attributes if key == name]


@every_report
def test_html_is_well_formed_and_refers_to_nothing_outside(report):
    written = as_html(report)
    assert written.startswith("<!DOCTYPE html>")
    page = Page(written)
    assert {"script", "img", "iframe", "link", "base", "form", "object"}.isdisjoint(page.tags)
    assert page.values("src") == []
    assert not [name for name, _ in page.attributes if name.startswith("on")]
    ids = page.values("id")
    assert len(ids) == len(set(ids))
    assert {target.removeprefix("#") for target in page.values("href")} <= set(ids)
    style = written[written.index("<style>") : written.index("</style>")]
    assert "url(" not in style
    assert "@import" not in style
    assert "http" not in style
    assert len(set(page.rows)) == len({table for table, _ in page.rows}), (
        "a row has other cells than its table's header"
    )


@pytest.mark.parametrize("text", filter(None, HOSTILE))
def test_hostile_texts_are_shown_as_they_are(text):
    shown = "".join(Page(as_html(hostile(text))).text.split())
    assert shown.count("".join(text.split())) > 100


def test_html_says_it_all_without_the_numbers_being_made_up():
    text = Page(as_html(whole())).text.replace("\u00a0", " ")
    for said in (
        "Ready to deploy", "85.7 %", "65 to 95 %", "18 of 21", "≥ 80 %", "about 60 more validation tests", "+4.8 points", "0.873 s",
        "$4.92", "A value was missed", "set slot address office", "write tests that give the address", "best 0.04921 at step 300",
        "data/flows.yml: 57–61", "7, 11–14, 20–31", "changes the meaning", "17.1 %", "83 % alike",
        "without them the tuned model passes 17 of 20", "Which address?",
        "$0.42", "5.16.1", f"{7**80:064x}"[:64], "epochs: 4",
        "79 % pass 3 of 3", "job demo-server-3f2a ended", "Golden",
    ):  # fmt: skip
        assert said in text, said
    assert "None" not in text.replace("None left", "")


def test_first_figures_are_of_unseen_tests_wherever_these_were_run():
    report = whole()
    first, last = report.evaluations
    golden, unseen = first.rates[2], replace(first, rates=first.rates[:2], comparison=None)
    moved = replace(
        report, evaluations=(unseen, replace(last, rates=(golden, *last.rates), comparison=first.comparison))
    )
    assert [(card.label, card.value.replace("\u00a0", " ")) for card in cards(moved)] == [
        ("Validation tests passed", "85.7 %"), ("Training tests passed", "98 %"), ("Golden tests passed", "91.7 %"),
        ("Beside the strong model", "+4.8 points"), ("Seconds a turn", "0.212 s"), ("Per 1,000 turns", "$0.041"),
    ]  # fmt: skip
    assert [card.label for card in cards(nothing_done())] == []
    assert [card.label for card in cards(replace(report, evaluations=()))] == ["Flow steps covered", "Rows prepared"]


def test_what_is_not_done_is_said():
    text = " ".join(Page(as_html(nothing_done())).text.split())
    assert "Unfinished: no step is done; next is Coverage review." in text
    assert "Coverage has not been run yet." in text
    assert "Training has not been run yet: waits for coverage." in text
    assert "No gate was measured yet." in text
    assert as_markdown(nothing_done()).count("has not been run yet") >= 3


@every_report
def test_json_holds_the_whole_report(report):
    assert TypeAdapter(Report).validate_json(as_json(report)) == report
    assert json.loads(as_json(report))["assistant"] == report.assistant


@every_report
def test_markdown_has_whole_tables_and_no_html(report):
    tokens = MarkdownIt("commonmark").enable("table").parse(as_markdown(report))
    inline = [child for token in tokens for child in token.children or ()]
    kinds = {token.type for token in (*tokens, *inline)}
    assert kinds.isdisjoint({"html_block", "html_inline", "link_open", "image", "code_block", "hr"})
    cells: list[int] = []
    for token in tokens:
        if token.type == "table_open":
            cells = []
        elif token.type == "tr_open":
            cells.append(0)
        elif token.type in ("td_open", "th_open"):
            cells[-1] += 1
        elif token.type == "table_close":
            assert len(set(cells)) == 1, cells


@pytest.mark.parametrize("text", filter(None, HOSTILE))
def test_no_text_adds_or_ends_a_part_of_the_markdown(text):
    def parts(written: str) -> list[str]:
        parsed = MarkdownIt("commonmark").enable("table").parse(written)
        return [f"{token.type} {token.tag}" for token in parsed if token.type != "inline"]

    assert parts(as_markdown(hostile(text))) == parts(as_markdown(hostile("harmless")))


@pytest.mark.parametrize("text", filter(None, HOSTILE))
def test_markdown_shows_texts_as_they_are(text):
    tokens = MarkdownIt("commonmark").enable("table").parse(as_markdown(hostile(text)))
    title = next(token for token in tokens if token.type == "inline")
    shown = "".join(child.content for child in title.children)
    assert shown == " ".join(text.split())


def test_very_many_failures_are_counted_in_html_and_kept_in_json():
    report = whole()
    evaluation = report.evaluations[0]
    failures = evaluation.failures[0]
    cases = tuple(replace(failures.cases[0], test=f"test {number}") for number in range(90))
    many = replace(report, evaluations=(replace(evaluation, failures=(replace(failures, cases=cases),)),))
    assert Page(as_html(many)).tags.count("article") == 25
    assert "65 more are in report.json" in as_html(many)
    assert len(json.loads(as_json(many))["evaluations"][0]["failures"][0]["cases"]) == 90


# Drawings


def shares(drawing: str, name: str) -> list[float]:
    return [float(value) for value in re.findall(rf'\b{name}="([\d.]+)%"', drawing)]


def test_a_rate_is_drawn_where_it_is():
    drawing = str(interval_bar(PassRate("x", 20, 17, 0.85, (0.64, 0.948), 0.8), "good"))
    assert 'class="filled good" width="85%"' in drawing
    assert 'class="required" x1="80%" x2="80%"' in drawing
    assert 'class="whisker" x1="64%" x2="94.8%"' in drawing


@given(
    st.floats(-1, 1), st.tuples(st.floats(-1, 1), st.floats(-1, 1)).map(sorted), st.none() | st.floats(0, 1)
)  # fmt: skip
def test_differences_stay_in_their_drawing(difference, interval, margin):
    drawing = str(difference_chart(difference, tuple(interval), margin))
    assert all(0 <= x <= 100 for x in shares(drawing, "x1") + shares(drawing, "cx"))
    zero = re.search(r'class="zero" x1="([\d.]+)%"', drawing)
    dot = re.search(r'cx="([\d.]+)%"', drawing)
    assert (float(dot[1]) > float(zero[1])) == (difference > 1e-5) or abs(difference) < 1e-4


losses = st.lists(st.floats(1e-6, 1e6), min_size=1, max_size=50)


@given(losses, losses)
def test_any_loss_is_drawn_with_some_ticks(train, validation):
    points = tuple(enumerate(train, 1))
    held_out = tuple((10 * at, loss) for at, loss in enumerate(validation, 1))
    best = min(held_out, key=lambda point: point[1])
    drawing = str(loss_chart(LossCurve("Loss", points, points, held_out, best)))
    for x, y in re.findall(r"M([\d.e+-]+) ([\d.e+-]+)h0", drawing):
        assert 0 <= float(x) <= 1000
        assert -0.1 <= float(y) <= 1000.1
    ticks = re.findall(r'text-anchor="end">([\d.e+-]+)</text>', drawing)
    assert 2 <= len(ticks) <= 14
    assert len(set(ticks)) == len(ticks)
    assert f"at step {best[0]:,}<" in drawing
    assert drawing.count("validation-dot") == (len(validation) if len(validation) <= 40 else 0)


def test_a_loss_of_nothing_is_drawn_too():
    for losses in ((), ((3, 0.0),), ((1, 0.0), (2, 0.0))):
        assert "<svg" in loss_chart(LossCurve("Loss", losses, losses, ()))


# Words


@pytest.mark.parametrize(
    ("said", "words"),
    [
        (percent(1.0), "100\u00a0%"),
        (percent(0.857), "85.7\u00a0%"),
        (percent(None), "–"),
        (signed(-0.0711), "−7.1"),
        (signed(-0.0001), "0"),
        (points(0.01), "+1 point"),
        (points(0.0), "no difference"),
        (dollars(0.0413), "$0.041"),
        (dollars(1234.5), "$1,234.50"),
        (dollars(0.0), "$0.00"),
        (duration(0.3), "under 1\u00a0s"),
        (duration(42.4), "42\u00a0s"),
        (duration(492), "8\u00a0min"),
        (duration(3599), "1\u00a0h 0\u00a0min"),
        (duration(12000), "3\u00a0h 20\u00a0min"),
        (ranges(((7, 7), (11, 14))), "7, 11–14"),
        (ranges(tuple((n, n) for n in range(20)), 2), "0, 1 and 18 more"),
        (when("2025-07-14T10:32+02:00"), "14 July 2025, 10:32 (UTC+02:00)"),
        (when("2025-01-02T03:04+00:00"), "2 January 2025, 03:04 (UTC)"),
        (when("once upon a time"), "once upon a time"),
        (breakable("order_a<b>/x __"), "order_<wbr>a&lt;b&gt;/<wbr>x __"),
    ],
)
def test_words(said, words):
    assert said == words


def test_nothing_that_is_no_number_gets_into_json():
    report = replace(whole(), spent=(replace(whole().spent[0], usd=math.nan),))
    with pytest.raises(ValueError, match="JSON"):
        as_json(report)


@pytest.mark.parametrize("value", [500_000.0, 1e6, 0.1, 3.3])
@pytest.mark.parametrize("apart", [0.0, 1e-15, 1e-12, 1e-8])
def test_losses_that_hardly_differ_are_drawn(value, apart):
    points = ((1, value), (2, value * (1 + apart)))
    drawing = str(loss_chart(LossCurve("Loss", points, points, points, points[0])))
    ticks = re.findall(r'text-anchor="end">([\d.e+-]+)</text>', drawing)
    assert len(set(ticks)) == len(ticks) >= 2
