"""Command lines run one after the other in one process: run as a program, it writes what each writes to the same stdout."""

from __future__ import annotations

import io
import json
import sys
from contextlib import contextmanager
from dataclasses import dataclass

from tui.cli import main


@dataclass(frozen=True)
class Printed:
    code: int
    out: bytes
    err: bytes


def printed(arguments: list[str], encoding: str = "utf-8") -> Printed:
    """What a command line writes, as bytes, and its exit code."""
    with _streams(encoding) as (out, err):
        code = run(arguments)
    return Printed(code, out.getvalue(), err.getvalue())


def run(arguments: list[str]) -> int:
    before, sys.argv = sys.argv, ["calmtune", *arguments]
    try:
        main()
    except SystemExit as exit:
        return int(exit.code or 0)
    finally:
        sys.argv = before
    return 0


@contextmanager
def _streams(encoding: str):
    kept = sys.stdout, sys.stderr, sys.stdin
    out, err = io.BytesIO(), io.BytesIO()
    sys.stdout, sys.stderr = io.TextIOWrapper(out, encoding), io.TextIOWrapper(err, encoding)
    sys.stdin = io.StringIO("")
    written = sys.stdout, sys.stderr
    try:
        yield out, err
    finally:
        for stream in written:
            stream.detach()  # flushes, and leaves the bytes where they are
        sys.stdout, sys.stderr, sys.stdin = kept


if __name__ == "__main__":
    for given in json.loads(sys.argv[1]):
        print(f"$ calmtune {' '.join(given)}", flush=True)
        print(f"-> {run(given)}", flush=True)
