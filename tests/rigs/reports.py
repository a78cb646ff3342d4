"""Reports to look at: one of a whole session as sessions leave them, and one whose every text is hostile."""

from __future__ import annotations

import math
import random
from dataclasses import fields, is_dataclass, replace
from typing import Any

from core.evaluation.report_content import (
    Case,
    CommandScore,
    CommandScores,
    Comparison,
    Coverage,
    Dataset,
    Deployment,
    Evaluation,
    Failures,
    FlowCoverage,
    GateLine,
    Grammar,
    Leakage,
    LossCurve,
    NotPassed,
    PassRate,
    Report,
    Reproducibility,
    Side,
    Speed,
    Spent,
    StepLine,
    Training,
    Verdict,
)

HOSTILE = (
    "<script>document.title='owned'</script>",
    '"><img src=x onerror=alert(1)>',
    "'; --> </style></pre></textarea> {{ 7*7 }} {% raw %}",
    "a | b\n| c\r\n# no heading\n- no list ```` `x` ~~~",
    "w" * 400,
    "https://calmtune.example/" + "path/" * 60,
    "\u202eright to left\u202c مرحبا بالعالم שלום עולם",
    "👩🏽‍🚀🏳️‍🌈 emoji ‍ and z̸̢̛͓̈́a̵l̶g̷o̸",
    "&amp; &lt;b&gt; &#x3c; \\ * _ [x](javascript:alert(1)) <b>",
    "",
)
_PAIRS = ("83 % alike: e2e_tests/orders.yml::two lamps and e2e_tests/orders.yml::one lamp",)


def whole() -> Report:
    """A finished session with everything a report can hold."""
    return Report(
        "the-last-lamp",
        "demo",
        "2025-07-14T10:32+02:00",
        "0.1.0",
        Verdict("ready", "Ready to deploy: every gate passed, 1 of them without certainty."),
        (
            StepLine("coverage", "Coverage review", "fresh", "", 14.2),
            StepLine("dataset", "Data preparation", "fresh", "", 312),
            StepLine("training", "Fine-tuning", "fresh", "", 492),
            StepLine("evaluation", "Evaluation", "fresh", "", 188),
            StepLine("production", "Production model", "fresh", "", 671),
            StepLine("deployment", "Deployment", "stale", "job demo-server-3f2a ended; it can be started again", 12),
            StepLine("connection", "Connection", "blocked", "deployment is stale"),
        ),
        _reproducibility(),
        _gates(),
        (_evaluation(), _production()),
        _training(),
        _coverage(),
        _dataset(),
        Deployment(
            {"Endpoint": "http://127.0.0.1:41873/v1", "Machine": "local", "Model server": "transformers", "Model": "calmtune"},
            ("test: e2e_tests/orders.yml::order a lamp", "user: I'd like the brass lamp", "bot: How many of them?", "user: two"),
        ),
        (
            Spent("Coverage review", 14.2, None),
            Spent("Data preparation", 312, 0.4182),
            Spent("Fine-tuning", 492, None),
            Spent("Evaluation", 188, 0.0731),
        ),
        ("What the connection left could not be read: KeyError: 'conversation'.",),
    )  # fmt: skip


def _gates() -> tuple[GateLine, ...]:
    return (
        GateLine("Coverage review", "total coverage", "≥ 90.0 %", "94.7 %", True, "pass"),
        GateLine("Coverage review", "coverage of every flow", "≥ 80.0 %", "all", True, "pass"),
        GateLine(
            "Coverage review",
            "every command represented",
            "start flow, set slot, cancel flow, clarify at least once",
            "all",
            True,
            "pass",
        ),
        GateLine("Data preparation", "every command, flow and slot in train", "all that the tests hold", "all 31", True, "pass"),
        GateLine("Data preparation", "no leakage", "no test and no row on both sides", "0 tests, 0 rows", True, "pass"),
        GateLine(
            "Fine-tuning",
            "curve healthy",
            "neither broken, diverged nor overfitted",
            "converged: validation loss settled at 0.041, best 0.039 at step 240",
            True,
            "pass",
        ),
        GateLine(
            "Evaluation",
            "validation tests",
            "≥ 80.0 %",
            "85.7 % (18 of 21)",
            True,
            "inconclusive",
            "the interval, 65 to 95 %, holds 80 %; about 60 more tests would settle it",
        ),
        GateLine("Evaluation", "training tests", "≥ 95.0 %", "98.0 % (49 of 50)", True, "pass"),
        GateLine("Production model", "golden tests", "≥ 80.0 %", "91.7 % (11 of 12)", True, "pass"),
    )  # fmt: skip


