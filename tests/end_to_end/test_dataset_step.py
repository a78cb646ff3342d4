"""Data preparation on a small assistant on disk: the coverage review, then the step with each kind of rephraser."""

from __future__ import annotations

import json
import re
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from rigs.batch_server import BatchServer
from rigs.chat_server import ChatServer, Fault
from rigs.parcels import DOMAIN, FLOWS

from core.e2e.reader import read_tests
from core.e2e.recording import read_recording
from core.e2e.runner import run_tests
from core.errors import BudgetReached, ProblemsError, ProviderError, StepFailed, UsageError
from core.evaluation.review import workbench
from core.wizard.events import Cost, Notice, Progress
from core.wizard.shared import SharedAnswers
from core.wizard.step import Context, Outputs, Upstream
from core.wizard.steps.coverage import STEP as COVERAGE
from core.wizard.steps.coverage import CoverageAnswers
from core.wizard.steps.dataset import STEP, DatasetAnswers

SHARED = Path(__file__).resolve().parents[3] / "shared" / "assistants"
DAYS = ["Monday", "Friday"]
STREETS = ["Elm Road 4", "Oak Lane 1", "Ash Way 22", "Birch Row 7", "Fir Court 3", "Pine Hill 9"]


def suite() -> str:
    """Fourteen tests; the last one fails."""
    cases = [
        {
            "test_case": f"parcel to {street}",
            "fixtures": ["heavy"] if at == 0 else [],
            "steps": [
                {"user": f"send a parcel to {street}"},
                {"slot_was_set": [{"street": street}]},
                {"utter": "utter_ask_sure" if at == 0 else "utter_ask_weight"},
                *(
                    []
                    if at == 0
                    else [{"user": f"{at} kg"}, {"slot_was_set": [{"weight": at}]}, {"utter": "utter_ask_sure"}]
                ),
                {"user": "/SetSlots(sure=true)"},
                {"utter": "utter_booked"},
            ],
        }
        for at, street in enumerate(STREETS)
    ]
    cases += [
        {
            "test_case": f"hours {at}",
            "steps": [{"user": text.format(day)}, {"utter": "utter_hours"}],
        }
        for at, (text, day) in enumerate(
            (text, day) for text in ("opening hours {}?", "are you open on {}") for day in DAYS
        )
    ]
    cases += [
        {
            "test_case": f"a complaint, {end}",
            "steps": [
                {"user": f"I want to complain about a {thing} parcel"},
                {"utter": "utter_ask_reason"},
                {"user": f"it was {thing}"},
                {"slot_was_set": [{"reason": thing}]},
                {"utter": "utter_sorry"},
            ],
        }
        for end, thing in (("broken", "broken"), ("wet", "wet"), ("lost", "lost"))
    ]
    cases.append({"test_case": "wrong", "steps": [{"user": "opening hours Friday"}, {"utter": "utter_booked"}]})
    return yaml.safe_dump({"fixtures": [{"heavy": [{"weight": 40}]}], "test_cases": cases}, sort_keys=False)


class Bench:
    """A session's worth of context for one assistant."""

    def __init__(self, folder: Path, assistant: Path) -> None:
        self.folder, self.shared = folder, SharedAnswers(assistant=assistant)
        self.events: list[object] = []
        self.upstream: dict[str, Upstream] = {}

    def context(self, step: str, answers: object) -> Context:
        run = self.folder / "runs" / step
        run.mkdir(parents=True, exist_ok=True)
        return Context(answers, self.shared, self.upstream, run, self.events.append, jobs=None)

    async def review(self, commands: str = "infer") -> None:
        self.shared = self.shared.model_copy(update={"commands": commands})
        context = self.context("coverage", CoverageAnswers())
        self.upstream["coverage"] = Upstream(await COVERAGE.run(context), context.folder)

    async def prepare(self, run: str = "dataset", **answers: object) -> tuple[Outputs, Path]:
        context = self.context(run, DatasetAnswers(**{"golden_fraction": 0, **answers}))
        return await STEP.run(context), context.folder

    @property
    def notices(self) -> list[str]:
        return [event.text for event in self.events if isinstance(event, Notice)]


