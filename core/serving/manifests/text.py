"""How the files are written: YAML with readable texts, and command lines of many words."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import yaml


class _Dumper(yaml.SafeDumper):
    """Repeats what occurs twice instead of pointing to it, and leaves texts of several lines as they are."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Dumper.add_representer(str, _text)


def yaml_text(comment: str, documents: Sequence[Mapping[str, Any]]) -> str:
    """YAML documents under lines of comment."""
    head = "".join(f"# {line}".rstrip() + "\n" for line in comment.splitlines())
    return head + yaml.dump_all(documents, Dumper=_Dumper, sort_keys=False, width=140)


def shell_lines(words: Iterable[str]) -> str:
    """Words for a shell, each flag on a line of its own."""
    lines = [""]
    for word in words:
        if word.startswith("--"):
            lines.append(shlex.quote(word))
        else:
            lines[-1] += f" {shlex.quote(word)}"
    return " \\\n  ".join(line.strip() for line in lines)
