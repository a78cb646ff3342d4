"""Environments that jobs make on other machines: once, kept, and never half."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from provisioning import environment
from provisioning.python import python_command

SCRIPT = Path(environment.__file__)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A job's folder with a package that can be installed without a network."""
    tmp_path = tmp_path_factory.mktemp("job")
    wheel = tmp_path / "greeter-1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as file:
        file.writestr("greeter.py", "def main():\n    print('hello from', __file__)\n")
        file.writestr("greeter-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: greeter\nVersion: 1.0\n")
        file.writestr("greeter-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        file.writestr("greeter-1.0.dist-info/entry_points.txt", "[console_scripts]\ngreet = greeter:main\n")
        file.writestr("greeter-1.0.dist-info/RECORD", "")
    (tmp_path / "requirements.txt").write_text(f"--no-index\n--find-links {tmp_path}\ngreeter==1.0\n")
    shutil.copy(SCRIPT, tmp_path / "environment.py")
    return tmp_path


def run(
    folder: Path, *arguments: str, requirements: str = "requirements.txt", **variables: str
) -> subprocess.CompletedProcess[str]:
    given = {
        **os.environ,
        "XDG_CACHE_HOME": str(folder / "cache"),
        "CALMTUNE_EVENTS": str(folder / "events"),
        **variables,
    }
    command = [sys.executable, "environment.py", requirements, *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, env=given, check=False)


def logged(folder: Path) -> list[str]:
    path = folder / "events"
    return [json.loads(line)["line"] for line in path.read_text().splitlines()] if path.exists() else []


@pytest.fixture(scope="module")
def first(folder):
    """The run that made the environment, and what it told."""
    done = run(folder, "greet")
    assert done.returncode == 0, done.stdout
    return done.stdout, logged(folder)


def test_it_is_made_once_and_its_programs_come_first(folder, first):
    said, told = first
    assert str(folder / "cache" / "calmtune" / "environments") in said
    assert "happens once" in told[0]
    second = run(folder, "python", "-c", "import greeter; greeter.main()")
    assert second.stdout == said.splitlines()[-1] + "\n"
    assert logged(folder) == told


def test_one_that_was_left_half_made_is_made_anew(folder, first):
    (made,) = (folder / "cache" / "calmtune" / "environments").glob("requirements-*/ready")
    made.unlink()
    (made.parent / "bin" / "greet").unlink()
    assert run(folder, "greet").returncode == 0


def test_what_cannot_be_installed_is_a_sentence_and_leaves_nothing_ready(folder):
    (folder / "missing.txt").write_text(f"--no-index\n--find-links {folder}\nno-such-package==1\n")
    done = run(folder, "greet", requirements="missing.txt")
    assert done.returncode == 1
    assert "the Python environment cannot be made" in done.stdout.splitlines()[-1]
    assert "no-such-package" in done.stdout.splitlines()[-1]
    assert not list((folder / "cache").rglob("missing-*/ready"))


def test_gpus_that_torch_does_not_see_end_the_job_before_it_begins(folder, first):
    (site,) = (folder / "cache").rglob("requirements-*/lib/*/site-packages")
    (site / "torch.py").write_text(
        "__version__ = '2.0'\nclass cuda:\n    is_available = staticmethod(lambda: False)\nclass version:\n    cuda = '13.0'\n"
    )
    done = run(folder, "greet", CALMTUNE_GPUS="1")
    assert done.returncode == 1
    assert "sees 0 of 1 GPUs" in done.stdout
    assert "hello" not in done.stdout


def test_here_it_is_this_python_and_elsewhere_an_environment_unless_one_is_named():
    requirements = Path("somewhere/requirements.txt")
    assert python_command("local", "", requirements, "python", "a.py").command == (sys.executable, "a.py")
    assert python_command("ssh:x", "/opt/env/bin/python", requirements, "vllm", "serve").command == (
        "/opt/env/bin/vllm",
        "serve",
    )
    made = python_command("ssh:x", "", requirements, "python", "a.py")
    assert made.command == ("python3", "environment.py", "requirements.txt", "python", "a.py")
    assert set(made.files) == {"environment.py", "requirements.txt"}
