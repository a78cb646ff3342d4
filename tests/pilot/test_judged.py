"""The result of an evaluation, old and new, driven as a person would drive it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rigs.judged import FULL, GATES, OLD, OLD_GATES, VALIDATION, judged
from textual.widgets import OptionList, Static, TabPane

import tui.browser
from core.wizard.step import Gate
from tests.fake_recipe import install
from tests.pilot.test_app import PARCELS, until
from tui.app import CalmtuneApp
from tui.browser import has_screen
from tui.results.evaluation import EvaluationResult
from tui.results.scores import scores
from tui.screens.conversation import ConversationScreen
from tui.screens.walk import WalkScreen
from tui.widgets.rate_bar import difference_bar, rate_bar
from tui.widgets.scoreboard import scores as board

SIZES = [(80, 24), (120, 40)]


@pytest.fixture
def fake(monkeypatch):
    import core.wizard.session
    import tui.screens.walk

    install(monkeypatch)
    monkeypatch.setattr(tui.screens.walk, "step", core.wizard.session.step)
    return monkeypatch


async def looking(app, pilot) -> EvaluationResult:
    await until(
        pilot, lambda: isinstance(app.screen, WalkScreen) and bool(app.screen.query(EvaluationResult)), "the result"
    )
    await until(pilot, lambda: bool(app.screen.query("#gates")), "its parts")
    await pilot.pause()
    return app.screen.query_one(EvaluationResult)


def text(panel, selector: str) -> str:
    return str(panel.query_one(selector, Static).render())


@pytest.mark.parametrize("size", SIZES)
async def test_scores_say_how_sure_they_are(tmp_path, fake, size):
    (await judged(tmp_path, PARCELS, FULL, GATES, fake)).close()
    app = CalmtuneApp(tmp_path, "one")
    async with app.run_test(size=size) as pilot:
        said = text(await looking(app, pilot), "#gates")
        for part in (
            "? not decided", "? validation", "┃", "85.0 %", "17 of 20", "64–95 %", "23 more tests would decide", "pass^3 71 %", "1 flaky",
            "✓ training", "pass",
        ):  # fmt: skip
            assert part in said
        assert app.screen.query_one(EvaluationResult).query_one("#gates").has_class("open")
        assert all(len(line) <= size[0] for line in said.splitlines())


async def test_failures_are_grouped_by_cause_and_open_with_their_conversation(tmp_path, fake):
    (await judged(tmp_path, PARCELS, FULL, GATES, fake)).close()
    app = CalmtuneApp(tmp_path, "one")
    async with app.run_test(size=(80, 24)) as pilot:
        panel = await looking(app, pilot)
        assert "name rooms in other words" in str(panel.query_one(".next", Static).render())
        turns = panel.query_one("#turns", OptionList)
        lines = [str(turns.get_option_at_index(at).prompt) for at in range(turns.option_count)]
        assert lines[0] == "wrong value  2"
        assert lines[3] == "wrong flow  1"
        assert lines[4].startswith("~ can we take")
        turns.focus()
        await pilot.press("home", "down")
        assert "three nights" in text(panel, "#turn Static")
        assert "nothing" in text(panel, "#turn Static")
        await pilot.press("up", "enter")
        await until(pilot, lambda: isinstance(app.screen, ConversationScreen), "the conversation")
        await until(pilot, lambda: text(app.screen, "#sides Static"), "its text")
        said = text(app.screen, "#sides Static")
        assert said.count("the attic [/x] please") == 1
        assert "▶ set slot room attic" in said
        for part in (
            "slot room is cellar, expected attic",
            "beds.yml:14",
            "utter_ask_room",
            "set slot room attic",
            "set slot room cellar",
            "wrong value",
        ):
            assert part in said
        await pilot.press("escape")
        await until(pilot, lambda: isinstance(app.screen, WalkScreen), "the list")


async def test_the_strong_model_stands_beside_the_tuned_one(tmp_path, fake):
    (await judged(tmp_path, PARCELS, FULL, GATES, fake)).close()
    app = CalmtuneApp(tmp_path, "one")
    async with app.run_test(size=(120, 40)) as pilot:
        panel = await looking(app, pilot)
        said = text(panel, "#compared")
        for part in (
            "too few to call them comparable",
            "−5.0 points, 95 %: −27.0 to +18.0",
            "15  tests pass with both",
            "~ e2e_tests",
        ):
            assert part in said
        table = text(panel, "#figures")
        for line in (
            "an answer takes, median      0.11 s     0.84 s",
            "$ per 1,000 turns                 —      $6.21",
        ):
            assert line in table
        assert "answers that are no commands          4          0" in table
        assert "a boat for two hours" in text(panel, "#flaky")


async def test_what_older_versions_wrote_is_shown_as_well(tmp_path, fake):
    (await judged(tmp_path, PARCELS, OLD, OLD_GATES, fake)).close()
    app = CalmtuneApp(tmp_path, "one")
    async with app.run_test(size=(80, 24)) as pilot:
        panel = await looking(app, pilot)
        assert "✗ validation" in text(panel, "#gates")
        assert "75.0 %" in text(panel, "#gates")
        assert [str(pane._title) for pane in panel.query(TabPane)] == ["Failures 1", "Speed and cost"]
        assert "0.21 s" in text(panel, "#figures")
        panel.query_one("#turns").focus()
        await pilot.press("home")
        assert "clarify [/a]" in text(panel, "#turn Static")
        assert "not known: another way led here" in text(panel, "#turn Static")


@pytest.mark.parametrize(
    "summary", [{"amount": 1}, {"retrained": False}, {"validation": None, "training": {"tests": 0}}]
)
async def test_an_outcome_without_tests_is_shown_as_facts(tmp_path, fake, summary):
    (await judged(tmp_path, PARCELS, summary, [Gate("positive", "≥ 0", "1", False)], fake)).close()
    app = CalmtuneApp(tmp_path, "one")
    async with app.run_test(size=(80, 24)) as pilot:
        panel = await looking(app, pilot)
        assert "positive" in text(panel, "#gates")
        assert not panel.query("#turns")


async def test_nothing_went_wrong(tmp_path, fake):
    summary = {"training": {**FULL["training"]}}
    (await judged(tmp_path, PARCELS, summary, GATES[1:], fake)).close()
    app = CalmtuneApp(tmp_path, "one")
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: isinstance(app.screen, WalkScreen), "the walk")
        await pilot.press("ctrl+b")
        panel = await looking(app, pilot)
        assert any("Nothing went wrong" in str(part.render()) for part in panel.query(Static))
        assert text(panel, "#gates").startswith("✓ passed")


async def test_o_opens_the_report_where_a_browser_can_be_seen_else_says_where_it_is(tmp_path, fake):
    session = await judged(tmp_path, PARCELS, FULL, GATES, fake)
    session.close()
    report, opened = tmp_path / "one" / "report.html", []
    app = CalmtuneApp(tmp_path, "one")
    async with app.run_test(size=(120, 40)) as pilot:
        await looking(app, pilot)
        report.unlink(missing_ok=True)
        app.screen.refresh_bindings()
        await pilot.pause()
        assert not any(key.action == "report" for key in app.screen.query("FooterKey"))
        report.write_text("<p>")
        app.screen.refresh_bindings()
        await pilot.pause()
        fake.setattr(tui.browser.webbrowser, "open", lambda address: opened.append(address) or True)
        fake.setenv("DISPLAY", ":0")
        await pilot.press("o")
        await until(pilot, lambda: opened == [report.resolve().as_uri()], "the browser")
        fake.delenv("DISPLAY")
        fake.delenv("WAYLAND_DISPLAY", raising=False)
        await pilot.press("o")
        await until(pilot, lambda: any(str(report) in one.message for one in app._notifications), "the path")
        assert len(opened) == 1


@pytest.mark.parametrize(
    ("platform", "environment", "seen"),
    [
        ("linux", {}, False),
        ("linux", {"DISPLAY": ":0"}, True),
        ("linux", {"WAYLAND_DISPLAY": "wayland-0"}, True),
        ("linux", {"DISPLAY": "", "SSH_CONNECTION": "a b"}, False),
        ("darwin", {}, True),
        ("darwin", {"SSH_CONNECTION": "a b"}, False),
    ],
)
def test_where_a_browser_can_be_seen(platform, environment, seen):
    assert has_screen(environment, platform) is seen


def test_a_gate_may_be_undecided_and_say_more():
    gates = [
        Gate("validation tests", "≥ 80 %", "85 %", False, "inconclusive", "23 more tests would decide"),
        Gate("b", "x", "y", True),
    ]
    said = str(board(gates))
    assert said.splitlines()[0] == "? not decided"
    assert "? validation tests" in said
    assert "\n  23 more tests would decide\n" in said
    assert str(board([*gates, Gate("c", "x", "y", False)])).startswith("✗ gate failed")


@pytest.mark.parametrize(
    ("passed", "rate", "verdict", "headline", "words"),
    [
        (True, 0.9, "pass", "✓ passed", "✓ validation"),
        (True, 0.85, "inconclusive", "✓ passed", "reached, unproven"),
        (True, 0.5, "fail", "✓ passed", "comparable"),
        (False, 0.85, "inconclusive", "? not decided", "not decided"),
        (False, 0.75, "inconclusive", "✗ gate failed", "missed, unproven"),
        (False, 0.2, "fail", "✗ gate failed", "fail"),
    ],
)
def test_a_set_says_whether_its_gate_holds_and_whether_that_is_proven(passed, rate, verdict, headline, words):
    gates = [Gate("training loss", "not diverged", "0.1", True), Gate("validation tests", "x", "y", passed, verdict)]
    found = {"validation": {**VALIDATION, "rate": rate, "verdict": verdict}, "training": FULL["training"]}
    for width in (74, 110):
        said = str(scores(found, gates, width))
        assert said.startswith(headline)
        assert words in said
        assert "✓ training loss  0.1" in said
        assert max(map(len, said.splitlines())) <= width


shares = st.floats(0, 1)


@given(
    shares,
    st.integers(1, 60),
    st.one_of(st.none(), st.tuples(shares, shares).map(sorted)),
    st.one_of(st.none(), shares),
)
def test_a_bar_is_as_wide_as_asked_whatever_it_shows(rate, width, interval, minimum):
    bar = rate_bar(rate, width, "$text-primary", tuple(interval) if interval else None, minimum)
    assert len(bar.plain) == width
    assert ("┃" in bar.plain) == (minimum is not None)


@given(st.floats(-1, 1), st.tuples(st.floats(-1, 1), st.floats(-1, 1)).map(sorted), shares)
def test_a_difference_lies_on_its_line(difference, interval, margin):
    line = difference_bar(difference, tuple(interval), margin)
    assert len(line.plain) == 41
    assert line.plain.count("●") == 1
