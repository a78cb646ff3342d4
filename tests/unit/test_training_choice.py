"""Which step's weights are taken, and what they write: exact match against real decoding, the best weights through stops and kills."""

from __future__ import annotations

import ast
import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from core.training.bundle import training_program
from tests import tiny_model
from tests.unit.test_training import events, start, train

STARTED = "Flows: book, cancel, ask. Commands: start flow, set slot.\n"


@pytest.fixture(scope="module")
def eager(tmp_path_factory):
    """A tiny model that an adapter can make sure of its words."""
    return tiny_model.make(tmp_path_factory.mktemp("eager") / "model", spread=0.5)


def row(number):
    digit = number % 5
    return {
        "prompt": f"{STARTED}USER: {'well ' * (number % 3)}{digit} please\n",
        "completion": f"set {digit}" + "\nstart flow" * (digit % 2),
    }


def validations(folder: Path):
    """Values of each validation by step."""
    found = [event for event in events(folder) if event["type"] == "metric" and "eval_loss" in event["values"]]
    return {event["step"]: event["values"] for event in found}


def chosen(folder: Path):
    return json.loads((folder / "manifest.json").read_text())["chosen"]


def predictions(folder: Path):
    return [json.loads(line) for line in (folder / "predictions.jsonl").read_text().splitlines()]


def adapter(folder: Path):
    from safetensors.torch import load_file

    return load_file(folder / "adapter" / "adapter_model.safetensors")


