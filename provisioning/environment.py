"""Runs a program in a Python environment of its own on another machine, making it first when it is not there. Standard library only.

    python3 environment.py requirements.txt PROGRAM ARGUMENTS…

The environment is named after the content of requirements.txt, so it is made once and kept between jobs; uv makes it where it is
installed, else venv and pip. PROGRAM is looked for in it first ("python" is its interpreter). With CALMTUNE_GPUS in the environment,
torch must see that many GPUs before PROGRAM begins: a driver that is too old leaves torch on the CPU without a word.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

OLDEST_PYTHON = (3, 11)
_TORCH_SEES = """
import sys, torch
found = torch.cuda.device_count() if torch.cuda.is_available() else 0
if found < int(sys.argv[1]):
    sys.exit(f"torch {torch.__version__} sees {found} of {sys.argv[1]} GPUs; it was built for CUDA {torch.version.cuda}, update the driver")
"""


class EnvironmentProblem(Exception):
    """An environment that cannot be made; a sentence."""


def environments() -> Path:
    """Where environments are kept."""
    return Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "calmtune" / "environments"


def prepare(requirements: Path, keep_in: Path) -> Path:
    """The folder of an environment that holds the requirements, made when it is not there. Raises EnvironmentProblem."""
    digest = hashlib.sha256(requirements.read_bytes()).hexdigest()[:12]
    folder = keep_in / f"{requirements.stem}-{digest}"
    keep_in.mkdir(parents=True, exist_ok=True)
    with open(keep_in / f"{folder.name}.lock", "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # a second job waits for the first one's environment
        if (folder / "ready").is_file():
            return folder
        say(f"making the Python environment {folder.name}; this happens once on this machine")
        shutil.rmtree(folder, ignore_errors=True)
        began = time.monotonic()
        for command in _commands(folder, requirements):
            _run(command)
        (folder / "ready").touch()
        say(f"the environment is ready after {time.monotonic() - began:.0f} s")
    return folder


def _commands(folder: Path, requirements: Path) -> list[list[str]]:
    uv = shutil.which("uv") or shutil.which("uv", path=os.path.expanduser("~/.local/bin"))
    python = str(folder / "bin" / "python")
    if uv:
        version = ">=" + ".".join(str(part) for part in OLDEST_PYTHON)
        install = [uv, "pip", "install", "--quiet", "--python", python, "-r", str(requirements)]
        return [[uv, "venv", "--quiet", "--python", version, str(folder)], install]
    if sys.version_info < OLDEST_PYTHON:
        found, oldest = (".".join(str(part) for part in version[:2]) for version in (sys.version_info, OLDEST_PYTHON))
        raise EnvironmentProblem(
            f"python3 here is {found}, {oldest} or newer is needed; install uv, which brings its own"
        )
    install = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r", str(requirements)]
    return [[sys.executable, "-m", "venv", str(folder)], install]


def _run(command: list[str]) -> None:
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    if done.returncode:
        output = done.stdout.decode(errors="replace")
        print(output, flush=True)
        lines = [line.strip() for line in output.splitlines() if line.strip()]
        errors = [line for line in lines if line.lower().startswith("error")] or lines or ["it said nothing"]
        raise EnvironmentProblem(f"the Python environment cannot be made ({' '.join(command[:3])} …): {errors[0]}")


def _check_gpus(folder: Path) -> None:
    """Raises EnvironmentProblem when torch does not see the GPUs that the job was promised."""
    if gpus := os.environ.get("CALMTUNE_GPUS"):
        looked = subprocess.run(
            [str(folder / "bin" / "python"), "-c", _TORCH_SEES, gpus], stderr=subprocess.PIPE, check=False
        )
        if looked.returncode:
            raise EnvironmentProblem(
                (looked.stderr.decode(errors="replace").strip().splitlines() or ["torch says nothing"])[-1]
            )


def say(text: str) -> None:
    """Tell the person who follows the job."""
    print(text, flush=True)
    if path := os.environ.get("CALMTUNE_EVENTS"):
        with open(path, "a", encoding="utf-8") as events:
            events.write(json.dumps({"type": "log", "line": text}) + "\n")


def main() -> int:
    try:
        folder = prepare(Path(sys.argv[1]), environments())
        _check_gpus(folder)
    except EnvironmentProblem as problem:
        print(problem, flush=True)
        return 1
    except OSError as error:
        print(f"the Python environment cannot be made: {error.strerror} ({error.filename})", flush=True)
        return 1
    own = folder / "bin" / sys.argv[2]
    program = str(own) if own.exists() else sys.argv[2]
    os.environ["PATH"] = f"{folder / 'bin'}{os.pathsep}{os.environ.get('PATH', '')}"
    try:
        os.execvp(program, [program, *sys.argv[3:]])
    except OSError as error:
        print(f"{sys.argv[2]} cannot be started: {error.strerror}", flush=True)
        return 127


if __name__ == "__main__":
    sys.exit(main())
