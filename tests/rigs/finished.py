"""Finished steps without their work: a real session, summaries and files of the shape the real steps leave."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from core.wizard.session import Session
from core.wizard.step import Gate, Outputs

COVERAGE = {
    "passed": [{"test": "tests/a.yml::book"}, {"test": "tests/a.yml::cancel"}],
    "failed": [{"test": "tests/a.yml::late", "reason": "line 12: the bot is silent"}],
    "undecided": [],
    "flows": [
        {
            "flow": "book",
            "file": "data/flows.yml",
            "coverage": 0.8,
            "steps": 5,
            "missing": 1,
            "span": [1, 20],
            "lines": [[7, 9]],
        }
    ],
    "total": 0.8,
    "commands": {"start flow": 4, "set slot": 9},
    "commands_from": "/somewhere/commands.yml",
    "gates": [],
}
DATASET = {
    "command_annotation": {
        "input_tests": 3,
        "passing": 2,
        "annotated_user_steps": 11,
        "skipped_steps": 0,
        "derived": {"corrections": 3},
    },
    "rephrasing": {
        "source": "llm",
        "checked_by": "language model, names",
        "candidates": 40,
        "passing": 31,
        "failed": 9,
        "llm_calls": 51,
        "distinct_1": 0.4,
        "distinct_2": 0.8,
        "mean_distance": 0.7,
        "rejected_share": {"changes the meaning": 0.2, "repeats another": 0.025},
    },
    "llm_data": {"data_points": 44, "shared_beginning": 0.91},
    "split": {
        "train_tests": 1,
        "val_tests": 1,
        "train_points": 36,
        "val_points": 8,
        "train_fraction": 0.8,
        "thin": {"flow book": 2},
        "left_out_points": 0,
        "val_messages_known_from_train": 0.125,
        "command_types": {"train": {"set slot": 20}, "validation": {"start flow": 2}},
        "golden_tests": 1,
        "leakage": {
            "nearest": 0.29,
            "median": 0.7,
            "pairs": [{"held_out": "a::book it", "train": "a::book that", "distance": 0.29}],
        },
    },
    "golden_test_ids": ["tests/a.yml::late"],
    "dialect": "v2",
    "history_turns": 0,
    "train_test_ids": ["tests/a.yml::book"],
    "val_test_ids": ["tests/a.yml::cancel"],
}
SETTINGS = {"learning_rate": 0.0005, "lora_rank": 16, "rows_per_step": 12, "epochs": 3.0, "warmup": None}
TRAINING = {
    "base_model": "tiny/model",
    "rows": 36,
    "steps": 9,
    "train_loss": 0.2,
    "validation_loss": 0.3,
    "best_validation": [6, 0.28],
    "unique_token_ratio": 5.5,
    "settings": SETTINGS,
    "diagnosis": "converged: settled",
    "answers": {},
    "command_scores": {
        "rows": 8,
        "exact": 7,
        "exact_rate": 0.875,
        "invalid": 0,
        "invalid_rate": 0.0,
        "slot_value_f1": 0.9,
        "micro": {"precision": 0.96, "recall": 0.94, "f1": 0.95, "support": 9},
        "labels": {
            "clarify": {"precision": 0.5, "recall": 1.0, "f1": 0.667, "support": 1},
            "set slot": {"precision": 1, "recall": 1, "f1": 1, "support": 6},
        },
    },
}
METRICS = [{"step": step, "loss": 2.0 / step} for step in range(1, 10)] + [
    {"step": step, "eval_loss": 1.0 / step} for step in (3, 6, 9)
]


def manifest(kind: str = "merged", **more: Any) -> dict[str, Any]:
    """The manifest of a training that left an artifact of this kind."""
    return {
        "artifact": kind,
        "folders": ["model", "adapter"] if kind == "merged" else ["adapter"],
        "files": {},
        "base": {"name": "tiny/model", "files": {"config.json": "cd" * 32}},
        "rows": {"train": {"count": 36, "sha256": "12" * 32}, "val": {"count": 8, "sha256": "34" * 32}},
        "steps": 9,
        "chosen": {"step": 6, "exact_match": 0.875, "loss": 0.28, "why": "it is best"},
        "settings": SETTINGS,
        "dtype": "float32",
        "reload_difference": 2e-6,
        "unique_token_ratio": 5.5,
        **more,
    }


MANIFEST = manifest(files={"model.safetensors": "ab" * 32})
PLAIN_EVALUATION = {
    "answers": {},
    "validation": {
        "tests": 4,
        "passed": 3,
        "turns": 20,
        "turns_exactly_as_expected": 18,
        "median_seconds_per_turn": 0.4,
        "failed": ["cancel"],
    },
    "training": {
        "tests": 10,
        "passed": 10,
        "turns": 50,
        "turns_exactly_as_expected": 50,
        "median_seconds_per_turn": 0.4,
        "failed": [],
    },
}
WRONG = {
    "test": "tests/a.yml::cancel",
    "turn": 2,
    "user": "leave it",
    "expected": "cancel flow",
    "predicted": "clarify",
}
FULL_EVALUATION = {
    "answers": {},
    "validation": {
        "tests": 4,
        "passed": 3,
        "rate": 0.75,
        "interval": [0.3, 0.95],
        "minimum": 0.8,
        "verdict": "inconclusive",
        "more_tests": 31,
        "repeats": 3,
        "pass_hat": {"1": 0.75, "2": 0.6, "3": 0.5},
        "flaky": ["tests/a.yml::cancel"],
        "without_flaky_on_strong": {"tests": 3, "passed": 3},
        "turns": 20,
        "turns_exactly_as_expected": 18,
        "invalid_turns": 1,
        "latency": {"p50": 0.2, "p90": 0.4, "p99": 0.9},
        "tokens": {"prompt": 1500.4, "completion": 9.2},
        "usd_per_1000_turns": 0.05,
        "failed": ["cancel"],
        "failures": {
            "causes": {"another flow": 1},
            "flows": {"book": 1},
            "commands": {"cancel flow": 1},
            "next_step": "write tests that cancel",
            "cases": [
                {
                    **WRONG,
                    "line": 14,
                    "cause": "another flow",
                    "flow": "book",
                    "command": "cancel flow",
                    "conversation": ["user: leave it"],
                }
            ],
        },
    },
    "golden": {"tests": 1, "passed": 1, "turns": 3, "turns_exactly_as_expected": 3, "failed": []},
    "comparison": {
        "model": "gpt-4o",
        "both": 3,
        "only_tuned": 0,
        "only_strong": 1,
        "neither": 0,
        "tests": 4,
        "p_value": 1.0,
        "difference": -0.25,
        "interval": [-0.6, 0.2],
        "margin": 0.05,
        "verdict": "inconclusive",
        "sentence": "not decided",
        "flaky": ["tests/a.yml::cancel"],
    },
    "strong": {
        "model": "gpt-4o",
        "tests": 4,
        "passed": 4,
        "latency": {"p50": 0.9},
        "tokens": {"prompt": 1600},
        "usd_per_1000_turns": 4.5,
    },
    "grammar": {
        "without": {"invalid_turns": 3, "passed": 2, "tests": 4},
        "with": {"invalid_turns": 0, "passed": 3, "tests": 4},
    },
}
DEPLOYMENT = {
    "endpoint": "http://127.0.0.1:4000/v1",
    "machine": "local",
    "model": "calmtune",
    "engine": "vllm",
    "job": "x",
    "needs_key": True,
}
CONNECTION = {
    "endpoint": "http://127.0.0.1:4000/v1",
    "changed": [],
    "backups": [],
    "test_passed": True,
    "conversation": ["user: hello", "bot: hi"],
}
TRAINED = {"model": "model", "manifest": "manifest.json", "metrics": "metrics.jsonl"}
TRAINED_FILES = {"metrics.jsonl": METRICS, "manifest.json": MANIFEST}


def finish(
    session: Session,
    id: str,
    summary: Mapping[str, Any],
    gates: tuple[Gate, ...] = (),
    names: Mapping[str, str] | None = None,
    files: Mapping[str, Any] | None = None,
) -> None:
    """Finish a step of a session with this summary; `files` are written as JSON, lists of objects as lines."""
    status = session.status(id)
    folder = session.begin(status)
    for name, content in (files or {}).items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        lines = [json.dumps(line) for line in content] if isinstance(content, list) else [json.dumps(content)]
        (folder / name).write_text("\n".join(lines) + "\n", encoding="utf-8")
    session.finish(status, Outputs(summary, names or {}, gates))


def finish_all(session: Session) -> None:
    """All seven steps, the evaluation with everything it can tell."""
    finish(session, "coverage", COVERAGE, (Gate("total coverage", "≥ 80.0 %", "80.0 %", True),))
    finish(session, "dataset", DATASET, (Gate("no leakage", "none", "none", True),))
    finish(session, "training", TRAINING, (Gate("curve healthy", "healthy", "converged", True),), TRAINED, TRAINED_FILES)
    finish(session, "evaluation", FULL_EVALUATION, (Gate("validation tests", "≥ 70.0 %", "75.0 %", True),))
    finish(session, "production", PLAIN_EVALUATION, (), TRAINED, TRAINED_FILES)
    finish(session, "deployment", DEPLOYMENT)
    finish(session, "connection", CONNECTION)
