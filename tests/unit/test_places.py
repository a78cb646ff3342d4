"""Places by name: made once, however many ask at once."""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest

from provisioning.places import Places, scope_of

ASKING = 8


@pytest.fixture
def threads_change_often():
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


@pytest.mark.parametrize("shared", [True, False], ids=["one walk", "several"])
def test_who_asks_first_and_at_once_gets_the_same_name_on_other_machines(tmp_path, threads_change_often, shared):
    for turn in range(20):
        root, at_once = tmp_path / str(turn) / "jobs", Barrier(ASKING)
        all_share = Places(root)

        def ask(_: int, root=root, at_once=at_once, all_share=all_share):
            places = all_share if shared else Places(root)
            at_once.wait()
            return places["ssh:elsewhere"]

        with ThreadPoolExecutor(ASKING) as threads:
            targets = list(threads.map(ask, range(ASKING)))
        assert {target._scope for target in targets} == {scope_of(root)}
        assert len({id(target) for target in targets}) == (1 if shared else ASKING)
        assert [path.name for path in root.iterdir()] == ["scope"], "nothing else is left"
