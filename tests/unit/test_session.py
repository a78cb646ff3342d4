"""Sessions: statuses follow from what is there, whatever happened before."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys

import pytest
from pydantic import Field

import core.wizard.session
from core.errors import GateFailed, StepFailed, UsageError
from core.wizard.run import run_recipe, run_step
from core.wizard.session import Session, sessions_in
from tests.fake_recipe import RAN, FakeAnswers, FakeStep, install


@pytest.fixture
def session(tmp_path, monkeypatch):
    install(monkeypatch)
    RAN.clear()
    (tmp_path / "bot").mkdir()
    (tmp_path / "bot" / "flows.yml").write_text("flows: {}")
    opened = Session.create(tmp_path / "home", "one")
    opened.answer("session", {"assistant": str(tmp_path / "bot")})
    yield opened
    opened.close()


def run(session, **options):
    return asyncio.run(run_recipe(session, lambda step, event: None, **options))


def states(session):
    return [status.state for status in session.statuses()]


def test_the_first_step_is_ready_and_the_rest_waits(session):
    assert states(session) == ["ready", *["blocked"] * 6]
    assert session.statuses()[1].reason == "waits for coverage"


def test_a_run_makes_every_step_fresh_and_a_second_one_repeats_nothing(session):
    assert [status.state for status in run(session)] == ["fresh"] * 7
    assert len(RAN) == 7
    run(session)
    assert len(RAN) == 7


def test_a_changed_answer_makes_its_step_stale_and_says_why(session):
    run(session)
    session.answer("training", {"amount": 5})
    status = session.status("training")
    assert (status.state, status.reason) == ("stale", "amount 1 → 5")
    assert session.status("evaluation").reason == "training is stale"
    assert session.frontier == "training"


def test_going_back_to_an_old_answer_is_fresh_at_once(session):
    run(session)
    session.answer("training", {"amount": 5})
    run(session)
    count = len(RAN)
    session.answer("training", {"amount": 1})
    assert states(session) == ["fresh"] * 7
    run(session)
    assert len(RAN) == count


def test_same_outputs_above_leave_what_is_below_alone(session):
    run(session)
    session.answer("coverage", {"note": "other words, same outcome"})
    assert session.status("coverage").state == "stale"
    run(session)
    assert RAN[7:] == ["coverage"]


def test_cosmetic_answers_change_nothing(session):
    run(session)
    session.answer("dataset", {"colour": "green"})
    assert states(session) == ["fresh"] * 7


def test_a_changed_file_makes_stale(session, tmp_path):
    run(session)
    (tmp_path / "bot" / "flows.yml").write_text("flows: {a: 1}")
    assert session.status("coverage").reason == "bot changed"


def test_the_same_files_elsewhere_change_nothing(session, tmp_path):
    run(session)
    (tmp_path / "bot").rename(tmp_path / "moved")
    session.answer("session", {"assistant": str(tmp_path / "moved")})
    assert states(session) == ["fresh"] * 7
    (tmp_path / "moved" / "flows.yml").write_text("flows: {a: 1}")
    assert session.status("coverage").state == "stale"


def test_what_our_commands_leave_in_the_assistants_folder_makes_nothing_stale(session, tmp_path):
    bot = tmp_path / "bot"
    (bot / "config.yml").write_text("language: en")
    run(session)
    for left in ("answers.yml", "e2e_coverage_results/passed.yml", "calmtune-export/report.md"):
        (bot / left).parent.mkdir(exist_ok=True)
        (bot / left).write_text("written by calmtune")
    assert states(session) == ["fresh"] * 7
    (bot / "data").mkdir()
    (bot / "data" / "answers.yml").write_text("flows: {}")  # only beside config.yml is it ours
    assert session.status("coverage").state == "stale"


def test_a_question_that_was_not_asked_then_counts_as_answered_by_its_default(session):
    class More(FakeAnswers):
        haste: int = Field(3, title="Haste", description="Asked from now on.")

    run(session)
    core.wizard.session.step("training").answers = More
    assert states(session) == ["fresh"] * 7
    session.answer("training", {"haste": 4})
    assert session.status("training").reason == "haste 3 → 4"
    run(session)
    session.answer("training", {})
    assert states(session) == ["fresh"] * 7


def test_a_failed_gate_stops_the_recipe_and_is_kept(session):
    session.answer("evaluation", {"amount": -1})
    with pytest.raises(GateFailed, match="Evaluation: positive -1"):
        run(session)
    assert states(session) == ["fresh", "fresh", "fresh", "gate failed", *["blocked"] * 3]
    count = len(RAN)
    with pytest.raises(GateFailed):
        run(session)
    assert len(RAN) == count


def test_a_failed_step_says_why_and_is_tried_again(session):
    session.answer("dataset", {"amount": 13})
    with pytest.raises(StepFailed, match="unlucky"):
        run(session)
    assert session.status("dataset").reason == "thirteen is an unlucky amount"
    session.answer("dataset", {"amount": 1})
    assert run(session)[-1].state == "fresh"


def test_force_repeats_one_step_only(session):
    run(session)
    run(session, force=["training"])
    assert RAN[7:] == ["training"]


def test_until_stops_there(session):
    run(session, until="dataset")
    assert states(session)[:3] == ["fresh", "fresh", "ready"]


@pytest.mark.parametrize("until", ["coverage", "dataset"])
def test_what_changed_while_a_step_ran_is_said_and_no_success(session, tmp_path, monkeypatch, until):
    ran = FakeStep.run

    async def edited_meanwhile(self, context):
        (tmp_path / "bot" / "flows.yml").write_text("flows: {edited: {}}")
        return await ran(self, context)

    with monkeypatch.context() as patched:
        patched.setattr(FakeStep, "run", edited_meanwhile)
        with pytest.raises(StepFailed, match=r"Coverage: .*changed while it ran; `calmtune resume` runs it again"):
            run(session, until=until)
    run(session, until=until)
    assert states(session)[0] == "fresh"


def test_a_blocked_step_cannot_run(session):
    with pytest.raises(UsageError, match="waits for coverage"):
        asyncio.run(run_step(session, "dataset", lambda step, event: None))


def test_the_answers_file_repeats_the_session(session, tmp_path):
    import yaml

    session.answer("training", {"amount": 3})
    written = yaml.safe_load((session.folder / "answers.yml").read_text())
    assert written == {"assistant": str(tmp_path / "bot"), "training": {"amount": 3}}


def test_wrong_answers_are_refused(session):
    with pytest.raises(UsageError, match="amount"):
        session.answer("training", {"amount": "many"})


def test_a_second_process_only_looks(session, tmp_path):
    code = f"""