def decode(folder: Path, data):
    """What the merged model writes, one row after the other, and whether each label is the likeliest behind the reference."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder / "model")
    model = AutoModelForCausalLM.from_pretrained(folder / "model", dtype="auto").eval()
    written, right = [], []
    for row in data:
        prompt = tokenizer.apply_chat_template(
            [{"role": "user", "content": row["prompt"]}], add_generation_prompt=True, return_tensors="pt", return_dict=False
        )  # fmt: skip
        labels = torch.tensor([[*tokenizer(row["completion"])["input_ids"], tokenizer.eos_token_id]])
        with torch.no_grad():
            done = model.generate(
                prompt, attention_mask=torch.ones_like(prompt), do_sample=False, max_new_tokens=128
            )  # fmt: skip
            logits = model(torch.cat([prompt, labels], 1)).logits[0, prompt.shape[1] - 1 : -1]
        written.append(tokenizer.decode(done[0, prompt.shape[1] :], skip_special_tokens=True))
        right.extend((logits.float().argmax(-1) == labels[0]).tolist())
    return written, right


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_exact_match_is_what_greedy_decoding_writes(tmp_path, eager, dtype):
    data = [row(number) for number in range(11)]
    data += [
        {
            "prompt": f"{STARTED}USER: none of them\n",
            "completion": "hand over",
            "original_test_name": "a.yml::b",
            "turn": 2,
        }
    ]
    done = train(
        tmp_path, eager, [row(number) for number in range(40)], data, epochs=5, learning_rate=0.01, dtype=dtype, evaluations=2
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    written, right = decode(tmp_path, data)
    exact = [text == row["completion"] for text, row in zip(written, data, strict=True)]
    assert 0 < sum(exact) < len(exact), "the test needs rows of both kinds"
    found, choice = predictions(tmp_path), chosen(tmp_path)
    values = validations(tmp_path)[choice["step"]]
    assert [entry["predicted"] == entry["expected"] for entry in found] == exact
    if dtype == "float32":  # in bfloat16 an unsure model may write other tokens for a row alone than for rows together
        assert [entry["predicted"] for entry in found] == written
        assert values["eval_token_accuracy"] == pytest.approx(sum(right) / len(right))
    assert [entry["expected"] for entry in found] == [row["completion"] for row in data]
    assert found[-1]["message"].endswith("USER: none of them\n")
    assert (found[-1]["test"], found[-1]["turn"], found[0]["test"]) == ("a.yml::b", 2, None)
    assert choice["exact_match"] == values["eval_exact_match"] == pytest.approx(sum(exact) / len(exact))
    assert [line for line in done.stdout.splitlines() if f"{sum(exact)} of 12 validation rows match exactly" in line]


def test_predictions_are_made_for_a_sample_in_the_order_of_the_rows(tmp_path, eager):
    data = [row(number) for number in range(9)]
    done = train(tmp_path, eager, [row(n) for n in range(8)], data, epochs=1, scored_rows=4)
    assert done.returncode == 0, done.stderr[-2000:]
    numbers = [entry["row"] for entry in predictions(tmp_path)]
    assert numbers == sorted(set(numbers))
    assert len(numbers) == 4
    assert [entry["expected"] for entry in predictions(tmp_path)] == [data[n - 1]["completion"] for n in numbers]
    assert "predictions are made for 4 of the 9 validation rows" in done.stdout


WORSENING = {"epochs": 20, "learning_rate": 0.01, "evaluations": 20, "checkpoints": 13, "early_stop": False}
"""Settings under which validation rows that contradict the training rows are understood worse and worse, from an early step on."""


@pytest.fixture(scope="module")
def worsening(tmp_path_factory, eager):
    folder = tmp_path_factory.mktemp("worsening") / "job"
    done = train(folder, eager, *contradicting(), **WORSENING)
    assert done.returncode == 0, done.stderr[-2000:]
    return folder


def contradicting():
    prompts = [f"{STARTED}USER: {'well ' * (number % 3)}{number}\n" for number in range(20)]
    rows = [{"prompt": prompt, "completion": "set a"} for prompt in prompts]
    return rows, [{"prompt": prompt, "completion": "set b"} for prompt in prompts[:8]]


def test_when_validation_gets_worse_the_earlier_weights_are_taken(worsening):
    found, choice = validations(worsening), chosen(worsening)
    best = max(found, key=lambda step: (found[step]["eval_exact_match"], -found[step]["eval_loss"], -step))
    last = max(found)
    assert choice["step"] == best < last
    assert found[last]["eval_loss"] > 1.1 * found[best]["eval_loss"]
    assert loss_of_merged(worsening, contradicting()[1]) == pytest.approx(found[best]["eval_loss"], rel=1e-3)
    assert choice["why"].startswith(f"step {best} is taken: ")
    assert f"; the last, {last}: " in choice["why"]
    assert choice["why"] in [event.get("line") for event in events(worsening)]


def test_a_run_that_overfits_is_stopped_and_goes_back_to_its_best_validation(tmp_path, eager, worsening):
    done = train(tmp_path, eager, *contradicting(), **WORSENING | {"early_stop": True})
    assert done.returncode == 0, done.stderr[-2000:]
    found, choice = validations(tmp_path), chosen(tmp_path)
    assert choice["step"] == chosen(worsening)["step"] < max(found) < max(validations(worsening))
    assert loss_of_merged(tmp_path, contradicting()[1]) == pytest.approx(found[choice["step"]]["eval_loss"], rel=1e-3)
    assert f"training stops at step {max(found)} of 100, overfitting: validation loss rose from " in done.stdout
    said = [(event["state"], event["good"]) for event in events(tmp_path) if event["type"] == "diagnosis"]
    assert said[-1] == ("overfitting", False)
    assert len(said) == len(set(said)), "a state is told when it begins"


def loss_of_merged(folder: Path, data):
    """Mean over batches of four of the mean over labels, as validation measures it; from the merged model, row by row."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder / "model")
    model = AutoModelForCausalLM.from_pretrained(folder / "model", dtype=torch.float32).eval()
    batches = []
    for first in range(0, len(data), 4):
        losses = []
        for row in data[first : first + 4]:
            prompt = tokenizer.apply_chat_template(
                [{"role": "user", "content": row["prompt"]}], add_generation_prompt=True, return_dict=False
            )
            labels = [*tokenizer(row["completion"])["input_ids"], tokenizer.eos_token_id]
            with torch.no_grad():
                logits = model(torch.tensor([[*prompt, *labels]])).logits[0, len(prompt) - 1 : -1]
            losses.append(torch.nn.functional.cross_entropy(logits, torch.tensor(labels), reduction="none"))
        batches.append(float(torch.cat(losses).mean()))
    return sum(batches) / len(batches)


