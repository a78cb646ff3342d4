"""What a step will spend is told before it spends: by the session, at the start of a run, by --plan."""

from __future__ import annotations

import asyncio
import subprocess
import sys

from end_to_end.test_dataset_step import bench, model  # noqa: F401 fixtures

from core.wizard.estimate import estimate
from core.wizard.events import Notice, Progress
from core.wizard.run import run_recipe, run_step
from core.wizard.session import Session


async def test_the_estimate_comes_first_and_follows_the_answers(bench, model, tmp_path):  # noqa: F811
    session = Session.create(tmp_path / "sessions", "one")
    session.answer("session", {"assistant": str(bench.shared.assistant), "commands": "llm"})
    session.answer("coverage", {"total_min": 0, "per_flow_min": 0, "min_command_samples": 0})
    session.answer("dataset", {"num_rephrases": 2})
    assert estimate(session, "dataset") == "", "blocked: nothing is known yet"
    await run_recipe(session, lambda step, event: None, "coverage")
    asked = len(model.prompts)
    two, five = estimate(session, "dataset"), estimate(session, "dataset", {"num_rephrases": 5})
    assert "calls, about" in two
    assert two != five
    assert estimate(session, "dataset", {"num_rephrases": 0}) == ""
    assert estimate(session, "training") == ""
    assert len(model.prompts) == asked, "an estimate asks nobody"
    events: list[object] = []
    await run_step(session, "dataset", lambda step, event: events.append(event))
    told = next(at for at, event in enumerate(events) if isinstance(event, Notice) and two in event.text)
    assert told < next(at for at, event in enumerate(events) if isinstance(event, Progress))
    session.close()


async def test_a_plan_names_what_the_next_step_would_spend(bench, model, tmp_path):  # noqa: F811
    home = tmp_path / ".calmtune" / "sessions"
    session = Session.create(home, "one")
    session.answer("session", {"assistant": str(bench.shared.assistant), "commands": "llm"})
    session.answer("coverage", {"total_min": 0, "per_flow_min": 0, "min_command_samples": 0})
    await run_recipe(session, lambda step, event: None, "coverage")
    session.close()
    command = [sys.executable, "-m", "tui.cli", "run", "--session", "one", "--plan"]
    done = await asyncio.to_thread(subprocess.run, command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "dataset, language models: " in done.stdout
    assert "the price of this model is not known" in done.stdout