from pathlib import Path
from core.wizard.session import Session
session = Session.open(Path({str(session.folder)!r}))
print(session.read_only, "can only be looked at" in session.notice)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["True", "True"]


def test_a_dead_process_is_replaced_with_a_notice(session, tmp_path):
    session.journal.drop_lease(session.holder)
    code = f"""
import os
from pathlib import Path
from core.wizard.session import Session
Session.open(Path({str(session.folder)!r}))
os.kill(os.getpid(), 9)
"""
    with subprocess.Popen([sys.executable, "-c", code]) as killed:
        os.waitid(os.P_PID, killed.pid, os.WEXITED | os.WNOWAIT)  # dead, and its parent has not noticed
        again = Session.open(session.folder)
    assert killed.returncode == -9
    assert not again.read_only
    assert "taken over" in again.notice
    again.close()
    session.take()


def test_old_runs_can_be_collected(session):
    run(session)
    session.answer("training", {"amount": 5})
    run(session, until="training")
    session.answer("training", {"amount": 1})
    assert [folder.name.split("-")[0] for folder in session.unreachable_runs()] == ["training"]


def test_lost_outputs_are_noticed(session):
    import shutil

    run(session)
    shutil.rmtree(session.status("connection").folder)
    assert session.status("connection").reason == "its files are gone"


def test_a_newer_format_is_refused(tmp_path):
    import sqlite3

    folder = tmp_path / "s"
    folder.mkdir()
    sqlite3.connect(folder / "session.db").execute("PRAGMA user_version = 99")
    with pytest.raises(UsageError, match="newer calmtune"):
        Session.open(folder)


@pytest.mark.parametrize("damage", [lambda whole: b"no database" * 99, lambda whole: whole[:4096] + b"\xff" * 9000, lambda whole: b""])
def test_a_damaged_database_is_made_again_from_what_lies_beside_it(session, damage):
    run(session)
    session.answer("training", {"amount": 5})
    session.close()
    database = session.folder / "session.db"
    database.write_bytes(damage(database.read_bytes()))
    again = Session.open(session.folder)
    try:
        assert "was damaged" in again.notice
        assert (session.folder / "session.db.damaged").exists()
        assert states(again)[:3] == ["fresh", "fresh", "stale"]
        again.answer("training", {})
        assert states(again) == ["fresh"] * 7
        assert run(again)
        assert len(RAN) == 7, "nothing was repeated"
    finally:
        again.close()


