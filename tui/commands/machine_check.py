"""`calmtune doctor --host`: a machine reached over SSH, looked at in one screen."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

import click

from core.errors import CalmtuneError, UsageError

if TYPE_CHECKING:
    from provisioning.preflight import Check
    from provisioning.ssh_keys import UnknownHost


def check_host(host: str, as_json: bool) -> None:
    """Print every check of a host. Asks whether an unknown host key is right where someone can answer.

    Raises what keeps it from being reached after saying so in the table's words.
    """
    from dataclasses import asdict

    from provisioning.places import ssh_target
    from provisioning.preflight import Check, preflight
    from tui import output

    target = ssh_target(host, trust=_ask if sys.stdin.isatty() else None, patience=10)
    began = time.monotonic()
    problem: CalmtuneError | None = None
    try:
        target.link.connection()
        reached = Check("reachable", True, f"answers after {time.monotonic() - began:.1f} s")
        checks: tuple[Check, ...] = (reached, *preflight(target.facts()))
    except UsageError:
        raise
    except CalmtuneError as error:
        problem = error
        checks = (Check("reachable", False, str(error)),)
    finally:
        target.close()
    if as_json:
        output.as_json([asdict(check) for check in checks])
    else:
        output.data(output.table(_rows(checks), ["check", "", "what was found"]))
    if problem is not None:
        raise problem


def _rows(checks: tuple[Check, ...]) -> list[list[str]]:
    return [[check.name, "passed" if check.passed else "FAILED", check.sentence] for check in checks]


def _ask(stranger: UnknownHost) -> bool:
    return click.confirm(f"{stranger.sentence}\nIs this its fingerprint? Remember it", default=False, err=True)
