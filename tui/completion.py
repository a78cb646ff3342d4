"""What the shell completes: names of sessions, answers for --set, places. Everything else click completes by itself."""

from __future__ import annotations

import os
import re
from pathlib import Path

import click

VARIABLE = "_CALMTUNE_COMPLETE"
SHELLS = ("bash", "zsh", "fish")
_BASH = r"""
_calmtune_completion() {
    local IFS=$'\n' line="${COMP_LINE:0:$COMP_POINT}" type value
    local word="${line##*[[:space:]]}"
    local done="${word%"${word##*[=:]}"}"  # bash takes what follows = and : for words of their own
    COMPREPLY=()
    while IFS=',' read -r type value; do
        case "$type" in
            dir) compopt -o dirnames ;;
            file) compopt -o default ;;
            plain)
                COMPREPLY+=("${value#"$done"}")
                [[ $value == *= ]] && compopt -o nospace
                ;;
        esac
    done < <(env COMP_WORDS="$line" _CALMTUNE_COMPLETE=bash_complete "$1")
    return 0
}

complete -o nosort -F _calmtune_completion calmtune
"""


def sessions(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[str]:
    """Names of the sessions here, the newest first."""
    from tui.opening import home

    found = sorted(home().glob("*/session.db"), key=lambda path: path.stat().st_mtime, reverse=True)
    return [path.parent.name for path in found if path.parent.name.startswith(incomplete)]


def places(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[str]:
    """This machine, hosts of the SSH configuration, and the cheapest machine of any cloud."""
    return [name for name in ("local", *(f"ssh:{host}" for host in _hosts()), "sky") if name.startswith(incomplete)]


def hosts(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[str]:
    return [host for host in _hosts() if host.startswith(incomplete)]


def settings(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[str]:
    """`step.field=` until the equals sign, then what the question takes."""
    from core.wizard.answers import SESSION, questions
    from core.wizard.answers_set import names
    from core.wizard.recipe import STEP_IDS

    target, equals, written = incomplete.partition("=")
    if not equals:
        if "." not in target:  # a step at a time, as there are many questions
            steps = [f"{id}." for id in STEP_IDS if id.startswith(target)]
            return [*steps, *(f"{question.field}=" for question in questions(SESSION) if question.field.startswith(target))]
        return [f"{name}=" for name in names() if name.startswith(target)]
    section, _, field = target.rpartition(".")
    if section not in ("", *STEP_IDS):
        return []
    question = next((one for one in questions(section or SESSION) if one.field == field), None)
    if question is None:
        return []
    values = ["true", "false"] if question.kind == "flag" else list(question.choices)
    if field == "machine":
        values = places(context, parameter, "")
    if question.kind == "path" or field in ("tests", "commands"):
        values += _paths(written)
    return [f"{target}={value}" for value in values if value.startswith(written)]


def script(shell: str, command: click.Command) -> str:
    """What a shell reads to complete `calmtune`."""
    from click.shell_completion import get_completion_class

    if shell == "bash":
        return _BASH.strip()
    found = get_completion_class(shell)
    assert found is not None
    return found(command, {}, "calmtune", VARIABLE).source().strip()


def prepare() -> None:
    """Read the line as bash has it: its own words end at = and :."""
    if os.environ.get(VARIABLE) != "bash_complete":
        return
    from click.shell_completion import BashComplete, add_completion_class, split_arg_string

    class Line(BashComplete):
        def get_completion_args(self) -> tuple[list[str], str]:
            line = os.environ["COMP_WORDS"]
            words = split_arg_string(line)[1:]
            return (words, "") if line[-1:].isspace() else (words[:-1], words[-1] if words else "")

    add_completion_class(Line)


def _hosts() -> list[str]:
    """Hosts that the SSH configuration names, read without what it takes to connect to them."""
    path = Path(os.environ.get("CALMTUNE_SSH_CONFIG") or "~/.ssh/config").expanduser()
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return []
    found = [name for names in re.findall(r"(?im)^\s*Host[\s=]+(.+)$", text) for name in names.split()]
    return sorted({name for name in found if not re.search(r"[*?!]", name)})


def _paths(written: str) -> list[str]:
    folder, name = os.path.split(written)
    try:
        found = sorted(Path(folder or ".").iterdir())
    except OSError:
        return []
    paths = [os.path.join(folder, path.name) + ("/" if path.is_dir() else "") for path in found]
    return [path for path in paths if path.startswith(written) and (name.startswith(".") or not os.path.basename(path).startswith("."))]
