"""One key, one launch: whatever breaks before, during or after each call to a place, the job runs exactly once."""

from __future__ import annotations

import asyncio
import contextlib
import sys

import pytest

from core.errors import ProviderError, UsageError
from core.wizard.jobs import JobKeeper
from core.wizard.journal import Journal
from provisioning.job import Job
from provisioning.local import LocalTarget, wait
from provisioning.ssh_keys import UntrustedError
from provisioning.target import silent
from tests.contracts.places import place_of, server_for, ssh_place

RECORD = "import os; open('launches', 'a').write('x')"
JOB = Job("work", (sys.executable, "-c", RECORD))
NAME = "one-training-abcdef01-work"


class Crash(BaseException):
    """The process dies here."""


class Breaking:
    """A target that dies at the n-th boundary: before or after one of its calls."""

    def __init__(self, target, at: int) -> None:
        self._target, self._left, self.name = target, at, target.name
        self.vanishes, self.recovers = target.vanishes, target.recovers

    def _boundary(self) -> None:
        self._left -= 1
        if self._left == 0:
            raise Crash

    def submit(self, job, say=silent):
        self._boundary()
        id = self._target.submit(job)
        self._boundary()
        return id

    def status(self, id):
        self._boundary()
        found = self._target.status(id)
        self._boundary()
        return found

    def follow(self, id, offset=0):
        self._boundary()
        for chunk in self._target.follow(id, offset):
            yield chunk
            self._boundary()

    def cancel(self, id):
        self._target.cancel(id)


@pytest.fixture(scope="module", params=["local", "ssh"])
def kind(request):
    return request.param


@pytest.fixture(scope="module")
def server(kind, tmp_path_factory):
    with server_for(kind, tmp_path_factory.mktemp("sshd")) as running:
        yield running


def keeper(journal: Journal, **targets) -> JobKeeper:
    return JobKeeper(journal, targets, "one", "training", "abcdef0123456789")


def run(keeper: JobKeeper, place: str = "here"):
    return asyncio.run(keeper.run(JOB, lambda event: None, place))


def test_a_crash_at_any_boundary_leads_to_one_launch(kind, server, tmp_path):
    crashes = 0
    for at in range(1, 50):
        folder = tmp_path / str(at)
        folder.mkdir()
        with place_of(kind, folder, server) as place:
            journal = Journal(folder / "session.db")
            try:
                run(keeper(journal, here=Breaking(place.target, at)))
                died = False
            except Crash:
                died = True
            crashes += died
            assert [job.name for job in journal.jobs()] == [NAME], "the intent is written before the place is asked"
            run(keeper(journal, here=place.again()))
            journal.close()
            assert place.target.status(NAME).state == "succeeded"
            assert (place.folder(NAME) / "launches").read_text() == "x", f"after a crash at boundary {at}"
        if not died:
            break
    assert crashes >= 5


def test_a_link_cut_at_any_byte_of_the_launch_leads_to_one_launch(tmp_path, tmp_path_factory):
    with server_for("ssh", tmp_path_factory.mktemp("cuts")) as server:
        with ssh_place(tmp_path, server) as place:
            place.target.submit(JOB)
            whole = server.relay.carried
        for number in range(12):
            folder = tmp_path / str(number)
            folder.mkdir()
            with ssh_place(folder, server) as place:
                server.relay.budget = max(1, whole * number // 12)
                with contextlib.suppress(ProviderError):  # a link that never stood is not tried again by itself
                    place.target.submit(JOB)
                server.relay.budget = None
                later = place.again()
                later.submit(JOB)
                assert wait(later, "work", 20).state == "succeeded"
                later.submit(JOB)
                assert (place.folder("work") / "launches").read_text() == "x", f"cut after {number}/12 of the bytes"


def test_a_job_is_adopted_where_it_was_launched_though_another_place_is_wanted_now(tmp_path):
    first, second = LocalTarget(tmp_path / "first"), LocalTarget(tmp_path / "second")
    journal = Journal(tmp_path / "session.db")
    asyncio.run(keeper(journal, here=first).launch(JOB, "here"))
    launched = run(keeper(journal, here=first, there=second), "there")
    assert launched.target is first
    assert second.list() == []
    journal.close()


def test_what_failed_elsewhere_or_never_got_there_is_launched_where_it_is_wanted(tmp_path):
    first, second = LocalTarget(tmp_path / "first"), LocalTarget(tmp_path / "second")
    journal = Journal(tmp_path / "session.db")
    journal.launching(NAME, "training", "abcdef0123456789", "here")
    assert run(keeper(journal, here=first, there=second), "there").target is second
    journal.close()


@pytest.mark.parametrize("error", [ProviderError, UntrustedError])
def test_nothing_is_launched_while_the_place_of_an_earlier_launch_cannot_be_asked(tmp_path, error):
    class Unreachable:
        def status(self, id):
            raise error("nobody answers")

    second = LocalTarget(tmp_path / "second")
    journal = Journal(tmp_path / "session.db")
    journal.launching(NAME, "training", "abcdef0123456789", "here")
    with pytest.raises(error, match="not launched twice: nobody answers"):
        run(keeper(journal, here=Unreachable(), there=second), "there")
    assert second.list() == []
    journal.close()


def test_a_place_that_cannot_be_is_a_sentence(tmp_path):
    journal = Journal(tmp_path / "session.db")
    with pytest.raises(UsageError, match="no place 'nowhere'"):
        keeper(journal).target("nowhere")
    journal.close()


def test_stopping_ends_the_job_where_it_runs_and_nothing_where_there_is_none(tmp_path):
    target = LocalTarget(tmp_path / "jobs")
    journal = Journal(tmp_path / "session.db")
    asyncio.run(keeper(journal, here=target).stop("work"))
    waiting = Job("work", (sys.executable, "-c", "import time; time.sleep(600)"))
    asyncio.run(keeper(journal, here=target).launch(waiting, "here"))
    asyncio.run(keeper(journal, here=target).stop("work"))
    assert target.status(NAME).state == "stopped"
    journal.close()
