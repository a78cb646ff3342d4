"""The coverage review on a small assistant on disk: each command source, what is written, what is told."""

from __future__ import annotations

import csv
import json
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest
from rigs.chat_server import ChatServer
from rigs.parcels import DOMAIN, FLOWS

from core.e2e.reader import read_tests
from core.errors import ProblemsError, UsageError
from core.wizard.events import Log, Notice, Progress
from core.wizard.shared import SharedAnswers
from core.wizard.step import Context, Outputs
from core.wizard.steps.coverage import STEP, CoverageAnswers

TESTS = """
fixtures: [{light: [{weight: 2}]}]
test_cases:
  - test_case: book
    fixtures: [light]
    steps:
      - user: send a parcel to Elm Road 4
      - slot_was_set: [street: Elm Road 4]
      - utter: utter_ask_sure
      - user: /SetSlots(sure=true)
      - utter: utter_booked
  - test_case: hours
    steps:
      - user: opening hours on Friday
        assertions:
          - flow_started: opening_hours
          - slot_was_set: [{name: day, value: Friday}]
          - bot_uttered: {text_matches: "on Friday"}
  - test_case: wrong
    steps:
      - user: opening hours on Monday
      - utter: utter_booked
"""
REPLIES = {
    "send a parcel to Elm Road 4": "start flow send_parcel\nset slot street Elm Road 4",
    "opening hours on Friday": "start flow opening_hours\nset slot day Friday",
    "opening hours on Monday": "start flow opening_hours\nset slot day Monday",
}
RECORDING = "conversations:\n" + "".join(
    f"- original_test_case: e2e_tests/all.yml::{name}\n"
    f"  steps: [{{user: {text}, llm_commands: {REPLIES[text].splitlines()}}}]\n"
    for name, text in zip(("book", "hours", "wrong"), REPLIES, strict=True)
)


class Run:
    """One run of the step in a folder of its own."""

    def __init__(self, folder: Path, assistant: Path) -> None:
        self.folder, self.assistant = folder, assistant
        self.events: list[object] = []

    async def __call__(self, commands: str, tests: str | None = None, **answers: object) -> Outputs:
        shared = SharedAnswers(assistant=self.assistant, commands=commands, tests=tests)
        self.folder.mkdir(exist_ok=True)
        context = Context(CoverageAnswers(**answers), shared, {}, self.folder, self.events.append, jobs=None)  # type: ignore[arg-type]
        return await STEP.run(context)

    def of(self, kind: type) -> list[object]:
        return [event for event in self.events if isinstance(event, kind)]


@pytest.fixture
def make_run(write_assistant, tmp_path) -> Callable[..., Run]:
    def make(**files: str) -> Run:
        root = write_assistant(FLOWS, DOMAIN, **files)
        (root / "e2e_tests").mkdir()
        (root / "e2e_tests" / "all.yml").write_text(TESTS)
        return Run(tmp_path / "run", root)

    return make


@pytest.fixture
def recording(tmp_path) -> str:
    (tmp_path / "commands.yml").write_text(RECORDING)
    return str(tmp_path / "commands.yml")


def names(entries: list[dict[str, str]]) -> list[str]:
    return [entry["test"].partition("::")[2] for entry in entries]


async def test_a_recording_is_played_and_everything_is_written(make_run, recording):
    run = make_run()
    outputs = await run(recording)
    summary = outputs.summary
    assert (names(summary["passed"]), names(summary["failed"]), summary["undecided"]) == (
        ["book", "hours"],
        ["wrong"],
        [],
    )
    assert summary["failed"][0]["reason"].startswith("line 22: expected utter: utter_booked, but utter_hours said")
    assert summary["commands"] == {"set slot": 2, "start flow": 2}
    assert summary["commands_from"] == recording
    assert summary["total"] == round(1 - 3 / 9, 4)
    assert {flow["flow"]: flow["missing"] for flow in summary["flows"]} == {
        "opening_hours": 0,
        "send_parcel": 1,
        "complain": 2,
    }
    assert json.loads((run.folder / "coverage.json").read_text()) == summary
    table = run.folder / "e2e_coverage_results" / "coverage_report_for_failed_tests.csv"
    assert list(csv.reader(table.read_text().splitlines()))[-1] == ["Total", "22.22%", "9", "7", ""]
    assert all((run.folder / path).exists() for path in outputs.files.values())


