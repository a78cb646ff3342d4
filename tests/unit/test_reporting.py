"""What a session's report is gathered from, and that nothing stops it from being written, nor it a step."""

from __future__ import annotations

import asyncio
import json

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from core.errors import GateFailed, StepFailed
from core.wizard import report_parts
from core.wizard.events import Cost, Notice
from core.wizard.report_parts import MOST_POINTS, loss_curve
from core.wizard.reporting import FORMATS, report_of, write_report
from core.wizard.run import run_recipe, run_step
from core.wizard.session import Session
from core.wizard.spending import spent_by_step
from core.wizard.step import Gate
from tests.fake_recipe import FakeStep, install
from tests.rigs.finished import (
    COVERAGE,
    DATASET,
    FULL_EVALUATION,
    METRICS,
    PLAIN_EVALUATION,
    TRAINED,
    TRAINED_FILES,
    TRAINING,
    WRONG,
    finish,
    finish_all,
)


@pytest.fixture
def session(tmp_path, monkeypatch):
    install(monkeypatch)
    (tmp_path / "bot").mkdir()
    (tmp_path / "bot" / "config.yml").write_text("assistant_id: the-last-lamp\n")
    opened = Session.create(tmp_path / "home", "one")
    opened.answer("session", {"assistant": str(tmp_path / "bot")})
    yield opened
    opened.close()


def written(session):
    return {suffix: (session.folder / f"report.{suffix}").read_text(encoding="utf-8") for suffix in FORMATS}


def test_a_session_that_has_just_begun_says_so(session):
    report = report_of(session)
    assert report.assistant == "the-last-lamp"
    assert report.verdict.state == "unfinished"
    assert report.verdict.sentence == "Unfinished: no step is done; next is Coverage"
    assert [step.state for step in report.steps] == ["ready", *["blocked"] * 6]
    assert report.gates == report.evaluations == report.spent == report.left_out == ()
    assert report.coverage is report.dataset is report.training is report.deployment is None


@pytest.mark.parametrize("id", ["20250101-101010-merry-hill", "placeholder_default", "''", "[1]", "{"])
def test_an_assistant_without_a_name_is_called_like_its_folder(session, tmp_path, id):
    (tmp_path / "bot" / "config.yml").write_text(f"assistant_id: {id}\n")
    assert report_of(session).assistant == "bot"


def test_everything_that_steps_leave_is_in_it(session):
    finish_all(session)
    report = report_of(session)
    assert report.left_out == ()
    assert (report.verdict.state, report.verdict.sentence) == (
        "ready",
        "Ready to deploy: all 4 gates passed. It is deployed and connected.",
    )
    assert report.coverage.flows[0].lines == ((7, 9),)
    assert report.coverage.failed[0].reason == "line 12: the bot is silent"
    assert [(side.name, side.tests, side.rows) for side in report.dataset.sides] == [
        ("train", 1, 36), ("validation", 1, 8), ("golden", 1, None),
    ]  # fmt: skip
    assert report.dataset.leakage.pairs == ("71 % alike: a::book it and a::book that",)
    assert report.dataset.golden_leakage is None
    assert report.dataset.commands == {"set slot": (20, 0), "start flow": (0, 2)}
    curve, final = report.training.curves
    assert (curve.title, final.title) == ("Loss", "Loss: Production")
    assert curve.train[0] == (1, 2.0)
    assert curve.best == (9, pytest.approx(1 / 9))
    assert report.training.scores.micro_f1 == 0.95
    assert [score.command for score in report.training.scores.commands] == ["set slot", "clarify"]
    evaluation, production = report.evaluations
    assert [rate.name for rate in evaluation.rates] == ["validation", "golden"]
    assert evaluation.rates[0].interval == (0.3, 0.95)
    assert evaluation.rates[1].rate == 1.0
    assert evaluation.failures[0].cases[0].conversation == ("user: leave it",)
    assert evaluation.comparison.interval == (-0.6, 0.2)
    assert (evaluation.tuned.p90, evaluation.strong.p50, evaluation.strong.p90) == (0.4, 0.9, None)
    assert [(one.held, one.passed) for one in evaluation.grammar] == [(False, 2), (True, 3)]
    assert evaluation.comparison.steady == (3, 3)
    assert "learnt validation tests too" in production.note
    assert report.deployment.conversation == ("user: hello", "bot: hi")
    assert report.reproducibility.model_files == {"model.safetensors": "ab" * 32}
    assert report.reproducibility.settings["warmup"] == "none"
    assert set(report.reproducibility.digests) == {step.title for step in report.steps}
    assert yaml.safe_load(report.reproducibility.answers) == yaml.safe_load(
        (session.folder / "answers.yml").read_text()
    )
    for text in (written(session) if write_report(session) else {}).values():
        for said in ("the-last-lamp", "write tests that cancel", "gpt-4o", "model.safetensors", "ab" * 32):
            assert said in text
    assert not list(session.folder.glob(".report*"))


