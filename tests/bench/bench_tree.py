"""Shared-prefix training against TRL's plain, padding-free and packed rows: `python tests/bench/bench_tree.py [--plot gain.png]`.

Same model, adapter, rows, order and labels; each way runs in a process of its own, one after the other. First the demo's own rows, then
made-up rows with ever longer shared prompts, then ever more rows a step. Printed for each way: seconds a step (median), tokens a second
counted as plain rows count them, peak memory, and how far first loss, first gradient and final weights are from those of plain rows.
TRL gets as many rows a forward pass as it is quick with; packing cuts steps elsewhere, so its loss is not compared.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
PLACES = [str(ROOT), str(ROOT / "core" / "training")]
"""The project, and the training program's modules, which stand alone."""
sys.path[:0] = PLACES

WAYS = ("plain", "padding-free", "packing", "tree")
OWN = 30
"""Tokens of a made-up row that are its own, a third of them to be learnt."""
TOKENS_AT_ONCE = 8192
"""Tokens of a forward pass of TRL's ways; more were no quicker."""


@dataclass(frozen=True)
class Found:
    """What one way did on one set of rows."""

    seconds: float
    loss: float
    peak_mb: float


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--prompts", type=int, nargs="*", default=[350, 1000, 3000], help="tokens all rows share")
    parser.add_argument("--rows", type=int, nargs="*", default=[4, 32], help="rows a step beside 16, at 1,000 tokens")
    parser.add_argument("--layers", type=int, default=6, help="of the demo's model")
    parser.add_argument("--steps", type=int, default=3, help="on made-up rows")
    parser.add_argument("--demo-steps", type=int, default=10, help="on the demo's rows; 0 leaves them out")
    parser.add_argument("--plot", type=Path, help="picture of the gain")
    options = parser.parse_args()
    model = demo_model()
    print(f"{options.layers} layers of {model.name}, float32, LoRA rank 16 on all linear layers")
    if options.demo_steps:
        title = f"the demo's rows, 12 a step, {options.demo_steps} steps"
        compare(title, demo_rows(model), model, options.layers, 12, options.demo_steps)
    by_prompt = {
        prompt: compare(
            f"{prompt:,} shared tokens of {prompt + OWN:,}, 16 rows a step",
            made_up_rows(prompt, 16 * options.steps), model, options.layers, 16, options.steps,
        )
        for prompt in options.prompts
    }  # fmt: skip
    by_rows = {
        rows: compare(
            f"1,000 shared tokens of {1000 + OWN:,}, {rows} rows a step",
            made_up_rows(1000, rows * options.steps), model, options.layers, rows, options.steps,
        )
        for rows in options.rows
    }  # fmt: skip
    if 1000 in by_prompt:
        by_rows[16] = by_prompt[1000]
    if options.plot:
        plot(by_prompt, dict(sorted(by_rows.items())), options.plot)


def compare(
    title: str, rows: list[dict[str, Any]], model: Path, layers: int, rows_a_step: int, steps: int
) -> dict[str, float]:
    """Measure all ways and print a table; how many times as fast as each of TRL's the tree is."""
    found: dict[str, Found] = {}
    print(f"\n{title}")
    print(
        f"{'':14}{'s/step':>9}{'tokens/s':>10}{'times plain':>13}{'peak MB':>9}{'loss':>10}{'gradient':>10}{'weights':>10}"
    )
    tokens = sum(len(row["input_ids"]) for row in rows[: rows_a_step * steps]) / steps
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        (folder / "rows.json").write_text(json.dumps(rows[: rows_a_step * steps]), encoding="utf-8")
        for way in WAYS:
            told = {
                "way": way, "folder": scratch, "rows": str(folder / "rows.json"), "model": str(model), "layers": layers,
                "rows_a_step": rows_a_step, "steps": steps, "tokens_at_once": TOKENS_AT_ONCE,
            }  # fmt: skip
            result = run(told)
            if result is None:
                continue
            found[way] = result
            same = way != "packing"
            off = [distance(folder, way, what) if same else "" for what in ("gradient", "weights")]
            loss = f"{abs(result.loss / found['plain'].loss - 1):.1e}" if same else ""
            print(
                f"{way:14}{result.seconds:>9.2f}{tokens / result.seconds:>10,.0f}"
                f"{found['plain'].seconds / result.seconds:>13.2f}{result.peak_mb:>9,.0f}{loss:>10}{off[0]:>10}{off[1]:>10}",
                flush=True,
            )
    return {way: found[way].seconds / found["tree"].seconds for way in found}


