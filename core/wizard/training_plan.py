"""The plan of a training run, made from a step's answers, its rows and the machine it names."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import cache
from pathlib import Path

from core.errors import ProviderError, UsageError
from core.training.base_models import Found, find, listed_parameters, read_models
from core.training.effort import Chosen, for_all_weights, settings_for
from core.training.hardware import Hardware, cpu, gpu, together
from core.training.plan import settings_of
from core.training.planner import Plan, plan
from core.training.row_tokens import RowSet, read_rows
from core.wizard.steps.training import PRESET_OFF, TrainingAnswers
from provisioning import facts
from provisioning.facts import Facts
from provisioning.place_names import LOCAL
from provisioning.sky import SkyTarget
from provisioning.target import Target

FILE = "plan.json"
PlanOn = Callable[[Hardware | None, float | None], Plan]
"""(machine, with all that train together; US dollars an hour) → plan."""


def chosen_settings(answers: TrainingAnswers, seed: int, found: Found) -> Chosen:
    """Explicit answers, then the preset if one is named, then the effort for a model of this size."""
    given = {
        "epochs": answers.epochs,
        "learning_rate": answers.learning_rate,
        "lora_rank": answers.lora_rank,
        "rows_per_step": answers.rows_per_step,
    }
    if answers.preset != PRESET_OFF:
        settings = settings_of(answers.preset, **given, method=answers.method, dtype=answers.dtype, seed=seed)
        why = {
            name: "as answered" if value is not None else f"preset {answers.preset}" for name, value in given.items()
        }
        if answers.method == "full" and answers.learning_rate is None:
            return Chosen(*for_all_weights(settings, why))
        return Chosen(settings, why)
    parameters = found.facts.parameters if found.facts is not None else listed_parameters(answers.base_model)
    return settings_for(answers.effort, parameters, **given, method=answers.method, dtype=answers.dtype, seed=seed)


def make_plan(
    answers: TrainingAnswers,
    seed: int,
    found: Found,
    rows: Sequence[Path],
    validation: Path | None,
    machine: Hardware | None,
) -> Plan | None:
    """The plan of a run over `rows`; None when the rows cannot be read. Raises ProblemsError for a wrong list of models."""
    plan_on = planner(answers, seed, found, rows, validation)
    if plan_on is None:
        return None
    several = together(machine, answers.gpus_needed, answers.nodes) if machine is not None else None
    return plan_on(several, answers.machine_usd_per_hour)


def planner(answers: TrainingAnswers, seed: int, found: Found, rows: Sequence[Path], validation: Path | None) -> PlanOn | None:
    """Plans a run over `rows` on any machine; as `make_plan`."""
    chosen = chosen_settings(answers, seed, found)
    per_step = chosen.settings.rows_per_step
    train = _rows(rows, per_step, seed, found)
    if train is None:
        return None
    validated = _rows([validation], per_step, seed, found) if validation is not None else None
    others, reasons = read_models().facts(), {**chosen.reasons, "model": found.why}

    def plan_on(machine: Hardware | None, usd_per_hour: float | None) -> Plan:
        return plan(
            answers.base_model, found.facts, train, chosen.settings, machine, validation=validated, usd_per_hour=usd_per_hour,
            others=others, reasons=reasons,
        )  # fmt: skip

    return plan_on


def in_words(answers: TrainingAnswers, seed: int, rows: Sequence[Path], validation: Path | None) -> str:
    """The plan in a sentence or two, for before the step runs; asks no other machine. "" when nothing is known."""
    here = answers.machine == LOCAL
    made = make_plan(answers, seed, find(answers.base_model), rows, validation, this_machine() if here else None)
    return made.sentence if made is not None else ""


def write_plan(made: Plan, folder: Path) -> None:
    """Leave the plan with all parts and reasons in a step's folder."""
    memory = {"total": made.memory.total, **asdict(made.memory)} if made.memory is not None else None
    content = {"sentence": made.sentence, **asdict(made), "memory": memory}
    (folder / FILE).write_text(json.dumps(content, indent=1, ensure_ascii=False), encoding="utf-8")


def machine_of(target: Target) -> Hardware | None:
    """What a machine elsewhere has; None where it does not say or cannot be asked now, which a plan does without."""
    try:
        return _hardware(target.facts())
    except (ProviderError, UsageError):
        return None


def with_price(answers: TrainingAnswers, target: Target) -> TrainingAnswers:
    """The answers with the price of the machine that is rented there; as they are where none is or where a price was answered."""
    if answers.machine_usd_per_hour is not None or not isinstance(target, SkyTarget):
        return answers
    try:
        machine = target.rented()
    except (ProviderError, UsageError):
        return answers
    return answers.model_copy(update={"machine_usd_per_hour": machine.usd_per_hour}) if machine is not None else answers


@cache
def this_machine() -> Hardware:
    """What this machine has."""
    return _hardware(Facts(**facts.facts(Path.cwd())), bfloat16=_computes_bfloat16())


def _hardware(found: Facts, bfloat16: bool = False) -> Hardware:
    if found.gpus:
        first = found.gpus[0]  # several are taken to be alike
        return gpu(str(first["name"]), int(first["memory"]))
    return cpu(found.cores, found.memory, bfloat16)


def _computes_bfloat16() -> bool:
    """Whether this processor says that it has bfloat16 products (Linux)."""
    try:
        said = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False
    return "avx512_bf16" in said or "amx_bf16" in said or " bf16" in said


def _rows(paths: Sequence[Path], per_step: int, seed: int, found: Found) -> RowSet | None:
    tokenizer = found.folder / "tokenizer.json" if found.folder is not None else None
    if not all(path.is_file() and os.path.getsize(path) for path in paths):
        return None
    try:
        return read_rows(paths, per_step, seed, tokenizer)
    except (OSError, ValueError):
        return None
