"""How much of their prompts rows share from the beginning."""

from __future__ import annotations

import random
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.dataset.beginning import about_beginning, common_length, shared_beginning
from tui.results.dataset import road


@given(st.text("ab", max_size=40), st.text("ab", max_size=40))
def test_the_common_beginning_of_two_texts(one, other):
    length = common_length(one, other)
    assert one[:length] == other[:length]
    assert length == min(len(one), len(other)) or one[length] != other[length]


@pytest.mark.parametrize(
    ("prompts", "share"),
    [
        ([], 1.0),
        (["alone"], 1.0),
        (["", ""], 1.0),
        (["same", "same"], 1.0),
        (["aaab", "aaac"], 0.75),
        (["ab", "abcd"], 0.5),
        (["xabc", "yabc"], 0.0),
    ],
)
def test_the_mean_share(prompts, share):
    assert shared_beginning(prompts) == pytest.approx(share)


def test_the_place_of_the_conversation_decides():
    static, chance = "flows and instructions " * 100, random.Random(1)
    said = [" ".join(chance.choices(["one", "two", "three"], k=40)) for _ in range(300)]
    assert shared_beginning([static + text for text in said]) > 0.9
    assert shared_beginning([text + static for text in said]) < 0.02


def test_it_is_the_same_every_time_and_quick_for_many_rows():
    rows = ["x" * 4000 + str(random.Random(n).random()) for n in range(10_000)]
    began = time.process_time()
    assert shared_beginning(rows, 7) == shared_beginning(rows, 7)
    assert time.process_time() - began < 2


def test_a_low_share_comes_with_what_to_do():
    level, said = about_beginning(0.87, retrieval=False)
    assert (level, said) == (
        "info",
        "prompts have 87 % in common from the beginning: training and servers compute that once",
    )
    level, said = about_beginning(0.3, retrieval=False)
    assert level == "warning"
    assert "put flows and instructions first in the prompt template, the conversation and the message last" in said
    assert "flow_retrieval: off" not in said
    assert "flow_retrieval: off" in about_beginning(0.3, retrieval=True)[1]


@pytest.mark.parametrize(
    ("llm_data", "line"),
    [
        ({"data_points": 30, "shared_beginning": 0.87}, "   87 %  of prompts shared    from the beginning: computed once"),
        ({"data_points": 30, "shared_beginning": 0.12}, "   12 %  of prompts shared    little: flows first in the template"),
        ({"data_points": 30}, "      6  rows to validate on  from 1 tests"),
    ],
)  # fmt: skip
def test_the_result_screen_shows_it(llm_data, line):
    summary = {
        "command_annotation": {"passing": 3, "annotated_user_steps": 9},
        "rephrasing": {"passing": 0, "candidates": 0},
        "split": {"train_points": 24, "train_tests": 2, "val_points": 6, "val_tests": 1},
        "llm_data": llm_data,
    }
    assert road(summary).plain.splitlines()[-1].startswith(line)
