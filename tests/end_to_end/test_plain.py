"""`calmtune run --plain` as somebody uses it, in a real terminal."""

from __future__ import annotations

import os

import pytest
import yaml

from tests.rigs.recipe import ASSISTANT, ROOT, calmtune, command
from tests.rigs.terminal import Terminal


def environment(**more: str) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT), "TERM": "dumb", **more}


@pytest.fixture
def plain(tmp_path):
    def start(*arguments: str) -> Terminal:
        return Terminal(command("run", "--plain", "--session", "one", *arguments), tmp_path, environment())

    return start


def answers(tmp_path) -> dict[str, object]:
    return yaml.safe_load((tmp_path / ".calmtune" / "sessions" / "one" / "answers.yml").read_text())


def test_from_the_first_question_to_a_passed_gate_with_ways_back(tmp_path, plain):
    with plain("--until", "coverage") as terminal:
        assert "Type < to go back" in terminal.wait_for("Question 1 of ")
        terminal.wait_for("Assistant:")
        terminal.type("<")
        terminal.wait_for("there is nothing before it")
        terminal.wait_for("Assistant:")
        terminal.type("")
        terminal.wait_for("must be answered. Try again.")
        terminal.type("nowhere")
        terminal.wait_for("there is no file or folder nowhere here. Try again.")
        terminal.type(".")
        terminal.wait_for(" holds no assistant: ")
        terminal.wait_for("Assistant:")
        terminal.type(str(ASSISTANT))
        terminal.wait_for("Tests [none]:")
        terminal.type("<")
        terminal.wait_for(f"Assistant [{ASSISTANT}]:")
        terminal.type("")
        terminal.wait_for("Tests [none]:")
        terminal.type("")
        terminal.wait_for("Command source [auto]:")
        terminal.type("infer")
        assert "  1 auto\r\n  2 v1" in terminal.wait_for("Command language (number or name) [auto]:")
        terminal.type("9")
        terminal.wait_for("9 is none of auto, v1, v2, v3")
        terminal.type("3")
        terminal.wait_for("Engine (number or name) [auto]:")
        terminal.type("<")
        terminal.wait_for("Command language (number or name) [v2]:")
        terminal.type("auto")
        terminal.wait_for("Engine (number or name) [auto]:")
        terminal.type("+")
        terminal.wait_for("Advanced questions are asked too")
        terminal.wait_for("Engine (number or name) [auto]:")
        terminal.type("own")
        terminal.wait_for("Time limit of rasa (number, minutes, more than 0) [720]:")
        terminal.type("soon")
        terminal.wait_for("soon is no number")
        terminal.type("0")
        terminal.wait_for("0.0 is not more than 0")
        for _ in range(3):
            terminal.type("")
        terminal.wait_for("Seed (whole number, at least 0) [42]:")
        terminal.type("")
        terminal.wait_for("GPUs to rent")
        for _ in range(5):
            terminal.type("")
        terminal.wait_for("Step 1 of 7. Coverage review.")
        terminal.wait_for("Total coverage (number, at least 0, at most 1) [0.9]:")
        terminal.type("<")  # to the step before: its last question
        terminal.wait_for("Seed (whole number, at least 0) [42]:")
        terminal.type("7")
        terminal.wait_for("Total coverage")
        for _ in range(3):
            terminal.type("")
        terminal.wait_for("Tests at a time")
        terminal.type("")
        assert "Total coverage: 0.9" in terminal.wait_for("Run it now? yes, no to stop here, or < to go back [yes]:")
        terminal.type("yes")
        terminal.wait_for("passed: total coverage: 100.0 %")
        terminal.wait_for("That was the last step asked for")
        terminal.wait_for("coverage    fresh")
        assert terminal.end() == 0
        assert b"\x1b" not in terminal.written
        assert b"\r\r" not in terminal.written
    assert answers(tmp_path) == {"assistant": str(ASSISTANT), "commands": "infer", "engine": "own", "seed": 7}


def test_a_terminal_that_cannot_show_the_app_is_told_of_the_plain_prompts(tmp_path):
    with Terminal(command(), tmp_path, environment()) as terminal:
        assert "`calmtune run --plain` asks in lines" in terminal.wait_for("asks in lines")


def test_ctrl_c_keeps_the_answers_and_the_next_time_has_them_as_defaults(tmp_path, plain):
    with plain() as terminal:
        terminal.wait_for("Assistant:")
        terminal.type(str(ASSISTANT))
        terminal.wait_for("Tests [none]:")
        terminal.type("")
        terminal.wait_for("Command source [auto]:")
        terminal.type("infer")
        terminal.wait_for("Command language")
        terminal.press(b"\x03")
        terminal.wait_for("`calmtune run --plain --session one` goes on where you are.")
        assert terminal.end() == 130
    assert answers(tmp_path) == {"assistant": str(ASSISTANT), "commands": "infer"}
    with plain() as terminal:
        terminal.wait_for(f"Assistant [{ASSISTANT}]:")
        terminal.type("")
        terminal.type("")
        terminal.wait_for("Command source [infer]:")
        terminal.press(b"\x04")
        assert terminal.end() == 130


def test_a_gate_that_fails_is_told_and_answers_can_be_changed(tmp_path, plain):
    (tmp_path / "a.yml").write_text(f"assistant: {ASSISTANT}\ncommands: infer\ncoverage: {{min_command_samples: 1000}}\n")
    with plain("--answers", "a.yml", "--until", "coverage") as terminal:
        terminal.wait_for("Question 1 of")
        for _ in range(6):
            terminal.type("")
        terminal.wait_for("Total coverage (")
        for _ in range(4):
            terminal.type("")
        terminal.wait_for("[yes]:")
        terminal.type("")
        terminal.wait_for("FAILED: every command represented")
        terminal.wait_for("Type < to change answers and try again, or Enter to stop here:")
        terminal.type("<")
        terminal.wait_for("Tests at a time")
        terminal.type("<")
        terminal.wait_for("Samples of each command (whole number, at least 0) [1000]:")
        terminal.type("1")
        terminal.wait_for("Tests at a time")
        terminal.type("")
        terminal.wait_for("[yes]:")
        terminal.type("y")
        terminal.wait_for("passed: every command represented")
        assert terminal.end() == 0
    again = calmtune(tmp_path, environment(), "status", "one")
    assert "coverage    fresh" in again.stdout
    with plain("--until", "coverage") as terminal:
        terminal.wait_for(f"The assistant: {ASSISTANT}")
        terminal.wait_for("coverage    fresh")
        assert terminal.end() == 0, "nothing is asked that was answered and used"


def test_where_the_terminal_can_lines_are_edited_and_none_is_drawn_over(tmp_path):
    with Terminal(command("run", "--plain", "--session", "one", "--until", "coverage"), tmp_path, environment(TERM="xterm")) as terminal:
        terminal.wait_for("Assistant:")
        terminal.press(str(ASSISTANT)[1:].encode() + b"\x1b[H/\r")  # Home, and what was forgotten
        terminal.wait_for("Tests [none]:")
        terminal.type("<")
        terminal.wait_for(f"Assistant [{ASSISTANT}]:")
        terminal.press(b"\x03")
        assert terminal.end() == 130
        for upwards in (b"\x1b[A", b"\x1b[2J", b"\x1b[H", b"\x1b[6n", b"\x1b[?1049h"):
            assert upwards not in terminal.written
