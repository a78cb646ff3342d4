"""Flow retrieval: which flows a prompt lists, and what happens where no embedding model can be had."""

from __future__ import annotations

import asyncio
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
from rigs.minilm import minilm
from rigs.words import Words

import core.dialogue.embedding as embedding
from core.assistant.settings import FlowRetrieval
from core.dialogue.commands import SetSlot, StartFlow
from core.dialogue.embedding import LocalEmbedder
from core.dialogue.engine import Engine
from core.dialogue.prompt import PromptRenderer
from core.dialogue.retrieval import OFF, FlowRetriever, difference, notices_of
from core.dialogue.source import UserMessage
from core.dialogue.tracker import Tracker
from core.errors import ProviderError, UsageError
from core.evaluation.review import workbench
from core.training.base_model import BaseModelError

FLOWS = """
flows:
  send_money: {description: transfer money to a friend, steps: [{collect: amount}, {collect: friend}]}
  block_card: {description: block a lost card, steps: [{collect: card}]}
  open_account: {description: open a new savings account, steps: [{action: utter_done}]}
  find_branch: {description: find a branch or cash machine nearby, steps: [{collect: town}]}
  see_balance: {description: show the balance, always_include_in_prompt: true, steps: [{action: utter_done}]}
  raise_limit: {description: raise the limit of a card, if: slots.premium, steps: [{action: utter_done}]}
  check_card: {description: card card card lost, if: false, steps: [{action: utter_done}]}
"""
DOMAIN = """
version: "3.1"
slots:
  amount: {type: float}
  friend: {type: text}
  card: {type: categorical, values: [debit, credit]}
  town: {type: text}
  premium: {type: bool, mappings: [{type: controlled}]}
responses:
  utter_ask_amount: [{text: How much?}]
  utter_ask_friend: [{text: To whom?}]
  utter_ask_card: [{text: Which one?}]
  utter_ask_town: [{text: In which town?}]
  utter_done: [{text: Done.}]
"""
TWO = FlowRetrieval(num_flows=2)


@pytest.fixture
def engine(make_assistant) -> Engine:
    return Engine(make_assistant(FLOWS, DOMAIN))


def retriever(engine: Engine, settings: FlowRetrieval = TWO, words: Words | None = None) -> FlowRetriever:
    return FlowRetriever(settings, words or Words(), engine.index)


def listed(prompt: str) -> list[str]:
    lines = prompt.split("Flows and their slots:\n")[1].split("\n\n")[0].splitlines()
    return [line[2:].partition(":")[0] for line in lines if line.startswith("- ")]


def renderer(engine: Engine, chooser: FlowRetriever) -> PromptRenderer:
    return PromptRenderer(engine.assistant, "v2", index=engine.index, retriever=chooser)


def test_the_nearest_flows_are_listed_in_the_order_of_the_files(engine):
    shown = renderer(engine, retriever(engine))
    tracker = engine.new_tracker()
    assert listed(shown.render(tracker, "I lost a card at a cash machine")) == [
        "block_card",
        "find_branch",
        "see_balance",
    ]
    assert listed(shown.render(tracker, "open a savings account and transfer money")) == [
        "send_money",
        "open_account",
        "see_balance",
    ]


def test_a_flow_behind_a_guard_is_listed_when_the_guard_opens_and_one_that_never_starts_is_not(engine):
    shown, tracker = renderer(engine, retriever(engine)), engine.new_tracker()
    assert listed(shown.render(tracker, "raise the limit of my card")) == ["block_card", "see_balance"]
    tracker.slots["premium"] = True
    assert listed(shown.render(tracker, "raise the limit of my card")) == ["block_card", "see_balance", "raise_limit"]


def test_all_flows_under_way_are_listed(engine):
    tracker = engine.new_tracker()
    engine.start(tracker)
    engine.handle(tracker, UserMessage("send 5"), [StartFlow("send_money"), SetSlot("amount", "5")])
    engine.handle(tracker, UserMessage("wait, a branch"), [StartFlow("find_branch")])
    prompt = renderer(engine, retriever(engine)).render(tracker, "open a savings account, block a card")
    assert listed(prompt) == ["send_money", "block_card", "open_account", "find_branch", "see_balance"]


