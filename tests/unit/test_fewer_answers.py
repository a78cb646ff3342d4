"""Answers to questions are many and easy; the owner may keep fewer wordings of them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from core.dataset.annotate import annotate
from core.dataset.infer import infer
from core.dataset.prepare import with_fewer_answers
from core.e2e.recording import RecordedCommands
from core.e2e.runner import engine_for, run_test
from core.evaluation.review import workbench

PARCELS = Path(__file__).resolve().parents[1] / "assistants" / "parcels"


async def test_only_plain_answers_lose_wordings():
    bench = workbench(PARCELS, None)
    (case,) = [case for case in bench.suite.cases if case.name == "a corrected street"]
    engine = engine_for(bench.engine, case, None, False)
    result = await run_test(engine, case, RecordedCommands(case, infer(engine, case).turns))
    conversation = annotate(result, bench.engine, bench.renderer(), "v2")
    wordings = ("one", "two", "three")
    conversation = replace(conversation, turns=tuple(replace(turn, passing=wordings) for turn in conversation.turns))
    (fewer,) = with_fewer_answers([conversation], 1)
    assert [turn.user for turn in fewer.turns] == [
        "I would like to send a parcel",
        "Elm Road 6",
        "sorry, I meant Elm Road 8",
    ]
    assert [turn.passing for turn in fewer.turns] == [wordings, ("one",), wordings]