def _evaluation() -> Evaluation:
    validation = PassRate(
        "validation", 21, 18, 0.857, (0.654, 0.95), 0.8, "inconclusive", 60, 3, {"1": 0.857, "2": 0.81, "3": 0.79},
        ("e2e_tests/returns.yml::change of mind",), 94, 88, 1,
    )  # fmt: skip
    training = PassRate(
        "training", 50, 49, 0.98, (0.895, 0.996), 0.95, "pass", turns=231, exact_turns=228, invalid_turns=0
    )
    golden = PassRate("golden", 12, 11, 0.917, (0.646, 0.985), 0.8, "pass", turns=57, exact_turns=49, invalid_turns=2)
    cases = tuple(
        Case(
            f"e2e_tests/{file}.yml::{name}", turn, line, user, expected, predicted, cause, flow, command,
            "the bot says 'Which address?' and was to say 'It is on its way'",
            ("user: hello", "bot: Hello! What can I do for you?", f"user: {user}"),
        )
        for file, name, turn, line, user, expected, predicted, cause, flow, command in (
            ("orders", "order two lamps", 2, 41, "make it two, and send them to my office",
             "set slot amount 2\nset slot address office", "set slot amount 2", "a value was missed", "order_lamp", "set slot"),
            ("returns", "change of mind", 3, 88, "actually, forget the return", "cancel flow", "start flow order_status",
             "another flow was begun", "return_lamp", "cancel flow"),
            ("orders", "address first", 1, 12, "to Elm Street 4, please: one brass lamp",
             "start flow order_lamp\nset slot address Elm Street 4", "start flow order_lamp",
             "a value was missed", "order_lamp", "set slot"),
        )
    )  # fmt: skip
    return Evaluation(
        "Evaluation",
        "",
        (validation, training, golden),
        (
            Failures(
                "validation",
                {"a value was missed": 2, "another flow was begun": 1},
                {"order_lamp": 2, "return_lamp": 1},
                {"set slot": 2, "cancel flow": 1},
                "write tests that give the address in the first message: two of three failures are missed addresses",
                cases,
                ("order two lamps", "change of mind", "address first"),
            ),
        ),
        Comparison(
            "gpt-4o-2024-11-20", 16, 2, 1, 2, 21, 0.0476, (-0.071, 0.166), 0.1, 1.0, "pass",
            "The tuned model is not worse than gpt-4o-2024-11-20 by more than 10 points.", ("e2e_tests/returns.yml::change of mind",),
            (17, 20),
        ),
        Speed("tuned model", 0.212, 0.304, 0.551, 1843, 11.2, 0.0413, 21, 18),
        Speed("gpt-4o-2024-11-20", 0.873, 1.42, 2.96, 1911, 12.8, 4.92, 21, 17),
        (Grammar(False, 5, 17, 21), Grammar(True, 0, 18, 21)),
    )  # fmt: skip


def _production() -> Evaluation:
    return Evaluation(
        "Production model",
        "The final model was trained on validation tests too: their numbers show that nothing broke, not how it does on new ones.",
        (
            PassRate("validation", 21, 21, 1.0, (0.845, 1.0), 0.8, "pass", turns=94, exact_turns=94),
            PassRate("training", 50, 50, 1.0, (0.929, 1.0), 0.95, "pass", turns=231, exact_turns=230),
        ),
        tuned=Speed("tuned model", 0.209),
    )


def _training() -> Training:
    chance = random.Random(7)
    train = tuple(
        (step, 1.9 * math.exp(-step / 45) + 0.02 + chance.random() * (0.05 + 0.4 * math.exp(-step / 60)))
        for step in range(1, 301)
    )
    smooth = tuple((step, 1.9 * math.exp(-step / 45) + 0.05 + 0.2 * math.exp(-step / 60)) for step in range(1, 301))
    validation = tuple(
        (step, 1.7 * math.exp(-step / 50) + 0.039 + max(0, step - 240) * 0.0001) for step in range(20, 301, 20)
    )
    curve = LossCurve(
        "Loss", train, smooth, validation, min(validation, key=lambda point: point[1]),
        "converged: validation loss settled at 0.041, best 0.039 at step 240",
    )  # fmt: skip
    scores = CommandScores(
        94, 0.936, 0.011, 0.941, 0.957,
        (
            CommandScore("start flow", 0.97, 0.98, 0.975, 41),
            CommandScore("set slot", 0.95, 0.93, 0.94, 58),
            CommandScore("cancel flow", 1.0, 0.8, 0.889, 5),
            CommandScore("clarify", 0.75, 1.0, 0.857, 3),
        ),
    )  # fmt: skip
    facts = {
        "Base model": "HuggingFaceTB/SmolLM2-135M-Instruct",
        "Rows": "1,204 in 300 steps",
        "Shared prefixes": "each prompt token computed once instead of 6.4 times",
    }
    return Training(facts, (curve,), scores)


