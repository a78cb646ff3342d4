"""Every key of ours has a name by which it can be changed, and one default for each name."""

from __future__ import annotations

import importlib
import pkgutil
from collections import defaultdict
from pathlib import Path

from textual.binding import Binding
from textual.dom import DOMNode

import tui
from tui.app import CalmtuneApp


def with_bindings() -> list[type[DOMNode]]:
    for module in pkgutil.walk_packages(tui.__path__, "tui."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    found, waiting = [], [DOMNode]
    while waiting:
        one = waiting.pop()
        waiting += one.__subclasses__()
        if one.__module__.startswith("tui.") and "BINDINGS" in one.__dict__ and one not in found:
            found.append(one)
    return found


def test_every_key_can_be_changed(tmp_path):
    known = CalmtuneApp(Path(tmp_path)).named_bindings
    keys: dict[str, set[str]] = defaultdict(set)
    for one in with_bindings():
        for binding in one.__dict__["BINDINGS"]:
            assert isinstance(binding, Binding)
            assert binding.id, f"{one.__name__}: {binding.key} has no name"
            assert binding.id in known, f"{one.__name__} is missing in WITH_KEYS"
            keys[binding.id].add(binding.key)
    assert {name: found for name, found in keys.items() if len(found) > 1} == {}, "one name, one default"
