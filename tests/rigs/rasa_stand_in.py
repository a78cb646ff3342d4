"""A stand-in for the `rasa` command: reads options and writes files as its documentation says, and understands nothing.

`install` puts a script named rasa into a folder for PATH. What it does is in behaviour.json beside it, what it was asked in calls.jsonl.
It refuses options its version does not list, missing flags and a missing licence, and it can fail, hang and print secrets.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from itertools import takewhile
from pathlib import Path
from typing import Any

import yaml

RECIPE_FLAG = {"3.10": "RASA_PRO_BETA_FINE_TUNING_RECIPE", "3.16": "RASA_PRO_BETA_FINETUNING_RECIPE"}
STUBS_FLAG, ASSERTIONS_FLAG = "RASA_PRO_BETA_STUB_CUSTOM_ACTION", "RASA_PRO_BETA_E2E_ASSERTIONS"
TOLD = ("RASA_TELEMETRY_ENABLED", *RECIPE_FLAG.values(), STUBS_FLAG, ASSERTIONS_FLAG)
COLUMNS = ("Flow Name", "Coverage", "Num Steps", "Missing Steps", "Line Numbers")


@dataclass
class Behaviour:
    """What the stand-in does."""

    version: str = "3.16"
    failing: list[str] = field(default_factory=list)
    """Names of tests that fail."""
    commands: dict[str, list[str]] = field(default_factory=dict)
    """User message → commands, in the language of the version."""
    coverage: list[list[Any]] = field(default_factory=list)
    """Rows: flow name, steps, missing steps, line numbers."""
    crash: str = ""
    """Sub-command that ends with a traceback and exit code 1."""
    hang: str = ""
    """Sub-command that starts a process of its own, which ignores SIGTERM, and waits for ever."""
    prints_licence: bool = False


def install(folder: Path, **behaviour: Any) -> Path:
    """Write the script and its behaviour; returns the folder."""
    folder = folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "behaviour.json").write_text(json.dumps(asdict(Behaviour(**behaviour))))
    script = folder / "rasa"
    script.write_text(f"#!{sys.executable}\nimport sys\nsys.path.insert(0, {str(Path(__file__).parent)!r})\n"
                      f"import rasa_stand_in\nsys.exit(rasa_stand_in.main({str(folder)!r}))\n")  # fmt: skip
    script.chmod(0o755)
    return folder


def calls(folder: Path) -> list[dict[str, Any]]:
    """What the command was asked: arguments, variables, files of the folder it ran in."""
    path = folder / "calls.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def main(folder: str) -> int:
    behaviour = Behaviour(**json.loads((Path(folder) / "behaviour.json").read_text()))
    arguments = sys.argv[1:]
    name = " ".join(takewhile(lambda word: not word.startswith("-"), arguments))
    if not os.environ.get("RASA_LICENSE"):
        print("A Rasa Pro licence is required. Set RASA_LICENSE.")
        return 1
    if arguments == ["--version"]:
        print(f"Rasa Pro Version  :         {behaviour.version}.0")
        print("Python Version    :         3.11.9")
        return 0
    options = parser(behaviour.version).parse_args(arguments)
    endpoints = Path("endpoints.yml")
    call = {
        "arguments": arguments,
        "variables": {name: os.environ[name] for name in TOLD if name in os.environ},
        "endpoints": endpoints.read_text() if endpoints.exists() else "",
        "has_model_key": "HOSTED_VLLM_API_KEY" in os.environ,
    }
    with (Path(folder) / "calls.jsonl").open("a") as log:
        log.write(json.dumps(call) + "\n")
    print(f"\x1b[34mINFO\x1b[0m  running {name}", file=sys.stderr)
    if behaviour.prints_licence:
        print(f"licence {os.environ['RASA_LICENSE']} is valid", "x" * 70_000)
    if behaviour.hang and name.startswith(behaviour.hang):
        sleep = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)"
        child = subprocess.Popen([sys.executable, "-c", sleep])
        (Path(folder) / "pids").write_text(f"{os.getpid()} {child.pid}")
        time.sleep(600)
    if behaviour.crash and name.startswith(behaviour.crash):
        print("Traceback (most recent call last):\n  File ...\nRasaException: the action server is not there")
        return 1
    return int(options.run(options, behaviour))


def parser(version: str) -> argparse.ArgumentParser:
    """Options as the reference lists them for a version."""
    top = argparse.ArgumentParser(prog="rasa")
    commands = top.add_subparsers(required=True)
    train = commands.add_parser("train")
    for option in ("--config", "--domain", "--data", "--endpoints"):
        train.add_argument(option)
    train.set_defaults(run=run_train)
    e2e = commands.add_parser("test").add_subparsers(required=True).add_parser("e2e")
    e2e.add_argument("path", nargs="?", default="tests/e2e_test_cases.yml")
    for option in ("--model", "--endpoints"):
        e2e.add_argument(option)
    e2e.add_argument("--coverage-report", action="store_true")
    e2e.add_argument("--coverage-output-path", default="e2e_coverage_results")
    if version == "3.10":
        e2e.add_argument("-o", "--e2e-results", action="store_true")
    else:
        e2e.add_argument("-o", "--e2e-results", nargs="?", const="tests")
    e2e.set_defaults(run=run_tests)
    finetune = commands.add_parser("llm").add_subparsers(required=True).add_parser("finetune")
    prepare = finetune.add_subparsers(required=True).add_parser("prepare-data")
    prepare.add_argument("path", nargs="?", default="e2e_tests")
    prepare.add_argument("-o", "--out", default="output")
    prepare.add_argument("-m", "--model", default="models")
    prepare.add_argument("--num-rephrases", type=int, default=10)
    prepare.add_argument("--rephrase-config")
    prepare.add_argument("--train-frac", type=float, default=0.8)
    prepare.add_argument("--output-format", choices=("instruction", "conversational"), default="instruction")
    prepare.set_defaults(run=run_prepare)
    return top


def run_train(options: argparse.Namespace, behaviour: Behaviour) -> int:
    Path("models").mkdir(exist_ok=True)
    Path("models/20260105-090000-a-name.tar.gz").write_text("a model")
    return 0


# Tests


def read_files(path: str) -> Iterator[tuple[str, dict[str, Any]]]:
    found = [Path(path)] if Path(path).is_file() else sorted(Path(path).rglob("*.y*ml"))
    for file in found:
        content = yaml.safe_load(file.read_text())
        if "test_cases" in content:
            yield file.as_posix(), content


def refusal(path: str, behaviour: Behaviour) -> str:
    """Why the tests cannot be run, "" when they can."""
    if not list(Path("models").glob("*")):
        return "No model found. Train one with `rasa train`."
    if os.environ.get(RECIPE_FLAG[behaviour.version]) != "true":
        return f"{RECIPE_FLAG[behaviour.version]} is not set"
    for file, content in read_files(path):
        text = Path(file).read_text()
        if "stub_custom_actions" in content and os.environ.get(STUBS_FLAG) != "true":
            return f"{STUBS_FLAG} is not set"
        if behaviour.version == "3.10" and "assertions:" in text and os.environ.get(ASSERTIONS_FLAG) != "true":
            return f"{ASSERTIONS_FLAG} is not set"
        fixtures = {name for entry in content.get("fixtures", []) for name in entry}
        missing = {name for case in content["test_cases"] for name in case.get("fixtures", [])} - fixtures
        if missing:
            return f"fixture {missing} is not defined"
    return ""


def run_tests(options: argparse.Namespace, behaviour: Behaviour) -> int:
    if reason := refusal(options.path, behaviour):
        print(reason)
        return 1
    files = list(read_files(options.path))
    cases = [case for _, content in files for case in content["test_cases"]]
    failing = [case for case in cases if case["test_case"] in behaviour.failing]
    passing = [case for case in cases if case not in failing]
    if options.e2e_results:
        passed, failed = (
            [result(case, True, behaviour) for case in passing],
            [result(case, False, behaviour) for case in failing],
        )
        if behaviour.version == "3.10":
            write_yaml(Path("tests/e2e_results.yml"), {"test_results": passed + failed})
        else:
            write_yaml(Path("tests/e2e_results_passed.yml"), {"test_results": passed})
            write_yaml(Path("tests/e2e_results_failed.yml"), {"test_results": failed})
    if options.coverage_report:
        write_coverage(Path(options.coverage_output_path), files, passing, failing, behaviour)
    for case in failing:
        print(f"---- {case['test_case']} ----")
    print(f"=== {len(failing)} failed, {len(passing)} passed ===")
    return 1 if failing else 0


def result(case: dict[str, Any], passed: bool, behaviour: Behaviour) -> dict[str, Any]:
    entry = {"name": case["test_case"], "pass_status": passed, "expected_steps": case["steps"]}
    if not passed and not any("assertions" in step for step in case["steps"]):
        first = case["steps"][0]["user"]
        licence = [f"- bot: {os.environ['RASA_LICENSE']}"] if behaviour.prints_licence else []
        entry["difference"] = [f"  user: {first}", "+ utter: utter_expected", "- bot: something else", *licence]
    return entry


def write_coverage(folder: Path, files: Any, passing: Any, failing: Any, behaviour: Behaviour) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for word, cases, rows in (("passed", passing, behaviour.coverage), ("failed", failing, [])):
        with (folder / f"coverage_report_for_{word}_tests.csv").open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(COLUMNS)
            for name, steps, missing, lines in rows:
                writer.writerow([name, f"{100 * (steps - missing) / steps:.2f}%", steps, missing, lines])
            writer.writerow(["Total", "", sum(row[1] for row in rows), sum(row[2] for row in rows), ""])
        (folder / f"commands_histogram_for_{word}_tests.png").write_bytes(b"\x89PNG")
        write_yaml(folder / f"{word}.yml", merged(files, cases))


def merged(files: Any, cases: Any) -> dict[str, Any]:
    fixtures = [entry for _, content in files for entry in content.get("fixtures", [])]
    stubs = {key: body for _, content in files for key, body in content.get("stub_custom_actions", {}).items()}
    return {"fixtures": fixtures, "stub_custom_actions": stubs, "test_cases": cases}


# Data preparation


def run_prepare(options: argparse.Namespace, behaviour: Behaviour) -> int:
    if reason := refusal(options.path, behaviour):
        print(reason)
        return 1
    files = list(read_files(options.path))
    annotated = [
        (f"{file}::{case['test_case']}", case, list(steps_of(case, behaviour, options.num_rephrases)))
        for file, content in files
        for case in content["test_cases"]
        if case["test_case"] not in behaviour.failing
    ]
    out = Path(options.out)
    sides = divided(annotated, options.train_frac)
    for number, folder in enumerate(("1_command_annotations", "2_rephrasings"), 1):
        keys = (
            "user",
            "llm_commands",
            "utter",
            "bot",
            *(("passing_rephrasings", "failed_rephrasings") if number == 2 else ()),
        )
        conversations = [
            {"original_test_case": id, "steps": [{k: v for k, v in step.items() if k in keys} for step in steps]}
            for id, _, steps in annotated
        ]
        write_yaml(out / folder / "conversations.yaml", {"conversations": conversations})
    newer = behaviour.version != "3.10"
    split = out / "4_train_test_split"
    for side, tests, rows in zip(
        sides,
        ("train.yaml" if newer else "train.yml", "validation.yaml"),
        ("train.jsonl", "test.jsonl" if newer else "val.jsonl"),
        strict=True,
    ):
        write_yaml(split / "e2e_tests" / tests, merged(files, [case for _, case, _ in side]))
        lines = [row(*parts, options.output_format) for _, _, steps in side for parts in points(steps)]
        (split / "ft_splits").mkdir(parents=True, exist_ok=True)
        (split / "ft_splits" / rows).write_text("".join(json.dumps(line) + "\n" for line in lines))
    write_yaml(out / "params.yaml", {"num_rephrases": options.num_rephrases})
    write_yaml(out / "result_summary.yaml", {"anything": 1})
    return 0


def divided(annotated: list[Any], fraction: float) -> tuple[list[Any], list[Any]]:
    """Tests for train and validation: train has every type of command, as the documentation promises, and no promise of flows."""
    seen: set[str] = set()
    needed = []
    for entry in annotated:
        kinds = {line.partition("(")[0].split(" ")[0] for step in entry[2] for line in step.get("llm_commands", ())}
        if kinds - seen:
            seen |= kinds
            needed.append(entry)
    cut = max(1, round(fraction * len(annotated)))
    train = (needed + [entry for entry in annotated if entry not in needed])[: max(cut, len(needed))]
    return [entry for entry in annotated if entry in train], [entry for entry in annotated if entry not in train]


def steps_of(case: dict[str, Any], behaviour: Behaviour, rephrases: int) -> Iterator[dict[str, Any]]:
    for step in case["steps"]:
        if "user" in step:
            said = {"user": step["user"]}
            if step["user"] in behaviour.commands:
                said["llm_commands"] = behaviour.commands[step["user"]]
                said["passing_rephrasings"] = [f"well, {step['user']}"][:rephrases]
                said["failed_rephrasings"] = ["something else"][: max(0, rephrases - 1)]
            yield said
        elif "utter" in step or "bot" in step:
            yield step


def points(steps: list[dict[str, Any]]) -> Iterator[tuple[str, str]]:
    """Prompt and completion of each annotated message, original and reworded."""
    for variant in range(2):
        history = ""
        for step in steps:
            if "user" not in step:
                history += f"AI: {step.get('utter') or step['bot']}\n"
                continue
            wordings = [step["user"], *step.get("passing_rephrasings", [])]
            text = wordings[min(variant, len(wordings) - 1)]
            history += f"USER: {text}\n"
            if "llm_commands" in step and (variant == 0 or len(wordings) > 1):
                yield f"Flows: …\n{history}Your commands:", "\n".join(step["llm_commands"])


def row(prompt: str, completion: str, form: str) -> dict[str, Any]:
    if form == "instruction":
        return {"prompt": prompt, "completion": completion}
    return {"messages": [{"role": "user", "content": prompt}, {"role": "assistant", "content": completion}]}


def write_yaml(path: Path, content: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump(content, sort_keys=False))
