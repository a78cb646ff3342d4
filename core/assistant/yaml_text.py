"""Plain data as YAML that reads back the same, here (YAML 1.2 scalars) and by readers of YAML 1.1.

Text that either would take for something else is quoted: `yes`, `12:30` for the one, `0891`, `1e3` for the other.
"""

from __future__ import annotations

from typing import Any

import yaml

from core.assistant.source import SCALARS
from core.collector import without_collector


class _Dumper(yaml.SafeDumper):
    """The safe dumper, which knows YAML 1.1, with our scalars added; no anchors."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


class _FastDumper(getattr(yaml, "CSafeDumper", yaml.SafeDumper)):  # type: ignore[misc]
    """The same, in C where PyYAML has it."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


for _scalar in SCALARS:
    _Dumper.add_implicit_resolver(*_scalar)
    _FastDumper.add_implicit_resolver(*_scalar)


def to_yaml(content: Any) -> str:
    """Dicts, lists and scalars as YAML, keys in their order. Raises yaml.YAMLError for other objects."""
    text = _dump(content, _FastDumper)
    return _dump(content, _Dumper) if r"\U" in text else text  # the fast one writes emoji as escapes


def _dump(content: Any, dumper: Any) -> str:
    with without_collector():
        return str(yaml.dump(content, Dumper=dumper, sort_keys=False, allow_unicode=True, width=120))
