"""The log of a run: following, searching, filtering, and lines that mean harm."""

from __future__ import annotations

from contextlib import asynccontextmanager

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from textual.app import App
from textual.widgets import Label, Static

from tests.pilot.test_app import until
from tui.safe_text import log_line
from tui.widgets.log_lines import LogLines, Search
from tui.widgets.log_panel import LogPanel
from tui.widgets.log_view import LogView


class Host(App[None]):
    BINDINGS = [("escape", "left", "Leave")]
    was_left = False

    def compose(self):
        yield LogPanel()

    def action_left(self) -> None:
        self.was_left = True


@asynccontextmanager
async def log_of(lines):
    app = Host()
    async with app.run_test(size=(80, 16)) as pilot:
        panel = app.query_one(LogPanel)
        panel.add(lines)
        panel.view.focus()
        await pilot.pause()
        yield pilot, panel


def shown(panel) -> list[str]:
    view = panel.view
    return ["".join(segment.text for segment in view.render_line(y)).rstrip() for y in range(view.size.height)]


def title(panel) -> str:
    return str(panel.query_one("#log-title", Static).render())


def numbered(count, begin=0):
    return [f"line {number} {'loss' if number % 100 == 0 else 'step'}" for number in range(begin, begin + count)]


async def ask(pilot, key, text):
    await pilot.press(key)
    await pilot.press(*(character if character.isalnum() else {" ": "space", "(": "left_parenthesis"}[character] for character in text))


async def test_it_follows_until_one_scrolls_and_again_from_the_end_on():
    async with log_of(numbered(1000)) as (pilot, panel):
        assert shown(panel)[-1] == "line 999 step"
        await pilot.press("pageup", "pageup")
        at = shown(panel)
        panel.add(numbered(45, 1000))
        await pilot.pause()
        assert shown(panel) == at
        assert "45 new lines, end follows" in title(panel)
        await pilot.press("end")
        assert shown(panel)[-1] == "line 1044 step"
        panel.add(["one more"])
        await pilot.pause()
        assert shown(panel)[-1] == "one more"
        assert title(panel) == "log  1,046 lines"


async def test_searching_goes_from_match_to_match_and_round():
    async with log_of(numbered(1000)) as (pilot, panel):
        await pilot.press("home")
        await ask(pilot, "slash", "LOSS")
        await until(pilot, lambda: "1 of 10" in title(panel), "the first match")
        await pilot.press("enter", "n", "n")
        assert "3 of 10" in title(panel)
        assert "line 200 loss" in shown(panel)
        await pilot.press("N", "N", "N")
        assert "10 of 10" in title(panel)
        assert "line 900 loss" in shown(panel)
        panel.add(["loss again"])
        await pilot.pause()
        assert "10 of 11" in title(panel)
        await pilot.press("escape")
        assert "of" not in title(panel)
        assert not pilot.app.was_left
        await pilot.press("escape")
        assert pilot.app.was_left


async def test_a_filter_leaves_lines_also_of_those_that_come_later():
    async with log_of(numbered(1000)) as (pilot, panel):
        await ask(pilot, "f", "loss")
        await until(pilot, lambda: panel.view.count == 10, "the filtered lines")
        assert [line for line in shown(panel) if line] == [f"line {number} loss" for number in range(0, 1000, 100)]
        assert "10 with “loss”" in title(panel)
        panel.add(["step", "a loss", "step"])
        await pilot.press("enter")
        assert shown(panel)[10] == "a loss"
        await ask(pilot, "slash", "90")
        await until(pilot, lambda: "1 of 1" in title(panel), "a search among them")
        await pilot.press("enter", "escape", "escape")
        assert panel.view.count == 1003


async def test_a_wrong_regular_expression_says_so_and_changes_nothing():
    async with log_of(numbered(1000)) as (pilot, panel):
        await pilot.press("f", "ctrl+t")
        await ask(pilot, "l", "ine (")
        await until(pilot, lambda: "missing )" in str(panel.query_one("#prompt-hint", Label).render()), "what is wrong")
        assert panel.view.count == 1000
        panel.query_one("#words").value = r"line \d5 "
        await until(pilot, lambda: panel.view.count == 9, "the filtered lines")
        assert "/line \\d5 /" in title(panel)