def test_a_verdict_without_certainty_is_told_beside_readiness(session):
    finish_all(session)
    session.answer("evaluation", {"note": "again"})
    detail = "95 % interval 30.1 to 95.4 %: reached, but not proven; 31 more such tests would decide"
    gates = (Gate("validation tests", "≥ 70.0 %", "75.0 % (3 of 4)", True, "inconclusive", detail),)
    finish(session, "evaluation", FULL_EVALUATION, gates)
    golden = {"validation": None, "golden": FULL_EVALUATION["golden"]}
    finish(
        session,
        "production",
        golden,
        (Gate("golden tests", "≥ 0.0 %", "100.0 %", True, "pass"),),
        TRAINED,
        TRAINED_FILES,
    )
    report = report_of(session)
    assert report.verdict.sentence == (
        "Ready to deploy: all 5 gates passed (1 of them without certainty). It is deployed and connected."
    )
    assert (report.gates[3].verdict, report.gates[3].detail) == ("inconclusive", detail)
    assert "learnt by no model" in report.evaluations[1].note
    write_report(session)
    assert detail in written(session)["md"]


def test_an_evaluation_of_before_is_told_as_far_as_it_goes(session):
    for id, summary in (("coverage", COVERAGE), ("dataset", DATASET)):
        finish(session, id, summary)
    finish(session, "training", TRAINING, (), TRAINED, TRAINED_FILES)
    gates = (
        Gate("validation tests", "≥ 80.0 %", "75.0 % (3 of 4)", False),
        Gate("training tests", "≥ 95.0 %", "100.0 %", True),
    )
    finish(
        session,
        "evaluation",
        PLAIN_EVALUATION,
        gates,
        {"results": "results"},
        {"results/validation_wrong_turns.jsonl": [WRONG]},
    )
    report = report_of(session)
    assert report.verdict.sentence == "Gates failed: validation tests 75.0 % (3 of 4), required ≥ 80.0 %"
    assert [(gate.name, gate.verdict) for gate in report.gates] == [
        ("validation tests", "fail"),
        ("training tests", "pass"),
    ]
    (evaluation,) = report.evaluations
    assert evaluation.rates[0].rate == 0.75
    assert evaluation.rates[0].verdict is evaluation.rates[0].interval is evaluation.comparison is None
    assert evaluation.tuned.p50 == 0.4
    (failures,) = evaluation.failures
    assert (failures.name, failures.tests, failures.cases[0].predicted) == ("validation", ("cancel",), "clarify")


def test_the_report_is_written_after_each_step(session):
    def run(until):
        asyncio.run(run_recipe(session, lambda step, event: None, until))
        return [step["state"] for step in json.loads(written(session)["json"])["steps"]]

    assert run("coverage") == ["fresh", "ready", *["blocked"] * 5]
    assert run("connection") == ["fresh"] * 7
    session.answer("training", {"amount": -1})
    with pytest.raises(GateFailed):
        run("connection")
    assert "Gates failed: positive -1" in written(session)["md"]


def test_a_report_that_cannot_be_written_fails_no_step(session):
    (session.folder / "report.html").mkdir()
    events = []
    status = asyncio.run(run_step(session, "coverage", lambda step, event: events.append(event)))
    assert status.state == "fresh"
    (notice,) = (event for event in events if isinstance(event, Notice))
    assert "the report could not be written" in notice.text
    assert not list(session.folder.glob(".report*"))


def test_summaries_of_other_versions_cost_a_part_and_not_the_report(session):
    finish(session, "coverage", {**COVERAGE, "flows": [{"name": "book"}]})
    finish(session, "dataset", DATASET | {"split": None})
    finish(session, "training", TRAINING, (), TRAINED, {**TRAINED_FILES, "metrics.jsonl": ["no metrics"]})
    report = report_of(session)
    assert report.coverage is report.dataset is report.training is None
    assert len(report.left_out) == 3
    assert "What Coverage left could not be read (KeyError: 'flow')." in report.left_out
    write_report(session)
    assert "What Coverage left could not be read (KeyError: 'flow')." in written(session)["md"]