def test_without_need_no_model_is_asked(engine):
    words = Words()
    chooser = retriever(engine, FlowRetrieval(num_flows=6), words)
    prompt = renderer(engine, chooser).render(engine.new_tracker(), "hello")
    assert prompt == PromptRenderer(engine.assistant, "v2", index=engine.index).render(engine.new_tracker(), "hello")
    assert (words.asked, chooser.embeds) == ([], False)
    assert chooser.facts["embedding_digest"] is None


def test_where_guards_leave_few_flows_these_are_listed_without_the_model(engine):
    words = Words()
    chooser = retriever(engine, FlowRetrieval(num_flows=5), words)
    assert chooser.embeds
    assert len(listed(renderer(engine, chooser).render(engine.new_tracker(), "hello"))) == 5
    assert words.asked == []


def test_flows_are_embedded_once_and_every_message_once(engine):
    words = Words()
    shown = renderer(engine, retriever(engine, words=words))
    for message in ("hello", "a card", "hello", "a card"):
        shown.render(engine.new_tracker(), message)
    assert [len(texts) for texts in words.asked] == [1, 6, 1]
    assert "check card" not in "".join(words.asked[1])


@pytest.mark.parametrize(
    ("turns", "query"),
    [(1, "and now?"), (2, "send 5\nTo whom?\nand now?"), (9, "hi there\nsend 5\nTo whom?\nand now?")],
)
def test_how_much_of_the_conversation_counts(engine, turns, query):
    tracker, words = engine.new_tracker(), Words()
    engine.start(tracker)
    engine.handle(tracker, UserMessage("hi there"), [])
    engine.handle(tracker, UserMessage("send 5"), [StartFlow("send_money"), SetSlot("amount", "5")])
    renderer(engine, retriever(engine, replace(TWO, turns_to_embed=turns), words)).render(tracker, "and now?")
    asked = words.asked[0][0].splitlines()
    assert [line for line in asked if line in query.splitlines()] == query.splitlines()
    assert ("hi there" in asked) == (turns == 9)


def test_slots_belong_to_what_a_flow_is_found_by(engine):
    assert retriever(engine).text_of("block_card") == "block card: block a lost card\ncard:  [debit, credit]"
    plain = retriever(engine, replace(TWO, should_embed_slots=False))
    assert plain.text_of("block_card") == "block card: block a lost card"


def test_an_owners_template_gets_the_same_flows(engine, tmp_path):
    path = tmp_path / "own.jinja2"
    path.write_text("{{ available_flows | map(attribute='name') | join(',') }}")
    shown = PromptRenderer(engine.assistant, "v2", path, index=engine.index, retriever=retriever(engine))
    assert shown.render(engine.new_tracker(), "I lost a card at a cash machine") == "block_card,find_branch,see_balance"


async def test_other_work_goes_on_while_a_model_works(engine):
    class Slow(Words):
        def embed(self, texts):
            time.sleep(0.1)
            return super().embed(texts)

    shown, beats = renderer(engine, retriever(engine, words=Slow())), 0

    async def beat() -> None:
        nonlocal beats
        while True:
            await asyncio.sleep(0.005)
            beats += 1

    beating = asyncio.create_task(beat())
    prompts = await asyncio.gather(*(shown.rendered(engine.new_tracker(), "a lost card") for _ in range(5)))
    beating.cancel()
    assert beats > 5
    assert len(set(prompts)) == 1


def test_what_changed_is_told_in_words(engine):
    facts = retriever(engine).facts
    assert difference(facts, facts) == difference(OFF, OFF) == ""
    assert difference(OFF, facts) == "active False → True"
    assert difference(facts, {**facts, "num_flows": 9}) == "num flows 2 → 9"
    assert difference(facts, FlowRetrieval(num_flows=2, turns_to_embed=3).facts) == "turns to embed 1 → 3"


ACTIVE = """
pipeline:
- name: CompactLLMCommandGenerator
  flow_retrieval:
    active: {active}
    num_flows: 2
"""


