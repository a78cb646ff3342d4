"""The golden set in the preparation: never learnt from, chosen once, kept when the suite grows."""

from __future__ import annotations

import json

import pytest
import yaml
from end_to_end.test_dataset_step import Bench, suite
from rigs.chat_server import ChatServer
from rigs.parcels import DOMAIN, FLOWS

from core.e2e.reader import read_tests
from core.errors import UsageError
from core.wizard.events import Log


@pytest.fixture
async def bench(write_assistant, tmp_path) -> Bench:
    root = write_assistant(FLOWS, DOMAIN)
    (root / "e2e_tests").mkdir()
    (root / "e2e_tests" / "parcels.yml").write_text(suite())
    bench = Bench(tmp_path, root)
    await bench.review()
    return bench


async def test_golden_tests_are_on_no_side_and_in_no_row(bench):
    outputs, folder = await bench.prepare(num_rephrases=0, golden_fraction=0.2, hard_cases=2, other_values=2)
    golden, summary = set(outputs.summary["golden_test_ids"]), outputs.summary
    assert summary["split"]["golden_tests"] == len(golden) >= 2
    assert not golden & {*summary["train_test_ids"], *summary["val_test_ids"]}
    assert len(golden) + len(summary["train_test_ids"]) + len(summary["val_test_ids"]) == 13
    written = [json.loads(line) for line in (folder / "3_llm_finetune_data/llm_ft_data.jsonl").read_text().splitlines()]
    assert written
    assert not golden & {row["original_test_name"] for row in written}
    tests = read_tests(folder / outputs.files["golden_tests"], folder)
    assert {case.name for case in tests.cases} == {id.partition("::")[2] for id in golden}
    assert outputs.passed, "train holds all that the golden tests hold"
    assert summary["split"]["golden_leakage"]["nearest"] > 0.3


async def test_other_wordings_are_asked_for_tests_that_are_learnt_from_only(bench):
    with ChatServer(lambda prompt: "").running() as server:
        outputs, _ = await bench.prepare(
            rephraser="llm",
            rephrase_model="m",
            rephrase_address=server.url,
            num_rephrases=2,
            golden_fraction=0.2,
            check="none",
        )
        names = [id.partition("::")[2] for id in outputs.summary["golden_test_ids"]]
        assert len(server.prompts) == 13 - len(names)
        assert not [
            name for name in names for prompt in server.prompts if f"{name}\n" in prompt or f'"{name}"' in prompt
        ]


async def test_the_set_stays_when_tests_are_added_and_takes_in_their_near_duplicates(bench):
    first, _ = await bench.prepare(num_rephrases=0, golden_fraction=0.2)
    golden = first.summary["golden_test_ids"]
    path = bench.shared.assistant / "e2e_tests" / "parcels.yml"
    content = yaml.safe_load(path.read_text())
    by_name = {case["test_case"]: case for case in content["test_cases"]}
    twin = {**by_name[golden[0].partition("::")[2]], "test_case": "the same again"}
    more = [
        {"test_case": f"hours on the {day}", "steps": [{"user": f"when is the shop open on the {day}"}, {"utter": "utter_hours"}]}
        for day in ("1st", "second", "30th")
    ]  # fmt: skip
    path.write_text(yaml.safe_dump({**content, "test_cases": [*more, twin, *content["test_cases"]]}, sort_keys=False))
    await bench.review()
    again, _ = await bench.prepare("dataset2", num_rephrases=0, golden_fraction=0.2)
    assert set(again.summary["golden_test_ids"]) == {*golden, "e2e_tests/parcels.yml::the same again"}
    assert any("as before" in event.line for event in bench.events if isinstance(event, Log))


async def test_an_owner_names_the_tests_or_wants_none(bench, tmp_path):
    named = tmp_path / "mine.yml"
    named.write_text(
        yaml.safe_dump({"golden_tests": ["e2e_tests/parcels.yml::hours 1", "e2e_tests/parcels.yml::gone"]})
    )
    outputs, _ = await bench.prepare(num_rephrases=0, golden=named, golden_fraction=0.1)
    assert outputs.summary["golden_test_ids"] == ["e2e_tests/parcels.yml::hours 1"]
    outputs, _ = await bench.prepare("dataset2", num_rephrases=0, golden=named, golden_fraction=0)
    assert outputs.summary["golden_test_ids"] == []
    named.write_text("golden_tests: 3\n")
    with pytest.raises(UsageError, match=r"mine\.yml names no tests; write golden_tests: and a list"):
        await bench.prepare("dataset3", num_rephrases=0, golden=named, golden_fraction=0.1)


async def test_a_suite_in_which_each_test_is_alone_with_something_has_no_golden_set(bench):
    path = bench.shared.assistant / "e2e_tests" / "parcels.yml"
    content = yaml.safe_load(path.read_text())
    alone = [
        case
        for case in content["test_cases"]
        if case["test_case"] in ("hours 0", "a complaint, wet", "parcel to Elm Road 4")
    ]
    path.write_text(yaml.safe_dump({**content, "test_cases": alone}, sort_keys=False))
    await bench.review()
    outputs, _ = await bench.prepare(num_rephrases=0, golden_fraction=0.3)
    assert outputs.summary["golden_test_ids"] == []
    assert any("no test could be set aside" in notice for notice in bench.notices)