def _coverage() -> Coverage:
    flows = (
        FlowCoverage("order_lamp", "data/flows.yml", 1.0, 12, 0, ()),
        FlowCoverage("return_lamp", "data/flows.yml", 0.833, 12, 2, ((57, 61),)),
        FlowCoverage("order_status", "data/more/status.yml", 0.444, 9, 5, ((7, 7), (11, 14), (20, 31))),
    )
    commands = {"set slot": 212, "start flow": 97, "cancel flow": 14, "clarify": 9, "human handoff": 3}
    undecided = (NotPassed("e2e_tests/talk.yml::small talk", "line 14: chitchat or skip question: both make it pass"),)
    failed = (NotPassed("e2e_tests/orders.yml::no stock", "line 31: the bot says 'Sorry' and was to say 'None left'"),)
    return Coverage(0.947, 71, failed, undecided, flows, commands, "gpt-4o-2024-11-20")


def _dataset() -> Dataset:
    return Dataset(
        73, 71, 325, {"other values": 40, "corrections": 12}, "llm", "language model, names", 2912, 2204, 708,
        {"changes the meaning": 0.171, "loses a value": 0.052, "repeats another": 0.02}, 1438,
        (Side("train", 50, 1204), Side("validation", 21, 234), Side("golden", 12, None)), 0,
        {"flow order_status": 1, "command clarify": 2}, Leakage(0.17, 0.59, _PAIRS), Leakage(0.4, 0.7), 0.064, 0.93,
        {"set slot": (702, 131), "start flow": (431, 88), "cancel flow": (71, 15)},
    )  # fmt: skip


def _reproducibility() -> Reproducibility:
    sums = {name: f"{number:064x}" for number, name in enumerate(("coverage", "dataset", "training"), 11**40)}
    return Reproducibility(
        {"calmtune": "0.1.0", "Python": "3.12.4", "Seed": "42", "Session": "demo"},
        {"torch": "2.13.0", "transformers": "5.16.1", "trl": "1.10.0", "peft": "0.19.1"},
        {"learning_rate": "0.0005", "lora_rank": "16", "rows_per_step": "16", "epochs": "4.0"},
        sums,
        {"model.safetensors": f"{7**80:064x}"[:64], "config.json": f"{5**70:064x}"[:64]},
        "assistant: /srv/assistants/the-last-lamp\ncommands: llm\ntraining:\n  epochs: 4\n",
    )


def nothing_done() -> Report:
    """A session that has just begun."""
    blocked = (
        ("coverage", "ready", ""),
        ("dataset", "blocked", "waits for coverage"),
        ("training", "blocked", "waits for coverage"),
    )
    return replace(
        whole(),
        verdict=Verdict("unfinished", "Unfinished: no step is done; next is Coverage review."),
        steps=tuple(StepLine(id, id.title(), state, reason) for id, state, reason in blocked),
        gates=(), evaluations=(), training=None, coverage=None, dataset=None, deployment=None, spent=(), left_out=(),
    )  # fmt: skip


def hostile(text: str) -> Report:
    """The whole report with a hostile text wherever a text can stand; what is one of few words stays."""
    kept = {"id", "date", "state", "verdict"}

    def changed(value: Any, name: str) -> Any:
        if is_dataclass(value) and not isinstance(value, type):
            return replace(value, **{it.name: changed(getattr(value, it.name), it.name) for it in fields(value)})
        if isinstance(value, str):
            return value if name in kept else text
        if isinstance(value, tuple):
            return tuple(changed(one, name) for one in value)
        if isinstance(value, dict):
            return {f"{text} {key}": changed(one, name) for key, one in value.items()}
        return value

    found: Report = changed(whole(), "")
    return found
