"""What is stored once for several jobs is linked into them, but for what a job goes on writing."""

from __future__ import annotations

import os

from provisioning.store import keep, place, sha256


def test_what_a_job_goes_on_with_is_its_own_and_can_be_written(tmp_path):
    store, job = tmp_path / "store", tmp_path / "job"
    store.mkdir()
    files = {}
    for name in ("model/weights", "events.jsonl", "checkpoints/README.md", "checkpoints/checkpoint-8/state.json"):
        (tmp_path / "sent").write_text(name)
        digest = files[name] = sha256(tmp_path / "sent")
        (tmp_path / "sent").rename(store / f"{digest}.part")
        assert keep(store, digest)
    place(job, store, files)
    for name, digest in files.items():
        own = not os.path.samefile(job / name, store / digest)
        assert own == (name != "model/weights")
        assert (job / name).read_text() == name
        if own:
            assert (job / name).stat().st_mode & 0o200, "whoever runs the job may write it"
            (job / name).write_text("more")
        assert (store / digest).read_text() == name
