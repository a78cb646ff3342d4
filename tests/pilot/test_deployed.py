"""The result of a deployment: the endpoint, and each file to take away with what it is for."""

from __future__ import annotations

import pytest
from textual.widgets import Static

from core.serving.manifests.folder import FOLDER, PURPOSES, write_files
from core.wizard.session import Session
from tests.pilot.test_app import PARCELS, SIZES, until
from tests.rigs.finished import DEPLOYMENT, finish, finish_all
from tests.rigs.served_models import whole
from tui.app import CalmtuneApp
from tui.results.deployment import DeploymentResult
from tui.screens.walk import WalkScreen


@pytest.mark.parametrize("size", SIZES)
async def test_files_to_take_away_are_listed_with_their_purposes(tmp_path, size):
    written = write_files(whole(), tmp_path / "written")
    session = Session.create(tmp_path, "one")
    session.answer("session", {"assistant": str(PARCELS)})
    finish_all(session)
    finish(session, "deployment", DEPLOYMENT, names={name: f"{FOLDER}/{file}" for name, file in written.items()})
    session.close()
    app = CalmtuneApp(tmp_path, "one")
    async with app.run_test(size=size) as pilot:
        await until(pilot, lambda: isinstance(app.screen, WalkScreen), "the walk")
        await pilot.press("ctrl+b")
        await until(pilot, lambda: bool(app.screen.query(DeploymentResult)), "the result")
        panel = app.screen.query_one(DeploymentResult)
        said = "\n".join(str(text.render()) for text in panel.query(Static))
        assert "http://127.0.0.1:4000/v1" in said
        for file in written.values():
            (line,) = [line for line in said.splitlines() if line.strip().startswith(file)]
            assert PURPOSES[file] in line