async def test_gates_tell_what_is_missing(make_run, recording):
    outputs = await make_run()(recording)
    assert not outputs.passed
    assert [(gate.name, gate.passed, gate.measured) for gate in outputs.gates] == [
        ("total coverage", False, "66.7 %"),
        ("coverage of every flow", False, "1 below: complain 0.0 %"),
        ("every command represented", False, "missing: cancel flow, clarify"),
    ]
    assert outputs.summary["gates"][0] == {
        "name": "total coverage",
        "required": "≥ 90.0 %",
        "measured": "66.7 %",
        "passed": False,
    }


async def test_bars_are_the_owners_choice(make_run, recording):
    outputs = await make_run()(recording, total_min=0.6, per_flow_min=0, min_command_samples=0)
    assert outputs.passed


async def test_passed_tests_run_again_with_the_commands_that_were_recorded(make_run, recording, tmp_path):
    run = make_run()
    outputs = await run(recording)
    again = Run(tmp_path / "again", run.assistant)
    passed = str(run.folder / outputs.files["passed_tests"])
    summary = (await again("infer", passed)).summary
    assert names(summary["passed"]) == ["book", "hours"]
    assert len(read_tests(Path(passed), run.folder).cases) == 2
    repeated = await Run(tmp_path / "repeated", run.assistant)(str(run.folder / outputs.files["recording"]))
    assert names(repeated.summary["passed"]) == ["book", "hours"]


async def test_progress_failures_and_notices_are_told(make_run, recording):
    run = make_run()
    await run(recording)
    assert [(event.done, event.total) for event in run.of(Progress)] == [(1, 3), (2, 3), (3, 3)]
    assert "e2e_tests/all.yml:19: wrong" in [event.line for event in run.of(Log)]
    assert any("conversation repair as in" in event.text for event in run.of(Notice))


async def test_commands_are_inferred_where_no_model_is_configured(make_run):
    run = make_run()
    outputs = await run("auto")
    assert outputs.summary["commands_from"] == "infer"
    assert names(outputs.summary["passed"]) == ["book", "hours"]
    assert any("no language model is configured" in event.text for event in run.of(Notice))


async def test_the_assistants_own_model_is_asked(make_run):
    def reply(prompt: str) -> str:
        latest = max(REPLIES, key=prompt.rfind)
        return REPLIES[latest]

    with ChatServer(reply).running() as server:
        config = """
            pipeline:
            - name: CompactLLMCommandGenerator
              llm: {model_group: strong}
            policies: [{name: FlowPolicy}]
        """
        endpoints = f"""
            model_groups:
            - id: strong
              models: [{{provider: self-hosted, model: strong, api_base: "{server.url}"}}]
        """
        outputs = await make_run(config=config, endpoints=endpoints)("llm")
    assert names(outputs.summary["passed"]) == ["book", "hours"]
    assert len(server.prompts) == 3


async def test_one_test_alone(make_run, recording):
    run = make_run()
    outputs = await run(recording, f"{run.assistant}/e2e_tests/all.yml::hours")
    assert names(outputs.summary["passed"]) == ["hours"]
    assert outputs.summary["failed"] == []


async def test_what_is_wrong_before_the_run_is_said(make_run, tmp_path):
    run = make_run()
    with pytest.raises(UsageError, match="no language model is configured"):
        await run("llm")
    with pytest.raises(UsageError, match=r"there is no file nowhere\.yml"):
        await run("nowhere.yml")
    with pytest.raises(UsageError, match="does not exist"):
        await run("infer", str(tmp_path / "none"))
    (run.assistant / "e2e_tests" / "all.yml").write_text(
        textwrap.dedent(TESTS).replace("utter: utter_booked", "uter: x")
    )
    with pytest.raises(ProblemsError, match=r"all\.yml:\d+: uter is not a key of a step; did you mean utter\?"):
        await run("infer")