async def test_a_regular_expression_that_would_not_end_is_given_up():
    async with log_of(["a" * 3000]) as (pilot, panel):
        await pilot.press("f", "ctrl+t")
        panel.query_one("#words").value = r"(a+)+(a+)+(a+)+$b"
        await until(pilot, lambda: "takes longer than" in title(panel), "that it is slow")
        assert panel.view.count == 1


async def test_the_view_stays_where_it_was_when_a_filter_ends():
    async with log_of(numbered(1000)) as (pilot, panel):
        await ask(pilot, "f", "loss")
        await until(pilot, lambda: panel.view.count == 10, "the filtered lines")
        await pilot.press("enter")
        panel.view.following = False
        await pilot.press("escape")
        assert panel.view.count == 1000


HOSTILE = [
    "\x1b]0;title\x07 and \x1b[2J\x1b[31mred\x1b[0m", "[/x] [bold]not markup[/bold] [@click=app.bell]x[/]", "👩‍👩‍👧‍👦 family 🇩🇪 ❤️",
    "abc \u202egnp.exe\u202c", "שלום עולם مرحبا", "tab\tand\rreturn\x0bfeed", "\ud800 half",
    "z" * 10_000, "漢" * 10_000, "é" * 300, "\x9b31m\x00",
]  # fmt: skip


async def test_lines_that_mean_harm_are_shown_as_signs():
    async with log_of(HOSTILE) as (pilot, panel):
        for key in ("home", *["right"] * 30, *["left"] * 30, "end"):
            await pilot.press(key)
        text = "\n".join(shown(panel))
        assert "[/x] [bold]not markup" in text
        assert " and red" in text
        assert "\x1b" not in text
        await ask(pilot, "slash", "x")
        await until(pilot, lambda: panel.view.search is not None, "the search")
        assert pilot.app.export_screenshot()


@settings(max_examples=300)
@given(st.text(st.characters(), max_size=200) | st.sampled_from(HOSTILE))
def test_any_text_becomes_signs_of_one_line(text):
    found = log_line(text)
    found.encode()
    assert found == log_line(found)
    assert not any(ord(sign) < 32 or 0x7F <= ord(sign) < 0xA0 or 0x202A <= ord(sign) <= 0x202E for sign in found)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.text(st.characters(), max_size=40), max_size=60), st.text(max_size=3), st.integers(0, 60))
def test_lines_come_back_as_they_were_and_search_finds_those_that_hold_it(texts, wanted, first):
    lines = LogLines()
    for text in texts:
        lines.add([text])
    expected = [line for text in texts for line in text.split("\n")]
    assert [lines[at] for at in range(len(lines))] == list(lines[:]) == expected
    search = Search(wanted)
    assert list(search.in_lines(lines, min(first, len(lines)), len(lines))) == [
        at for at, line in enumerate(expected) if at >= first and wanted.casefold() in line.casefold()
    ]


async def test_any_lines_are_drawn_as_wide_as_the_view():
    app = Host()
    async with app.run_test(size=(40, 12)) as pilot:
        view = app.query_one(LogView)

        @settings(max_examples=60, deadline=None)
        @given(st.lists(st.text(st.characters(), max_size=80) | st.sampled_from(HOSTILE), max_size=12), st.integers(0, 30))
        def draw(texts, left):
            view.add(texts)
            view.scroll_to(x=left, animate=False, immediate=True, force=True)
            for y in range(view.size.height):
                strip = view.render_line(y)
                assert strip.cell_length == view.scrollable_content_region.width
                "".join(segment.text for segment in strip).encode()

        draw()
        await pilot.pause()


@pytest.mark.parametrize("text", ["", "a\n", "\n\nb"])
def test_line_breaks_make_lines(text):
    lines = LogLines()
    lines.add([text])
    assert lines[:] == text.split("\n")
