"""What may be imported on the way to a prompt; looked at in a child process, where nothing was imported before."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = {
    "torch",
    "transformers",
    "trl",
    "peft",
    "datasets",
    "textual",
    "matplotlib",
    "openai",
    "sentence_transformers",
    "paramiko",
    "sky",
    "rasa_sdk",
    "scipy",
    "vllm",
    "fsspec",
    "s3fs",
    "gcsfs",
    "adlfs",
    "httpx",
    "numpy",
}
STEPS = ("coverage", "dataset", "training", "evaluation", "production", "deployment", "connection")


def modules_after(code: str) -> set[str]:
    program = f"{code}\nimport sys\nprint('\\n'.join(sys.modules))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return {name for line in done.stdout.splitlines() for name in (line, line.partition(".")[0])}


@pytest.mark.parametrize(
    "module",
    [
        "core.assistant.project",
        "core.dialogue.engine",
        "core.e2e.runner",
        "core.dataset.infer",
        "core.evaluation.comparison",
        "core.evaluation.differences",
        "core.evaluation.review",
        "core.serving.export.open_store",
        "core.wizard.exporting",
        "core.wizard.run",
        "core.wizard.session",
        "core.training.plan",
        "core.training.bundle",
        "core.serving.server",
        "provisioning.local",
        *(f"core.wizard.work.{step}" for step in STEPS),
    ],
)  # fmt: skip
def test_core_imports_nothing_heavy(module):
    assert not modules_after(f"import {module}") & HEAVY


def test_steps_are_declared_without_what_they_do():
    loaded = modules_after("; ".join(f"import core.wizard.steps.{step}" for step in STEPS))
    assert not {name for name in loaded if name.startswith(("core.wizard.work", "core.e2e", "core.assistant", "jinja2", "paramiko"))}


def test_help_imports_next_to_nothing():
    loaded = modules_after(
        "from tui.cli import cli\ntry:\n    cli(['--help'], standalone_mode=False)\nexcept SystemExit:\n    pass"
    )
    assert not loaded & (HEAVY | {"pydantic", "yaml", "jinja2", "rich"})


def test_the_app_opens_without_what_only_running_steps_needs():
    assert not modules_after("import tui.app") & (HEAVY - {"textual"})
