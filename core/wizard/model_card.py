"""The model card: what a trained model is, from its manifest, and how it was judged where it was.

It lies beside the checked files of the artifact as README.md and is none of them, so that a verdict can be added later.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from core.serving.adapter import Adapter, vllm_model
from core.training.licences import Licence, licence_of
from core.wizard.step import Gate

CARD = "README.md"
"""Its name in the artifact's folder, as the hub wants it."""
FILE = "model_card.md"
"""Its name in a step's folder."""
_SETS = ("golden", "validation", "training")
_HUB_NAME = re.compile(r"[\w.-]+/[\w.-]+")


def write_card(text: str, folder: Path, artifact: Path | None = None) -> str:
    """Leave a card in a step's folder and, if given, in the artifact's; its name in the step's folder."""
    (folder / FILE).write_text(text, encoding="utf-8")
    if artifact is not None:
        (artifact / CARD).write_text(text, encoding="utf-8")
    return FILE


def model_card(
    manifest: Mapping[str, Any],
    dataset: Mapping[str, Any],
    gates: Sequence[Gate] | None = None,
    judged: Mapping[str, Any] | None = None,
    copy: str = "",
) -> str:
    """A card in Markdown with the hub's front matter, without paths of this machine.

    `manifest` is the artifact's, `dataset` the summary of the data preparation, `gates` and `judged` what an evaluation found (None
    before one), `copy` how a quantised copy of the artifact was made. Raises ProblemsError for a wrong list of models.
    """
    base = manifest["base"]["name"]
    licence = licence_of(base)
    on_hub = _HUB_NAME.fullmatch(base) is not None and not Path(base).is_dir()
    head = yaml.safe_dump(_front_matter(manifest, base if on_hub else None, licence), sort_keys=False)
    shown = f"[{base}](https://huggingface.co/{base})" if on_hub else f"`{Path(base).name}` (a folder of its owner's)"
    parts = [
        f"---\n{head}---",
        *_purpose(manifest, shown, licence, copy),
        "## Verdict",
        *_verdict(gates, judged or {}),
        *_data(manifest, dataset),
        *_training(manifest),
        *_serving(manifest, base if on_hub else Path(base).name),
    ]
    return "\n\n".join(parts) + "\n"


def _front_matter(manifest: Mapping[str, Any], base: str | None, licence: Licence | None) -> dict[str, Any]:
    adapter = manifest["artifact"] == "adapter"
    named = {"base_model": base, "base_model_relation": "adapter" if adapter else "finetune"} if base else {}
    return {
        **(licence.fields if licence else {}),
        **named,
        "library_name": "peft" if adapter else "transformers",
        "pipeline_tag": "text-generation",
        "tags": ["calmtune", "calm", "command-generation", *(["lora"] if "adapter" in manifest["folders"] else [])],
    }


def _purpose(manifest: Mapping[str, Any], base: str, licence: Licence | None, copy: str) -> Iterator[str]:
    what = "A LoRA adapter for" if manifest["artifact"] == "adapter" else "A fine-tuned version of"
    yield "# Command generator of a CALM assistant"
    yield (
        f"{what} {base}. Given the prompt of the CALM assistant it was trained for, it writes that assistant's commands (start flow, set "
        "slot and so on) for the user's last message. It is meant for this assistant and these prompts, and not for chatting."
    )
    if copy:
        yield f"This is a smaller copy: {copy}. The verdict is its own; what is said of training was measured with the model itself."
    if licence is None:
        yield "Licence: that of the base model, which is not known here; look at the base model's page before you pass this model on."
    else:
        yield f"Licence: that of the base model, {licence.name} (from {licence.why})."


def _verdict(gates: Sequence[Gate] | None, judged: Mapping[str, Any]) -> Iterator[str]:
    if gates is None:
        yield "Not evaluated yet."
        return
    failed = [gate.name for gate in gates if not gate.passed]
    yield f"**Not good enough**: {', '.join(failed)}." if failed else f"**Passed** all {len(gates)} gates."
    yield _table(
        ("Gate", "Required", "Measured", "Passed"),
        [(gate.name, gate.required, gate.measured, "yes" if gate.passed else "no") for gate in gates],
    )
    sets = sorted((name for name in judged if _set_of(name) in _SETS), key=lambda name: _SETS.index(_set_of(name)))
    rates = [(name, judged[name]) for name in sets if judged[name].get("tests")]
    if rates:
        yield _table(
            ("Tests", "Run", "Passed", "Share", "95 % interval"),
            [
                (
                    name,
                    str(found["tests"]),
                    str(found["passed"]),
                    _percent(found["passed"] / found["tests"]),
                    _interval(found),
                )
                for name, found in rates
            ],
        )


def _set_of(name: str) -> str:
    """golden of "int8 golden", as the tests of a quantised copy are called."""
    return name.rpartition(" ")[2]


def _data(manifest: Mapping[str, Any], dataset: Mapping[str, Any]) -> Iterator[str]:
    yield "## Data"
    yield _table(
        ("Rows", "Number", "SHA-256 of the file"),
        [
            (side, f"{rows['count']:,}", f"`{rows['sha256']}`")
            for side, rows in (("training", manifest["rows"]["train"]), ("validation", manifest["rows"]["val"]))
            if rows
        ],
    )
    counts = [
        f"{len(dataset[ids])} {side}"
        for side, ids in (("training", "train_test_ids"), ("validation", "val_test_ids"), ("golden", "golden_test_ids"))
        if dataset.get(ids)
    ]
    if counts:
        yield f"The rows come from the assistant's end-to-end tests: {', '.join(counts)} (no rows are made of golden tests)."


def _training(manifest: Mapping[str, Any]) -> Iterator[str]:
    chosen, apart = manifest["chosen"], manifest["reload_difference"]
    yield "## Training"
    facts = {
        "Step taken": f"{chosen['step']} of {manifest['steps']}",
        "Validation loss": _number(chosen.get("loss")),
        "Validation rows written exactly": _percent(chosen["exact_match"])
        if "exact_match" in chosen
        else "not measured",
        "Tokens for each one computed": f"{manifest['unique_token_ratio']:.2f} (shared prefixes)",
        "Precision": manifest["dtype"],
        "Logits of the saved model differ by": "not comparable"
        if apart is None
        else f"{apart:.1e} of their spread from the trained one's",
        **{name.replace("_", " ").capitalize(): _number(value) for name, value in manifest["settings"].items()},
    }
    yield _table(("", ""), list(facts.items()))


def _serving(manifest: Mapping[str, Any], base: str) -> Iterator[str]:
    adapter = Adapter(base, manifest["settings"]["lora_rank"]) if manifest["artifact"] == "adapter" else None
    yield "## Serving"
    yield f"```\ncalmtune serve FOLDER\nvllm serve {' '.join(vllm_model('FOLDER', 'calmtune', adapter, base))}\n```"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', '/') for cell in line)} |" for line in lines)


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def _interval(found: Mapping[str, Any]) -> str:
    interval = found.get("interval")
    return f"{_percent(interval[0])} to {_percent(interval[1])}" if interval else ""


def _number(value: Any) -> str:
    return "none" if value is None else f"{value:g}" if isinstance(value, float) else str(value)
