"""The licence of a base model, as its own card has it, else as the list of base models has it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from core.training.base_models import read_models
from core.training.model_facts import folder_at_hand, read_config

_HUB_NAMES = {
    "Apache-2.0": "apache-2.0", "MIT": "mit", "Llama 3.1 Community": "llama3.1", "Llama 3.2 Community": "llama3.2",
}  # fmt: skip
"""Names of the list → the hub's."""


@dataclass(frozen=True)
class Licence:
    """A licence, and where its name was read."""

    fields: dict[str, str]
    """As a model card has them: license, and license_name and license_link where that is "other"."""
    why: str

    @property
    def name(self) -> str:
        return self.fields.get("license_name") or self.fields["license"]


def licence_of(base: str) -> Licence | None:
    """The licence of a base model by its name or folder; None when neither its own files nor the list tell it. Asks no network.

    Raises ProblemsError for a wrong list of models.
    """
    folder = folder_at_hand(base)
    if folder is not None:
        for source, content in (("its own card", _front_matter(folder)), ("its config.json", read_config(folder))):
            fields = {
                name: str(content[name]) for name in ("license", "license_name", "license_link") if content.get(name)
            }
            if "license" in fields:
                return Licence(fields, source)
    listed = read_models()
    if (model := listed.models.get(base)) is None:
        return None
    known = _HUB_NAMES.get(model.licence)
    fields = {"license": known} if known else {"license": "other", "license_name": model.licence}
    return Licence(fields, f"calmtune's list of {listed.as_of}")


def _front_matter(folder: Path) -> dict[str, Any]:
    """What stands between the first two lines of dashes of a folder's README.md; empty when there is no such thing."""
    try:
        before, begun, rest = (folder / "README.md").read_text(encoding="utf-8").partition("---\n")
        head, ended, _ = rest.partition("\n---")
        content = yaml.safe_load(head) if begun and ended and not before.strip() else None
    except (OSError, ValueError, yaml.YAMLError):
        return {}
    return content if isinstance(content, dict) else {}
