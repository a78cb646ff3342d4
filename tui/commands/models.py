"""The command that lists base models."""

from __future__ import annotations

import click

from tui.opening import json_option


@click.command()
@json_option
def models(as_json: bool) -> None:
    """Base models worth a look: size, licence, context, and the memory training takes.

    Memory is that of LoRA (rank 16, 16-bit weights) over 4,096 tokens at once on a GPU, with activations computed again. A file named in
    CALMTUNE_MODELS adds models or corrects them.
    """
    from core.training.base_models import read_models
    from core.training.memory import Load, memory
    from core.training.out_of_memory import gigabytes
    from tui import output

    found = read_models()
    needs = {
        facts.name: memory(facts, Load(tokens=4096, labels=256), rank=16, checkpointed=1.0).total
        for facts in found.facts()
    }
    if as_json:
        listed = [
            {
                "name": name,
                **model.model_dump(exclude={"config"}),
                "shared_prefixes": model.shares,
                "lora_bytes": needs.get(name),
            }
            for name, model in found.models.items()
        ]
        output.as_json({"as_of": str(found.as_of), "models": listed})
        return
    rows = [
        [
            name,
            f"{model.parameters:.3g} B",
            model.licence,
            "gated" if model.gated else "open",
            f"{model.context:,}",
            model.attention if model.shares else f"{model.attention}: no shared prefixes",
            gigabytes(needs[name]) if name in needs else "not known",
            model.note,
        ]
        for name, model in found.models.items()
    ]
    header = ["model", "parameters", "licence", "access", "context", "attention", "LoRA memory", "note"]
    output.data(output.table(rows, header))
    output.narrate(f"as of {found.as_of}; look at a model's page before you rely on licence and access")