def run(told: dict[str, Any]) -> Found | None:
    """One way in a process of its own; None, with its last words printed, when it fails."""
    config = Path(told["folder"]) / "config.json"
    config.write_text(json.dumps(told), encoding="utf-8")
    child = [sys.executable, str(Path(__file__).with_name("training_way.py")), str(config)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(PLACES)}
    done = subprocess.run(child, capture_output=True, text=True, check=False, env=environment)
    if done.returncode:
        print(f"{told['way']:14}failed: {(done.stderr.strip().splitlines() or ['no word'])[-1][:120]}")
        return None
    return Found(**json.loads(done.stdout.splitlines()[-1]))


def demo_model() -> Path:
    from core.training.base_model import DEMO_MODEL, cache_folder, resolve

    return resolve(DEMO_MODEL, cache_folder())


def demo_rows(model: Path) -> list[dict[str, Any]]:
    """The rows of the demo's dataset step, in an order drawn once."""
    from rows import read_rows
    from transformers import AutoTokenizer

    from core import demo
    from core.dataset.annotate import annotate
    from core.dataset.paraphrases import read_paraphrases
    from core.dataset.points import data_points
    from core.dataset.prepare import rephrase
    from core.e2e.reader import find_tests, read_tests
    from core.e2e.recording import read_recording
    from core.e2e.runner import run_tests
    from core.evaluation.review import workbench

    folder = demo.assistant_folder()
    bench, recording = workbench(folder, None), read_recording(demo.commands_file())
    cases = list(read_tests(find_tests(folder), folder).cases)
    results = asyncio.run(run_tests(bench.engine, cases, recording.source_for))
    renderer = bench.renderer(0)
    annotated = [annotate(result, bench.engine, renderer, "v2") for result in results]
    wordings = asyncio.run(rephrase(annotated, read_paraphrases(demo.paraphrases_file()), 7, bench.engine, None))
    points = [point for conversation in wordings for point in data_points(conversation, bench.engine, renderer)]
    random.Random(0).shuffle(points)
    with tempfile.TemporaryDirectory() as scratch:
        file = Path(scratch) / "rows.jsonl"
        lines = [json.dumps({"prompt": point.prompt, "completion": point.completion}) for point in points[:120]]
        file.write_text("\n".join(lines), encoding="utf-8")
        return list(read_rows(file, AutoTokenizer.from_pretrained(model), longest=8192))


def made_up_rows(prompt: int, count: int) -> list[dict[str, Any]]:
    """Rows that share `prompt` tokens; the last third of what is their own is to be learnt."""
    chance = random.Random(0)
    shared = [chance.randrange(300, 40000) for _ in range(prompt)]
    return [
        {
            "input_ids": shared + [chance.randrange(300, 40000) for _ in range(OWN)],
            "labels_from": prompt + OWN - OWN // 3,
        }
        for _ in range(count)
    ]


def distance(folder: Path, way: str, what: str) -> str:
    """Relative distance from plain rows, over all adapter weights together."""
    import torch

    one, other = (torch.load(folder / f"{name}-{what}.pt") for name in (way, "plain"))
    apart = sum(float((one[name] - other[name]).pow(2).sum()) for name in other)
    return f"{(apart / sum(float(value.pow(2).sum()) for value in other.values())) ** 0.5:.1e}"


def plot(by_prompt: dict[int, dict[str, float]], by_rows: dict[int, dict[str, float]], into: Path) -> None:
    """How many times as fast as TRL's ways, by prompt length and by rows a step."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 4), layout="constrained")
    for axes, gains, label in zip(
        figure.subplots(1, 2, sharey=True),
        (by_prompt, by_rows),
        ("tokens that all rows share (16 rows a step)", "rows a step (1,000 shared tokens)"),
        strict=True,
    ):
        for way in WAYS[:-1]:
            known = [(at, gain[way]) for at, gain in gains.items() if way in gain]
            axes.plot(*zip(*known, strict=True), marker="o", label=f"against {way}")
        axes.set_xlabel(label)
        axes.grid(alpha=0.3)
    figure.axes[0].set_ylim(bottom=0)
    figure.axes[0].set_ylabel("times as fast")
    figure.axes[0].legend()
    figure.savefig(into, dpi=120)


if __name__ == "__main__":
    main()
