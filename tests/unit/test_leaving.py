"""What is said to go on when the app is left: what a job does, and not what the app does itself."""

from __future__ import annotations

import pytest

from core.wizard.session import Session
from tui.leaving import what_goes_on


@pytest.mark.parametrize(
    ("job", "goes_on"), [("one-training-1a-train", True), ("one-training-1a-server", False), ("one-dataset-1a-train", False), ("", False)]
)
def test_only_a_job_that_works_goes_on(tmp_path, job, goes_on):
    session = Session.create(tmp_path, "one")
    if job:
        session.journal.launching(job, job.split("-")[1], "key", "ssh:elsewhere")
    told = what_goes_on(session, "training")
    step = ("Fine-tuning (step 3)",)
    assert (told.running, told.ending) == ((step, ()) if goes_on else ((), step))
    assert what_goes_on(session, None).ending == ()
    session.close()
