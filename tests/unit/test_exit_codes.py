"""Every way a run may end, with its exit code, its sentence and its last line."""

from __future__ import annotations

import json

import pytest

from core import errors
from tests import fake_recipe
from tests.rigs.printed import printed
from tests.rigs.recipe import ASSISTANT

ENDINGS = [
    (None, 0, "passed"),
    (errors.StepFailed("the oven is cold"), 1, "failed"),
    (OSError(28, "No space left on device", "rows.jsonl"), 1, "failed"),
    (ZeroDivisionError("division by zero"), 1, "failed"),
    (errors.UsageError("the oven has no door"), 2, "invalid"),
    (errors.ProblemsError([errors.Problem("a.yml", 3, "no such oven")]), 2, "invalid"),
    (errors.ProviderError("the oven does not answer"), 3, "unreachable"),
    (errors.DeadlineError("the oven took too long"), 4, "timeout"),
    ("gate", 5, "gate failed"),
    (errors.BudgetReached("the oven costs too much"), 6, "budget reached"),
    (errors.Interrupted("the oven is gone"), 7, "unknown"),
    (KeyboardInterrupt(), 130, "cancelled"),
]
TOLD = {0: "", 130: "goes on"}


@pytest.fixture
def ends(tmp_path, monkeypatch):
    """A run whose step ends as asked; its command line, printed."""
    fake_recipe.install(monkeypatch)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bot").symlink_to(ASSISTANT)

    def run(how, *arguments):
        def instead(self, context):
            if isinstance(how, BaseException):
                raise how
            return own(self, context)

        own = fake_recipe.FakeStep.run
        monkeypatch.setattr(fake_recipe.FakeStep, "run", instead)
        amount = ("--set", "coverage.amount=-1") if how == "gate" else ()
        return printed(["run", "--session", "one", "--set", "assistant=bot", *amount, *arguments])

    return run


@pytest.mark.parametrize(("how", "code", "outcome"), ENDINGS, ids=str)
def test_a_run_ends_with(ends, how, code, outcome):
    found = ends(how, "--json")
    last = json.loads(found.out.decode().splitlines()[-1])
    assert (found.code, last["type"], last["exit_code"], last["outcome"]) == (code, "end", code, outcome)
    told = found.err.decode()
    assert last["message"] in told
    assert "Traceback" not in told
    assert bool(last["message"]) == bool(code)
    said = TOLD.get(code, str(how.args[0]) if isinstance(how, errors.CalmtuneError) else "")
    assert said in told
    assert last["session"] == "one"
    assert last["steps"][0]["step"] == "coverage"


def test_without_json_the_steps_are_a_table_and_nothing_is_after_an_error(ends):
    assert ends(errors.ProviderError("the oven does not answer")).out == b""


def test_a_plan_tells_what_each_step_would_do_and_changes_nothing(ends, tmp_path):
    def plan(*arguments):
        found = printed(["run", "--session", "one", "--set", "assistant=bot", "--plan", "--json", *arguments])
        assert found.code == 0, found.err
        return {step["step"]: (step["would"], step["why"]) for step in json.loads(found.out)["steps"]}

    new = plan("--until", "dataset")
    assert new["coverage"] == ("run", "never ran")
    assert new["dataset"] == ("run", "never ran")
    assert new["training"] == ("not run", "after dataset, where it ends")
    assert not (tmp_path / ".calmtune").exists()
    assert ends(None).code == 0
    kept = (tmp_path / ".calmtune" / "sessions" / "one" / "answers.yml").read_bytes()
    assert {would for would, _ in plan().values()} == {"keep"}
    changed = plan("--set", "dataset.amount=4")
    assert changed["coverage"][0] == "keep"
    assert changed["dataset"] == ("run", "amount 1 → 4")
    assert changed["training"] == ("perhaps", "again if dataset comes out otherwise than before")
    assert plan("--force", "training")["training"] == ("run", "asked for with --force")
    assert plan("--force", "training")["evaluation"][0] == "perhaps"
    assert (tmp_path / ".calmtune" / "sessions" / "one" / "answers.yml").read_bytes() == kept
    assert ends("gate").code == 5
    stopped = printed(["run", "--session", "one", "--plan", "--json"])
    steps = json.loads(stopped.out)["steps"]
    assert (steps[0]["would"], steps[1]["would"], steps[1]["why"]) == ("stop", "not run", "coverage ends the run")