@pytest.fixture
def bench(write_assistant, tmp_path) -> Bench:
    root = write_assistant(FLOWS, DOMAIN)
    (root / "e2e_tests").mkdir()
    (root / "e2e_tests" / "parcels.yml").write_text(suite())
    return Bench(tmp_path, root)


def rows(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


async def test_without_rephrasings_the_tests_become_rows(bench):
    await bench.review()
    outputs, folder = await bench.prepare(num_rephrases=0)
    assert outputs.passed
    assert {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()} == {
        "1_command_annotations/e2e_tests/parcels.yml",
        "2_rephrasings/e2e_tests/parcels.yml",
        "3_llm_finetune_data/llm_ft_data.jsonl",
        "4_train_test_split/e2e_tests/golden.yaml",
        "4_train_test_split/e2e_tests/train.yaml",
        "4_train_test_split/e2e_tests/validation.yaml",
        "4_train_test_split/ft_splits/train.jsonl",
        "4_train_test_split/ft_splits/val.jsonl",
        "annotations.yaml",
        "params.yaml",
        "result_summary.yaml",
    }
    train, validation = rows(folder / outputs.files["train_rows"]), rows(folder / outputs.files["val_rows"])
    assert set(train[0]) == {"prompt", "completion"}
    split_facts = outputs.summary["split"]
    assert (len(train), len(validation)) == (split_facts["train_points"], split_facts["val_points"])
    assert split_facts["train_tests"] + split_facts["val_tests"] == 13
    assert not {row["prompt"] for row in train} & {row["prompt"] for row in validation}
    assert set(split_facts["flows"]["train"]) == {"send_parcel", "opening_hours", "complain"}
    facts = yaml.safe_load((folder / "result_summary.yaml").read_text())
    assert facts["command_annotation"] == {
        "input_tests": 14,
        "passing": 13,
        "annotated_user_steps": 21,
        "skipped_steps": 6,
        "derived": {},
    }
    assert facts["llm_data"]["data_points"] == 21
    assert yaml.safe_load((folder / "params.yaml").read_text())["train_frac"] == 0.8


async def test_each_sides_tests_run_as_they_are_and_pass_with_the_annotations(bench):
    await bench.review()
    outputs, folder = await bench.prepare(num_rephrases=0)
    assistant = bench.shared.assistant
    bench_ = workbench(assistant, None)
    annotations = read_recording(folder / outputs.files["annotations"])
    names: list[str] = []
    for side in ("train_tests", "val_tests"):
        written = read_tests(folder / outputs.files[side], folder)
        by_name = {id.partition("::")[2]: turns for id, turns in annotations.turns.items()}
        recording = type(annotations)({case.id: by_name[case.name] for case in written.cases})
        results = await run_tests(bench_.engine, written.cases, recording.source_for)
        assert all(result.passed for result in results)
        names += [case.name for case in written.cases]
    assert len(names) == len(set(names)) == 13
    assert "wrong" not in names


async def test_how_much_the_prompts_share_is_measured_and_told(bench):
    await bench.review()
    outputs, folder = await bench.prepare(num_rephrases=0)
    share = outputs.summary["llm_data"]["shared_beginning"]
    assert 0.7 < share < 1
    assert yaml.safe_load((folder / "result_summary.yaml").read_text())["llm_data"]["shared_beginning"] == share
    said = f"prompts have {100 * share:.0f} % in common from the beginning"
    assert f"{said}: training and servers compute that once" in bench.notices


async def test_a_template_that_begins_with_the_conversation_is_warned_about(bench):
    root = bench.shared.assistant
    (root / "own.jinja2").write_text("{{ current_conversation }}\n{{ available_flows | tojson }}\nCommands:")
    (root / "config.yml").write_text("pipeline:\n- name: CompactLLMCommandGenerator\n  prompt_template: own.jinja2\n")
    await bench.review()
    outputs, folder = await bench.prepare(num_rephrases=0)
    assert outputs.summary["llm_data"]["shared_beginning"] < 0.1
    (warning,) = [event for event in bench.events if isinstance(event, Notice) and "in common" in event.text]
    assert warning.level == "warning"
    assert "put flows and instructions first in the prompt template" in warning.text
    assert rows(folder / outputs.files["train_rows"])[0]["prompt"].startswith("USER: ")


async def test_a_paraphrase_file_multiplies_the_rows(bench, tmp_path):
    await bench.review()
    own = tmp_path / "paraphrases.yml"
    entries = [
        {
            "user": f"send a parcel to {street}",
            "variants": [f"parcel to {street} pls", f"{street} gets a parcel", "a parcel"],
        }
        for street in STREETS
    ]
    entries.append({"user": "opening ours Monday", "variants": ["hours?"]})
    own.write_text(yaml.safe_dump({"paraphrases": entries}))
    outputs, folder = await bench.prepare(rephraser=str(own), num_rephrases=3, output_format="conversational")
    facts = outputs.summary["rephrasing"]
    assert {name: facts[name] for name in list(facts)[:6]} == {
        "source": str(own),
        "checked_by": "slot values",
        "candidates": 18,
        "passing": 12,
        "failed": 6,
        "llm_calls": 0,
    }
    first = yaml.safe_load((folder / "2_rephrasings" / "e2e_tests" / "parcels.yml").read_text())["conversations"][0]
    assert first["original_test_case"] == "e2e_tests/parcels.yml::parcel to Elm Road 4"
    assert first["steps"][0] == {
        "user": "send a parcel to Elm Road 4",
        "llm_commands": ["start flow send_parcel", "set slot street Elm Road 4"],
        "passing_rephrasings": ["parcel to Elm Road 4 pls", "Elm Road 4 gets a parcel"],
        "failed_rephrasings": ["a parcel"],
        "reasons": {"a parcel": "loses the value Elm Road 4"},
    }
    assert first["steps"][1] == {"utter": "utter_ask_sure"}
    every = rows(folder / "3_llm_finetune_data" / "llm_ft_data.jsonl")
    reworded = [row for row in every if row["rephrased_user_utterance"] == "parcel to Oak Lane 1 pls"]
    assert [(row["original_user_utterance"], row["turn"], row["variant"]) for row in reworded] == [
        ("send a parcel to Oak Lane 1", 1, 1),
    ]
    later = [row for row in every if row["original_test_name"].endswith("Oak Lane 1") and row["turn"] == 2]
    assert [("parcel to Oak Lane 1 pls" in row["prompt"], row["completion"]) for row in later] == [
        (False, "set slot weight 1"),
        (True, "set slot weight 1"),
        (False, "set slot weight 1"),
    ]
    train = rows(folder / outputs.files["train_rows"])
    assert [message["role"] for message in train[0]["messages"]] == ["user", "assistant"]
    assert any("'opening ours Monday'; the nearest is 'opening hours Monday?'" in notice for notice in bench.notices)
    assert [event.done for event in bench.events if isinstance(event, Progress) and event.unit == "conversations"] == [
        *range(1, 14),
    ]


async def test_the_same_answers_give_the_same_bytes(bench):
    await bench.review()
    one, first = await bench.prepare("one", num_rephrases=0)
    other, second = await bench.prepare("other", num_rephrases=0)
    assert one == other
    for path in first.rglob("*"):
        if path.is_file():
            assert path.read_bytes() == (second / path.relative_to(first)).read_bytes()


@pytest.fixture
def model(bench, monkeypatch) -> Iterator[ChatServer]:
    """A hosted model that knows the assistant, misunderstands hesitation, and rephrases on request."""
    streets = re.compile(r"[A-Z][a-z]+ (?:Road|Lane|Way|Row|Court|Hill) \d+")

    def understood(message: str) -> str:
        if message.startswith("erm"):
            return "cannot handle"
        if street := streets.search(message):
            return f"start flow send_parcel\nset slot street {street[0]}"
        if weight := re.search(r"(\d+) kg", message):
            return f"set slot weight {weight[1]}"
        if "open" in message or "hours" in message:
            return (
                f"start flow opening_hours\nset slot day {next(day for day in DAYS if day.lower() in message.lower())}"
            )
        if "complain" in message:
            return "start flow complain"
        reason = next((word for word in ("broken", "wet", "lost") if word in message), None)
        return f"set slot reason {reason}" if reason else "cannot handle"

    def reply(prompt: str) -> str:
        if "Reword" in prompt:
            asked = re.findall(r"^USER: (.*)$", prompt.partition("Reword")[2], re.MULTILINE)[:-1]
            return "\n\n".join(f"USER: {text}\n1. hey, {text}\n2. erm {text}\n3. something else" for text in asked)
        return understood(re.findall(r"^USER: (.*)\nCommands:", prompt, re.MULTILINE)[-1])

    with ChatServer(reply).running() as server:
        monkeypatch.setenv("PARCEL_KEY", "k")
        (bench.shared.assistant / "config.yml").write_text(
            textwrap.dedent(f"""
            recipe: default.v1
            language: en
            pipeline:
            - name: CompactLLMCommandGenerator
              llm: {{provider: self-hosted, model: big, api_base: "{server.url}", api_key: "${{PARCEL_KEY}}"}}
            policies:
            - name: FlowPolicy
        """)
        )
        yield server


async def test_a_language_model_rephrases_and_checks(bench, model):
    await bench.review("llm")
    outputs, folder = await bench.prepare(num_rephrases=3)
    assert outputs.passed
    facts = outputs.summary["rephrasing"]
    assert (facts["source"], facts["checked_by"]) == ("llm", "language model, names")
    assert (facts["candidates"], facts["passing"], facts["failed"]) == (3 * 21, 21, 2 * 21)
    first = yaml.safe_load((folder / "2_rephrasings" / "e2e_tests" / "parcels.yml").read_text())["conversations"][0]
    assert first["steps"][0]["reasons"] == {
        "erm send a parcel to Elm Road 4": "is understood as cannot handle",
        "something else": "loses the value Elm Road 4",
    }
    assert outputs.summary["llm_data"]["data_points"] == 2 * 21


async def test_the_prompts_of_rows_are_those_the_model_was_shown(bench, model):
    await bench.review("llm")
    shown = set(model.prompts)
    _, folder = await bench.prepare(num_rephrases=0)
    assert {row["prompt"] for row in rows(folder / "3_llm_finetune_data" / "llm_ft_data.jsonl")} <= shown


async def test_what_was_answered_is_not_asked_again_under_other_answers(bench, model):
    await bench.review("llm")
    await bench.prepare("one", num_rephrases=3)
    asked = len(model.prompts)
    one, _ = await bench.prepare("other", num_rephrases=3, train_fraction=0.7, output_format="conversational")
    assert len(model.prompts) == asked
    assert one.summary["rephrasing"]["llm_calls"] > 0


async def test_a_paraphrase_file_is_checked_by_the_model_that_gave_the_commands(bench, model, tmp_path):
    await bench.review("llm")
    own = tmp_path / "paraphrases.yml"
    own.write_text(
        "paraphrases:\n- user: I want to complain about a wet parcel\n  variants: [erm nothing, I must complain]\n"
    )
    outputs, _ = await bench.prepare(rephraser=str(own))
    facts = outputs.summary["rephrasing"]
    assert {name: facts[name] for name in list(facts)[:6]} == {
        "source": str(own),
        "checked_by": "language model, names",
        "candidates": 2,
        "passing": 1,
        "failed": 1,
        "llm_calls": 2,
    }


async def test_another_model_rephrases_and_the_assistants_own_checks(bench, model):
    await bench.review("llm")
    checked = len(model.prompts)

    def reply(prompt: str) -> str:
        assert "all of them casual" in prompt
        asked = re.findall(r"^USER: (.*)$", prompt.partition("Reword")[2], re.MULTILINE)[:-1]
        return "\n\n".join(f"USER: {text}\n1. yo {text}" for text in asked)

    with ChatServer(reply).running() as small:
        outputs, _ = await bench.prepare(
            num_rephrases=1, rephraser="llm", rephrase_model="small", rephrase_address=small.url, speech="casual"
        )
    facts = outputs.summary["rephrasing"]
    assert (facts["passing"], facts["failed"]) == (21, 0)
    assert len(small.prompts) == 13
    assert len(model.prompts) - checked == len(set(model.prompts[checked:])) > 0
    assert facts["llm_calls"] == 13 + 21
    assert 0 < facts["distinct_1"] < facts["distinct_2"] <= 1
    assert 0 < facts["mean_distance"] < 1


async def test_a_budget_stops_the_run_and_the_next_goes_on_where_it_stopped(bench, model, tmp_path, monkeypatch):
    await bench.review("llm")
    asked = len(model.prompts)
    own = tmp_path / "prices.yml"
    own.write_text("as_of: 2026-11-01\nmodels: {big: {input: 10, output: 10}}\n")
    monkeypatch.setenv("CALMTUNE_PRICES", str(own))
    with pytest.raises(BudgetReached, match=r"the budget of \$0\.10 is reached") as stopped:
        await bench.prepare(num_rephrases=3, budget_usd=0.10)
    assert stopped.value.exit_code == 6
    spent = [event.usd for event in bench.events if isinstance(event, Cost)]
    assert 0.05 < spent[-1] <= 0.10
    paid = len(model.prompts) - asked
    outputs, _ = await bench.prepare(num_rephrases=3, budget_usd=100.0)
    assert 0 < paid < len(model.prompts) - asked
    assert len(model.prompts) - asked == len(set(model.prompts[asked:])) <= outputs.summary["rephrasing"]["llm_calls"]


async def test_no_budget_without_a_price(bench, model):
    await bench.review("llm")
    with pytest.raises(UsageError, match=r"the price of unheard-of is not known, so no budget can be kept"):
        await bench.prepare(rephraser="llm", rephrase_model="openai/unheard-of", budget_usd=1.0)


async def test_batches_give_the_same_as_single_calls(bench, model, monkeypatch):
    monkeypatch.setattr("core.llm.batch.POLL_SECONDS", 0.0)
    await bench.review("llm")
    single, folder = await bench.prepare("single", num_rephrases=3)
    (bench.folder / "completions.sqlite").unlink()
    config = bench.shared.assistant / "config.yml"
    with BatchServer(model.reply).running() as server:
        config.write_text(config.read_text().replace(model.url, server.url))
        batched, other = await bench.prepare("batched", num_rephrases=3, batch=True)
        assert all("Reword" in prompt for prompt in server.single)
        assert len(server.batches) == 1
    assert batched.summary == single.summary
    for file in ("2_rephrasings/e2e_tests/parcels.yml", "3_llm_finetune_data/llm_ft_data.jsonl"):
        assert (folder / file).read_bytes() == (other / file).read_bytes()


async def test_the_spending_is_estimated_before(bench, model):
    await bench.review("llm")
    said = STEP.estimate(bench.context("dataset", DatasetAnswers(num_rephrases=3)))
    assert re.match(
        r"76 calls, about [\d,]+ tokens in and [\d,]+ out; the price of this model is not known.*; about 1 min", said
    )
    assert STEP.estimate(bench.context("dataset", DatasetAnswers(num_rephrases=0))) == ""


async def test_a_reply_that_is_cut_off_loses_its_last_line_only(bench, model, monkeypatch):
    """What the model was still writing when its tokens ran out is half a sentence."""
    await bench.review("llm")
    monkeypatch.setattr("core.dataset.rephrase.answer_tokens", lambda messages, count: 5)
    outputs, folder = await bench.prepare(num_rephrases=3)
    second = yaml.safe_load((folder / "2_rephrasings" / "e2e_tests" / "parcels.yml").read_text())["conversations"][1]
    assert [len(step["failed_rephrasings"]) for step in second["steps"] if "failed_rephrasings" in step] == [2, 1]
    assert outputs.passed


async def test_a_rephraser_without_use_is_noticed(bench, tmp_path):
    await bench.review()
    (tmp_path / "own.yml").write_text("paraphrases:\n- user: 1 kg\n  variants: [heavy]\n")
    await bench.prepare(rephraser=str(tmp_path / "own.yml"))
    assert "no other wording can be used: 1 were given, 1 rejected" in bench.notices


@pytest.mark.skipif(not (SHARED / "hybrid-banking").is_dir(), reason="no real assistants beside the checkout")
async def test_a_real_assistant_is_spread_over_both_sides(tmp_path):
    bench = Bench(tmp_path, SHARED / "hybrid-banking")
    await bench.review()
    outputs, _ = await bench.prepare(num_rephrases=0)
    assert outputs.passed
    facts = outputs.summary["split"]
    assert set(facts["flows"]["validation"]) == set(facts["flows"]["train"])
    assert facts["train_fraction"] == pytest.approx(0.8, abs=0.02)


async def test_without_a_model_none_can_rephrase(bench):
    await bench.review()
    with pytest.raises(UsageError, match="no language model is configured"):
        await bench.prepare(rephraser="llm")
    outputs, _ = await bench.prepare()
    assert outputs.summary["rephrasing"]["source"] == "none"


async def test_a_wrong_rephraser_is_explained(bench, tmp_path):
    await bench.review()
    with pytest.raises(UsageError, match=r"dataset\.rephraser: there is no file own\.yml"):
        await bench.prepare(rephraser="own.yml")
    (tmp_path / "own.yml").write_text("paraphrases:\n- user: x\n")
    with pytest.raises(ProblemsError, match=r"own\.yml:2: `variants` must list"):
        await bench.prepare(rephraser=str(tmp_path / "own.yml"))


async def test_what_a_model_cannot_learn_is_said(bench):
    tests = bench.shared.assistant / "e2e_tests" / "parcels.yml"
    kept = yaml.safe_load(tests.read_text())
    kept["test_cases"] = [case for case in kept["test_cases"] if "hours" not in case["test_case"]]
    tests.write_text(yaml.safe_dump(kept))
    await bench.review()
    await bench.prepare(num_rephrases=0)
    assert any("no row in train starts opening_hours" in notice for notice in bench.notices)


async def test_hard_cases_and_other_values_are_made_of_the_tests(bench, tmp_path):
    await bench.review()
    plain, _ = await bench.prepare("plain")
    outputs, folder = await bench.prepare(hard_cases=2, other_values=1)
    assert outputs.passed
    made = outputs.summary["command_annotation"]["derived"]
    assert made["other values"] >= 8
    assert made["cancelled"] == made["corrected"] == made["off topic"] == 2
    assert outputs.summary["llm_data"]["data_points"] > plain.summary["llm_data"]["data_points"] + 10
    assert {"cancel flow", "chitchat"} <= outputs.summary["split"]["command_types"]["train"].keys()
    assert set(read_recording(folder / "annotations.yaml").turns) == set(
        read_recording(bench.folder / "runs" / "plain" / "annotations.yaml").turns
    )


async def test_what_is_thin_is_said_with_what_to_write(bench):
    await bench.review()
    outputs, _ = await bench.prepare()
    assert "slot reason" not in outputs.summary["split"]["thin"]
    assert not any("few tests hold" in text for text in bench.notices)
    (bench.shared.assistant / "e2e_tests" / "parcels.yml").write_text(
        "test_cases:\n- test_case: hours\n  steps:\n  - user: are you open on Friday\n  - utter: utter_hours\n"
    )
    await bench.review()
    outputs, _ = await bench.prepare("thin")
    assert outputs.summary["split"]["thin"]["flow opening_hours"] == 1
    assert (
        "few tests hold the flow opening_hours (1); write tests that begin them in other ways and at other points of a "
        "conversation" in bench.notices
    )


async def test_without_a_passing_test_there_is_nothing_to_learn(bench):
    (bench.shared.assistant / "e2e_tests" / "parcels.yml").write_text(
        "test_cases:\n- test_case: wrong\n  steps:\n  - user: opening hours Friday\n  - utter: utter_booked\n"
    )
    await bench.review()
    with pytest.raises(StepFailed, match="no passing test"):
        await bench.prepare()


async def test_a_review_whose_model_could_not_be_asked_is_no_review(bench, model):
    model.fail_with([Fault(401)] * 100)
    with pytest.raises(ProviderError, match=r"no test could be run: .* HTTP 401"):
        await bench.review("llm")
    model.fail_with([Fault(401)])
    await bench.review("llm")
    assert "1 of 14 tests count as failed because the model could not be asked: run the review again" in bench.notices
