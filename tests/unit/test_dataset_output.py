"""Files of a data preparation."""

from __future__ import annotations

import json
from dataclasses import replace

import yaml
from rigs.parcels import DOMAIN, FLOWS
from rigs.played import play

from core.dataset import output
from core.dataset.annotate import annotate
from core.dataset.conversation import Rejected
from core.dataset.points import DataPoint
from core.dataset.prepare import divide
from core.dialogue.commands import CancelFlow, SetSlot, StartFlow
from core.dialogue.engine import Engine
from core.dialogue.prompt import PromptRenderer
from core.e2e.cases import TestFile, TestSuite

POINT = DataPoint(
    "a prompt\nüber “two” lines\u2028", "cancel flow", "e2e.yml::t", 2, 1, "stop", "halt", (CancelFlow(),)
)


def test_both_forms_of_a_row():
    assert output.row(POINT, "instruction") == {"prompt": POINT.prompt, "completion": "cancel flow"}
    assert output.row(POINT, "conversational") == {
        "messages": [{"role": "user", "content": POINT.prompt}, {"role": "assistant", "content": "cancel flow"}]
    }


def test_an_original_has_no_rephrased_utterance():
    assert output.with_provenance(POINT)["rephrased_user_utterance"] == "halt"
    assert output.with_provenance(replace(POINT, message="stop"))["rephrased_user_utterance"] is None


def test_each_row_is_one_line_whatever_it_holds(tmp_path):
    output.write_lines(tmp_path / "rows.jsonl", [output.row(POINT, "instruction")] * 2)
    lines = (tmp_path / "rows.jsonl").read_text().splitlines()
    assert [json.loads(line)["prompt"] for line in lines] == [POINT.prompt] * 2


def test_a_file_is_replaced_as_a_whole(tmp_path):
    (tmp_path / "params.yaml").write_text("old")
    output.write_yaml(tmp_path / "params.yaml", {"text": "ä"})
    assert [path.name for path in tmp_path.iterdir()] == ["params.yaml"]
    assert yaml.safe_load((tmp_path / "params.yaml").read_text()) == {"text": "ä"}


def test_conversations_lie_under_the_names_of_their_files_and_never_outside(make_assistant, tmp_path):
    engine = Engine(make_assistant(FLOWS, DOMAIN))
    renderer = PromptRenderer(engine.assistant, "v2", index=engine.index)
    script = [("send it", (StartFlow("send_parcel"),)), ("Elm 4", (SetSlot("street", "Elm 4"),))]
    conversations = [
        annotate(play(engine, script, file=file), engine, renderer, "v2")
        for file in ("a/b.yml", "../../c.yml", "/d.yaml")
    ]
    suite = TestSuite(tuple(TestFile(conversation.case.file, ()) for conversation in conversations))
    folder = tmp_path / "one" / "two"
    output.write_dataset(
        folder, conversations, divide(conversations, engine, renderer, 1.0, 1), suite, "instruction", {}, {}
    )
    annotated = folder / "1_command_annotations"
    written = {path.relative_to(annotated).as_posix() for path in annotated.rglob("*") if path.is_file()}
    assert written == {"a/b.yml", "c.yml", "d.yaml"}
    assert not list(tmp_path.glob("*.y*ml"))
    assert yaml.safe_load((folder / "1_command_annotations" / "c.yml").read_text()) == {
        "conversations": [
            {
                "original_test_case": "../../c.yml::a test",
                "steps": [
                    {"user": "send it", "llm_commands": ["start flow send_parcel"]},
                    {"utter": "utter_ask_street"},
                    {"user": "Elm 4", "llm_commands": ["set slot street Elm 4"]},
                    {"utter": "utter_ask_weight"},
                ],
            }
        ]
    }


def test_buttons_have_neither_commands_nor_rephrasings(make_assistant):
    engine = Engine(make_assistant(FLOWS, DOMAIN))
    renderer = PromptRenderer(engine.assistant, "v2", index=engine.index)
    conversation = annotate(play(engine, [("/SetSlots(day=Friday)", ())]), engine, renderer, "v2")
    assert output.rephrased_annotation(conversation.turns[0]) == {"user": "/SetSlots(day=Friday)"}


def test_failed_rephrasings_come_with_their_reasons(make_assistant):
    engine = Engine(make_assistant(FLOWS, DOMAIN))
    renderer = PromptRenderer(engine.assistant, "v2", index=engine.index)
    (turn,) = annotate(play(engine, [("hours", (StartFlow("opening_hours"),))]), engine, renderer, "v2").turns
    assert output.rephrased_annotation(replace(turn, passing=("when",), rejected=(Rejected("", "is empty"),))) == {
        "user": "hours",
        "llm_commands": ["start flow opening_hours"],
        "passing_rephrasings": ["when"],
        "failed_rephrasings": [""],
        "reasons": {"": "is empty"},
    }