def test_stopped_and_killed_it_goes_on_from_the_last_checkpoint_and_keeps_the_best(tmp_path, eager, worsening):
    choice = chosen(worsening)
    stopped = until(tmp_path, eager, choice["step"] + 25)
    stopped.send_signal(signal.SIGTERM)
    stopped.communicate()
    assert stopped.returncode == 75
    after_stop = steps_kept(tmp_path)
    assert after_stop["best"] == [choice["step"]]
    killed = until(tmp_path, eager, after_stop["last"][0] + 15)
    killed.kill()
    killed.communicate()
    after_kill = steps_kept(tmp_path)
    assert after_kill["best"] == [choice["step"]]
    assert after_kill["last"][-1] > after_stop["last"][0]
    done = train(tmp_path, eager, *contradicting(), **WORSENING)
    assert done.returncode == 0, done.stderr[-2000:]
    said = [event.get("line", "") for event in events(tmp_path)]
    resumed = [line.removeprefix("going on from checkpoints/checkpoint-") for line in said if "going on" in line]
    assert resumed == [str(after_stop["last"][0]), str(after_kill["last"][-1])]
    assert chosen(tmp_path)["step"] == choice["step"]
    straight = adapter(worsening)
    for name, weights in adapter(tmp_path).items():
        assert weights.allclose(straight[name], rtol=1e-4, atol=1e-6), name
    assert not (tmp_path / "checkpoints").exists()


def until(folder: Path, model: Path, step: int, **settings) -> subprocess.Popen[bytes]:
    """Start the program, or start it again, and return it when it has come to `step`."""
    running = start(folder, model, *contradicting(), **WORSENING | settings)
    while running.poll() is None:
        if (folder / "events.jsonl").exists() and any(event.get("done", 0) >= step for event in whole_events(folder)):
            return running
        time.sleep(0.01)
    raise AssertionError(f"the program ended with {running.returncode} before step {step}")


def whole_events(folder: Path):
    text = (folder / "events.jsonl").read_text()
    return [json.loads(line) for line in text[: text.rfind("\n") + 1].splitlines()]


def steps_kept(folder: Path):
    """Steps of the complete checkpoints and of the best weights that are on disk."""
    checkpoints = [path.parent.name for path in (folder / "checkpoints").glob("checkpoint-*/complete.json")]
    best = [path.parent.name for path in (folder / "checkpoints" / "best").glob("*/standing.json")]
    return {
        name: sorted(int(entry.rpartition("-")[2]) for entry in found)
        for name, found in (("last", checkpoints), ("best", best))
    }


def test_without_validation_rows_the_last_step_is_taken(tmp_path, eager):
    done = train(tmp_path, eager, [row(n) for n in range(8)], epochs=1)
    assert done.returncode == 0, done.stderr[-2000:]
    assert chosen(tmp_path) == {"step": 2, "why": "step 2, the last, is taken: there are no validation rows"}
    assert not (tmp_path / "predictions.jsonl").exists()


def standing(step, exact_match, loss, rows=10_000):
    sys.path.insert(0, str(training_program()["checkpoints.py"].parent))
    try:
        from checkpoints import Standing
    finally:
        sys.path.pop(0)
    return Standing(step, exact_match, loss, rows)


@pytest.mark.parametrize(
    ("earlier", "later", "better"),
    [
        ((0.5, 0.1), (0.6, 0.9), True),
        ((0.6, 0.1), (0.5, 0.01), False),
        ((0.6, 0.2), (0.6, 0.1), True),
        ((0.6, 0.1), (0.6, 0.1), False),
        ((0.6, float("nan")), (0.6, 0.1), True),
        ((0.6, 0.1), (0.6, float("nan")), False),
    ],
)
def test_more_rows_exactly_then_the_lower_loss_then_the_earlier(earlier, later, better):
    assert standing(2, *later).better_than(standing(1, *earlier)) is better


@pytest.mark.parametrize(("rows", "better"), [(48, True), (480, False)])
def test_some_rows_more_are_luck_where_few_are_measured(rows, better):
    """88 % after the learning rate came down against 92 % before: two rows of 48, with a standard deviation of 2.1."""
    last, earlier = standing(143, 0.875, 0.0734, rows), standing(112, 0.9167, 0.0784, rows)
    assert last.better_than(earlier) is better
    assert earlier.better_than(last) is not better


def test_the_programs_files_stand_alone():
    files = training_program()
    siblings = {path.stem for path in next(iter(files.values())).parent.glob("*.py")}
    for source in files.values():
        for node in ast.walk(ast.parse(source.read_text())):
            names = [node.module] if isinstance(node, ast.ImportFrom) else []
            names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            for name in names:
                needed = name in siblings or name.split(".")[0] == "core"
                assert not needed or f"{name.replace('.', '/')}.py" in files, f"{source.name} needs {name} beside it"
