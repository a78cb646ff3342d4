"""A scheduler's slot is held for a job that is handed over on the same machine."""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from provisioning import holder, machine

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def folder(tmp_path):
    # A path longer than a socket may have.
    deep = tmp_path / "root" / "jobs" / ("a" * 60) / ("b" * 60)
    deep.mkdir(parents=True)
    return deep


def start(folder: Path) -> subprocess.Popen[bytes]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "CALMTUNE_GRACE_SECONDS": "0.5"}
    return subprocess.Popen([sys.executable, "-m", "provisioning.holder", str(folder)], env=environment, stdout=subprocess.PIPE)


def request(folder: Path, code: str, **secrets: str) -> dict[str, object]:
    body = {"command": [sys.executable, "-c", code], "limit_seconds": 60, "environment": {}, "gpus": 0}
    return {"root": str(folder.parents[2]), "body": body, "secrets": secrets, "files": {}}


def test_a_job_is_handed_over_with_its_secrets_and_the_slot_lasts_as_long(folder):
    slot = start(folder)
    code = "import os; print(os.environ['TOKEN'][::-1])"
    assert holder.hand_over(folder, request(folder, code, TOKEN="canary-42"), 20) is True
    out, _ = slot.communicate(timeout=20)
    assert slot.returncode == 0
    assert out.decode().strip() == "24-yranac"
    assert machine.status(folder)["state"] == "succeeded"
    assert not any(b"canary-42" in path.read_bytes() for path in folder.rglob("*") if path.is_file())


def test_a_failed_job_fails_its_slot(folder):
    slot = start(folder)
    holder.hand_over(folder, request(folder, "raise SystemExit('out of luck')"), 20)
    slot.communicate(timeout=20)
    assert slot.returncode == 1


def test_ending_the_slot_ends_the_job(folder):
    slot = start(folder)
    holder.hand_over(folder, request(folder, "import time; time.sleep(600)"), 20)
    child = json.loads(wait_for(folder / "child.json"))["pid"]
    slot.send_signal(signal.SIGTERM)
    slot.communicate(timeout=30)
    assert machine.status(folder)["state"] == "stopped"
    assert not Path(f"/proc/{child}").exists()


def test_whoever_comes_second_adopts_the_running_job(folder):
    slot = start(folder)
    holder.hand_over(folder, request(folder, "import time; time.sleep(600)"), 20)
    assert holder.hand_over(folder, request(folder, "print('second')"), 20) is False
    slot.send_signal(signal.SIGTERM)
    slot.communicate(timeout=30)


def test_a_second_slot_for_a_job_that_has_one_ends_at_once_and_leaves_it_running(folder):
    """Several who ask for the same job at the same time get a slot each, which would hold the machine for nothing."""
    first = start(folder)
    holder.hand_over(folder, request(folder, "import time; time.sleep(600)"), 20)
    before = start(folder)
    assert before.communicate(timeout=20)[0] == b"the job has another slot\n"
    assert before.returncode == 0
    assert machine.status(folder)["state"] == "running"
    first.send_signal(signal.SIGTERM)
    first.communicate(timeout=30)


def test_of_two_slots_that_wait_for_a_job_one_gets_it_and_the_other_ends(folder):
    slots, address = [], folder / "handover"
    for _ in range(2):
        before = inode(address)
        slots.append(start(folder))
        deadline = time.monotonic() + 20
        while inode(address) in (None, before):
            assert time.monotonic() < deadline
            time.sleep(0.02)
    assert holder.hand_over(folder, request(folder, "import time; time.sleep(2); print('done')"), 20) is True
    outs = {slot.communicate(timeout=20)[0] for slot in slots}
    assert outs == {b"done\n", b"the job has another slot\n"}
    assert {slot.returncode for slot in slots} == {0}
    assert not address.exists()


def test_whoever_waits_when_a_slot_takes_another_tries_again(folder):
    """A holder that has taken a job closes its socket, with those who have connected meanwhile still in the queue."""
    slots = []
    with socket.socket(socket.AF_UNIX) as listener:
        way = os.open(folder, os.O_DIRECTORY)  # the path itself is too long
        listener.bind(f"/proc/self/fd/{way}/handover")
        os.close(way)
        listener.listen()

        def close_on_whoever_comes():
            select.select([listener], [], [], 20)
            (folder / "handover").unlink()
            listener.close()
            slots.append(start(folder))

        closing = threading.Thread(target=close_on_whoever_comes)
        closing.start()
        try:
            assert holder.hand_over(folder, request(folder, "print('done')"), 20) is True
        except ConnectionError:
            closing.join()
            slots[0].kill()
            raise
        closing.join()
    out, _ = slots[0].communicate(timeout=20)
    assert out == b"done\n"


def test_without_a_slot_nothing_is_run(folder):
    assert holder.hand_over(folder, request(folder, "print()"), 0) is None


def test_a_slot_that_nobody_uses_gives_up(folder, capsys):
    assert holder.hold(folder, patience=0.2) == 1
    assert "no job was handed over" in capsys.readouterr().out


def inode(path: Path) -> int | None:
    return path.stat().st_ino if path.exists() else None


def wait_for(path: Path) -> str:
    deadline = time.monotonic() + 20
    while not path.is_file():
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return path.read_text()