def test_a_database_that_is_gone_is_made_again_too_and_the_session_is_listed(session):
    run(session)
    session.close()
    (session.folder / "session.db").unlink()
    assert sessions_in(session.folder.parent) == [session.folder]
    again = Session.open(session.folder)
    try:
        assert again.notice.startswith("session.db was gone; the answers and 7 runs were read back")
        assert states(again) == ["fresh"] * 7
    finally:
        again.close()


@pytest.mark.parametrize("cut", ["", '{"summary": {"a', "[1]", "\0" * 40])
def test_outputs_that_a_crash_cut_are_made_again(session, cut):
    run(session)
    journal, (first, *_) = session.journal, session.statuses()
    journal.begin_run(first.step, first.key, journal.run(first.step, first.key).inputs)  # as before it was written down that it ended
    session.close()
    (first.folder / "outputs.json").write_text(cut)
    again = Session.open(session.folder)
    try:
        assert states(again)[0] == "interrupted"
        assert run(again)
        assert states(again) == ["fresh"] * 7
    finally:
        again.close()


@pytest.mark.parametrize("cut", ["", "[1]", "{}", '{"step": "coverage"'])
def test_a_run_that_cannot_be_read_is_left_out_of_a_session_made_again(session, cut):
    run(session)
    session.close()
    (session.folder / "session.db").write_bytes(b"no database" * 99)
    (first, *_) = sorted((session.folder / "runs").glob("coverage-*/run.json"))
    first.write_text(cut)
    again = Session.open(session.folder)
    try:
        assert "6 runs were read back" in again.notice
        assert run(again)
    finally:
        again.close()


def test_a_session_without_an_assistant_is_blocked_and_says_what_names_it(tmp_path):
    session = Session.create(tmp_path, "one")
    try:
        assert states(session) == ["blocked"] * 7
        assert "--session one --set assistant=PATH" in session.status("coverage").reason
    finally:
        session.close()


def test_sessions_are_listed_newest_first(tmp_path):
    for number, name in enumerate(("old", "new")):
        Session.create(tmp_path, name).close()
        os.utime(tmp_path / name / "session.db", (number, number))
    assert [folder.name for folder in sessions_in(tmp_path)] == ["new", "old"]


def test_names_of_sessions_are_folder_names(tmp_path):
    with pytest.raises(UsageError, match="cannot name a session"):
        Session.create(tmp_path, "../up")
    Session.create(tmp_path, "one").close()
    with pytest.raises(UsageError, match="resume one"):
        Session.create(tmp_path, "one")


def test_outputs_are_plain_json(session):
    status = run(session)[0]
    assert json.loads((status.folder / "outputs.json").read_text())["summary"]["amount"] == 1


def test_what_a_change_would_undo_is_told_before_it_is_made(session):
    from core.wizard.consequences import consequences, in_words

    run(session)
    found = consequences(session, "training", {"amount": 5})
    assert [one.step for one in found] == ["training", "evaluation", "production", "deployment", "connection"]
    assert in_words(found, {one.step: one.step.title() for one in found}).startswith(
        "Training (amount 1 → 5), Evaluation,"
    )
    assert states(session) == ["fresh"] * 7, "nothing was changed by asking"
    assert consequences(session, "training", {"colour": "blue"}) == []
    session.answer("training", {"amount": 5})
    run(session)
    assert consequences(session, "training", {"amount": 1}) == [], "an earlier run had these answers"


def test_a_server_that_ended_makes_its_step_stale_and_is_started_again(session, monkeypatch):
    from core.wizard.session import step
    from core.wizard.step import Outputs
    from provisioning.job import Job

    async def serve(self, context):
        job = Job("server", (sys.executable, "-c", "import time; time.sleep(600)"))
        return Outputs({}, {}, [], "", {(await context.jobs.launch(job)).id: "local"})

    plain = type(step("deployment")).run

    async def run_one(self, context):
        return await (serve if self.id == "deployment" else plain)(self, context)

    monkeypatch.setattr(type(step("deployment")), "run", run_one)
    local = session.targets["local"]
    try:
        assert [status.state for status in run(session)] == ["fresh"] * 7
        (job,) = local.list()
        local.cancel(job.id)
        assert states(session)[5:] == ["stale", "blocked"]
        assert "ended; it can be started again" in session.status("deployment").reason
        assert [status.state for status in run(session)] == ["fresh"] * 7
        assert [job.state for job in local.list()] == ["running"]
        assert RAN.count("training") == 1
    finally:
        for job in local.list():
            local.cancel(job.id)