def test_keys_and_what_cannot_be_shown_stay_out(session, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "canary-of-the-environment")
    session.answer("dataset", {"note": "sk-canary1234567890 https://me:canary-password@host/v1"})
    user = "canary-of-the-environment half \ud83d of \x00 \x1b[31m a character"
    for id, summary in (("coverage", COVERAGE), ("dataset", DATASET), ("training", TRAINING)):
        finish(session, id, summary)
    wrong = {"results/validation_wrong_turns.jsonl": [{**WRONG, "user": user}]}
    finish(session, "evaluation", PLAIN_EVALUATION, (), {"results": "results"}, wrong)
    write_report(session)
    for text in written(session).values():
        assert "canary" not in text
        assert "https://********@host/v1" in text
    (failures,) = report_of(session).evaluations[0].failures
    assert failures.cases[0].user == "[OPENAI_API_KEY] half � of � �[31m a character"


def test_only_the_owner_of_a_session_runs_it_but_anyone_may_have_its_report(session):
    finish(session, "coverage", COVERAGE)
    session.journal.take_lease("elsewhere:boot:1", lambda holder: True)
    other = Session.open(session.folder)
    try:
        assert other.read_only
        assert write_report(other).is_file()
    finally:
        other.close()


# Losses


def test_losses_of_a_resumed_run_and_losses_that_are_no_numbers(tmp_path):
    path = tmp_path / "metrics.jsonl"
    lines = [
        {"step": 1, "loss": 3.0},
        {"step": 2, "loss": 2.0},
        {"step": 2, "loss": 1.0},
        {"step": 3, "loss": float("nan")},
    ]
    path.write_text("\n".join(map(json.dumps, lines)))
    assert loss_curve(path, "Loss").train == ((1, 3.0), (2, 1.0))
    path.write_text("")
    assert loss_curve(path, "Loss") is None
    assert loss_curve(tmp_path / "none", "Loss") is None
    path.write_text("\n".join(map(json.dumps, METRICS)))
    assert loss_curve(path, "Loss").smooth[-1][1] > loss_curve(path, "Loss").train[-1][1]


@given(st.lists(st.floats(0.001, 1000), min_size=1, max_size=4 * MOST_POINTS))
def test_thinned_curves_keep_their_peaks(values):
    points = tuple(enumerate(values))
    thinned = report_parts._thinned(points)
    assert len(thinned) <= MOST_POINTS
    assert list(thinned) == sorted(thinned)
    assert {step for step, _ in thinned} <= set(range(len(values)))
    for end in (min, max):
        assert end(loss for _, loss in thinned) == pytest.approx(end(values), rel=1e-4)


# Spending


class Costly(FakeStep):
    """Spends as much as its answer says, in ten parts."""

    async def run(self, context):
        for part in range(1, 11):
            context.emit(Cost(abs(context.answers.amount) * part / 10))
        return await super().run(context)


def test_what_was_spent_is_remembered_over_all_runs(session, monkeypatch):
    import core.wizard.run

    monkeypatch.setattr(core.wizard.run, "step", lambda id: Costly(id))
    told = []
    session.answer("coverage", {"amount": 13})
    with pytest.raises(StepFailed):
        asyncio.run(run_step(session, "coverage", lambda step, event: told.append(event)))
    session.answer("coverage", {"amount": 2})
    asyncio.run(run_step(session, "coverage", lambda step, event: told.append(event)))
    assert len(told) == 20
    assert spent_by_step(session.journal) == {"coverage": 15.0}
    (spent,) = report_of(session).spent
    assert (spent.step, spent.usd) == ("Coverage", 15.0)
    assert spent.seconds >= 0


def test_small_sums_are_written_down_at_the_end_only(session):
    from core.wizard.spending import KIND, SpendingRecord

    with SpendingRecord(session.journal, "dataset", lambda event: None) as record:
        for thousandths in range(1, 26):
            record(Cost(thousandths / 1000))
    found = [body["usd"] for *_, body in session.journal.events(KIND)]
    assert found == [0.01, 0.02, 0.025]
    with SpendingRecord(session.journal, "dataset", lambda event: None):
        pass
    assert len(session.journal.events(KIND)) == 3