@pytest.mark.parametrize(
    ("config", "on", "said"),
    [
        (ACTIVE.format(active="true"), False, "config.yml:4: flow_retrieval is active there, but prompts list every flow here"),
        (ACTIVE.format(active="false"), True, "config.yml:4: flow_retrieval is off there and on here"),
        (ACTIVE.format(active="true"), True, None),
        (ACTIVE.format(active="false"), False, None),
        (None, False, None),
    ],
)  # fmt: skip
def test_where_config_says_otherwise_a_notice_explains(write_assistant, config, on, said):
    root = write_assistant(FLOWS, DOMAIN, config=config)
    (root / "e2e_tests").mkdir()
    (root / "e2e_tests" / "one.yml").write_text(
        "test_cases:\n- test_case: one\n  steps:\n  - user: hi\n  - utter: utter_done\n"
    )
    bench = workbench(root, None, embedder=Words() if on else None)
    told = notices_of(bench.assistant, on)
    assert [notice[: len(said)] for notice in told] == [said] if said else told == []
    assert bench.flow_retrieval["active"] == on


def test_many_flows_with_a_silent_config_are_noticed(make_assistant):
    flows = "flows:\n" + "".join(
        f"  f{n}: {{description: number {n}, steps: [{{action: utter_done}}]}}\n" for n in range(21)
    )
    (notice,) = notices_of(make_assistant(flows, DOMAIN), False)
    assert notice.startswith("config.yml: flow_retrieval is not switched off there")


# The model


def test_without_the_library_a_sentence_says_what_to_install(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "sentence_transformers", None)
    for name in ("some/model", str(_model_folder(tmp_path))):
        with pytest.raises(UsageError, match=r"install calmtune\[retrieval\], or answer flow_retrieval: off"):
            LocalEmbedder(name).embed(["hello"])


def test_a_model_that_is_not_there(monkeypatch, tmp_path):
    with pytest.raises(UsageError, match=r"there is no folder \./nowhere/at/all"):
        LocalEmbedder("./nowhere/at/all").embed(["hello"])
    with pytest.raises(UsageError, match="holds no sentence-transformers model"):
        LocalEmbedder(str(tmp_path)).embed(["hello"])

    def unreachable(name: str, cache: Path) -> Path:
        raise BaseModelError(f"the hub cannot be reached for {name}; download it elsewhere and give its folder")

    monkeypatch.setattr(embedding, "_library", lambda: None)
    monkeypatch.setattr(embedding, "resolve", unreachable)
    with pytest.raises(ProviderError, match="cannot be had: the hub cannot be reached for some/model; download it"):
        LocalEmbedder("some/model").embed(["hello"])


def test_the_digest_follows_the_files_that_shape_vectors(tmp_path):
    folder = _model_folder(tmp_path)
    before = LocalEmbedder(str(folder)).digest
    (folder / "README.md").write_text("read me")
    assert LocalEmbedder(str(folder)).digest == before
    (folder / "model.safetensors").write_bytes(b"other weights")
    assert LocalEmbedder(str(folder)).digest != before


@pytest.mark.slow
def test_broken_files_are_a_sentence(tmp_path):
    pytest.importorskip("sentence_transformers", reason="calmtune[retrieval] is not installed")
    with pytest.raises(UsageError, match="cannot be loaded"):
        LocalEmbedder(str(_model_folder(tmp_path))).embed(["hello"])


def _model_folder(tmp_path: Path) -> Path:
    folder = tmp_path / "model"
    folder.mkdir(exist_ok=True)
    (folder / "modules.json").write_text("[]")
    (folder / "model.safetensors").write_bytes(b"weights")
    return folder


@pytest.mark.slow
def test_the_real_model_finds_flows_by_meaning(engine, capfd):
    pytest.importorskip("sentence_transformers", reason="calmtune[retrieval] is not installed")
    model = LocalEmbedder(str(minilm()))
    chooser = FlowRetriever(FlowRetrieval(num_flows=1), model, engine.index)
    tracker: Tracker = engine.new_tracker()
    flows = [flow.id for flow in engine.assistant.business_flows if flow.guard is None and not flow.never_startable]
    for message, flow in {
        "somebody stole my wallet": "block_card",
        "I owe Anna 20 euros for the dinner": "send_money",
        "where can I withdraw some notes?": "find_branch",
        "how do I begin saving for a house?": "open_account",
    }.items():
        assert set(chooser.chosen(flows, tracker, message)) == {flow, "see_balance"}, message
    assert chooser.facts["embedding_digest"] == model.digest
    assert model.embed(["one text"]) == LocalEmbedder(model.name).embed(["one text"])
    assert capfd.readouterr() == ("", "")
