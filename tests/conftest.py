"""Fixtures shared by all tests."""

from __future__ import annotations

import os
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

# Threads of tiny models only wait for one another, and far longer when several tests run at once.
os.environ.setdefault("OMP_NUM_THREADS", "1")

from core.assistant.project import Assistant, load_assistant

FASTEST_FIRST = ("unit", "property", "snapshots", "pilot", "contracts", "end_to_end")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--refresh-golden", action="store_true", help="Write the files in tests/golden anew.")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    folders = Path(__file__).parent
    items.sort(key=lambda item: FASTEST_FIRST.index(item.path.relative_to(folders).parts[0]))


@pytest.fixture(autouse=True)
def no_licence(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever has the `rasa` command and its licence here: tests run without."""
    for name in ("RASA_LICENSE", "RASA_PRO_LICENSE"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(autouse=True)
def own_state(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the app remembers, and its keys, are a test's own; the tour has been seen. Returns the folder of both."""
    folder = tmp_path_factory.mktemp("xdg")
    monkeypatch.setenv("XDG_STATE_HOME", str(folder))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(folder))
    (folder / "calmtune").mkdir()
    (folder / "calmtune" / "app.json").write_text('{"toured": true}')
    return folder / "calmtune"


@pytest.fixture
def write_assistant(tmp_path: Path) -> Callable[..., Path]:
    """write_assistant(flows=…, domain=…, config=…, endpoints=…) → folder of a small project."""

    def write(
        flows: str, domain: str = "version: '3.1'", config: str | None = None, endpoints: str | None = None
    ) -> Path:
        folder = tmp_path / "assistant"
        (folder / "data").mkdir(parents=True, exist_ok=True)
        pipeline = "recipe: default.v1\nlanguage: en\npipeline:\n- name: CompactLLMCommandGenerator\npolicies:\n- name: FlowPolicy\n"
        (folder / "config.yml").write_text(textwrap.dedent(config) if config else pipeline)
        (folder / "data" / "flows.yml").write_text(textwrap.dedent(flows))
        (folder / "domain.yml").write_text(textwrap.dedent(domain))
        if endpoints is not None:
            (folder / "endpoints.yml").write_text(textwrap.dedent(endpoints))
        return folder

    return write


@pytest.fixture
def make_assistant(write_assistant: Callable[..., Path]) -> Callable[..., Assistant]:
    """make_assistant(flows=…, domain=…) → a loaded project."""
    return lambda *args, **kwargs: load_assistant(write_assistant(*args, **kwargs))
