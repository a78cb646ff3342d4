"""An embedding model on this machine, by the library sentence-transformers (`calmtune[retrieval]`)."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from functools import cached_property, lru_cache
from pathlib import Path
from threading import Lock
from typing import Any

from core.errors import ProviderError, UsageError
from core.training.base_model import BaseModelError, cache_folder, resolve

DEFAULT_MODEL = "sentence-transformers/all-MiniLM-L6-v2"
"""22 million weights, 90 MB, 384 numbers a text; some 10 ms a message on one CPU core."""
_HUB_NAME = re.compile(r"[\w.-]+(/[\w.-]+)?")
_SHAPING = ("*.safetensors", "*.json", "*.txt", "*.model")
"""Files that shape a vector: weights, tokenizer, how they are put together."""
_OTHERWISE = "or answer flow_retrieval: off"


class LocalEmbedder:
    """A sentence-transformers model in a folder or on the hub. Nothing is read or loaded before it is needed."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._lock = Lock()

    @cached_property
    def folder(self) -> Path:
        """Where the model is; fetched from the hub if need be. Raises UsageError and ProviderError."""
        given = Path(self.name).expanduser()
        if given.is_dir():
            folder = given
        elif not _HUB_NAME.fullmatch(self.name):
            raise UsageError(
                f"there is no folder {self.name} with an embedding model; correct embedding_model, {_OTHERWISE}"
            )
        else:
            _library()
            try:
                folder = resolve(self.name, cache_folder())
            except BaseModelError as error:
                raise ProviderError(f"the embedding model cannot be had: {error}; {_OTHERWISE}") from error
        if not (folder / "modules.json").is_file() or not any(folder.rglob("*.safetensors")):
            raise UsageError(
                f"{folder} holds no sentence-transformers model (modules.json and *.safetensors); name another embedding_model, "
                f"such as {DEFAULT_MODEL}"
            )
        return folder

    @cached_property
    def digest(self) -> str:
        """SHA-256 over names and content of the files that shape a vector. Raises UsageError and ProviderError."""
        total = hashlib.sha256()
        found = {
            path.relative_to(self.folder).as_posix(): path for kind in _SHAPING for path in self.folder.rglob(kind)
        }
        for name in sorted(found):
            with found[name].open("rb") as file:
                total.update(f"{name} {hashlib.file_digest(file, 'sha256').hexdigest()}\n".encode())
        return total.hexdigest()

    def embed(self, texts: Sequence[str]) -> list[list[float]]:
        """Vectors of length 1. Raises UsageError and ProviderError."""
        with self._lock:  # tokenizers do not bear two threads at once
            vectors = self._model.encode(list(texts), normalize_embeddings=True, show_progress_bar=False)
        return [[float(number) for number in vector] for vector in vectors]

    @cached_property
    def _model(self) -> Any:
        library, folder = _library(), self.folder
        try:
            return library.SentenceTransformer(str(folder), device="cpu", local_files_only=True)
        except Exception as error:  # whatever its libraries raise at files that are not what they seem
            raise UsageError(
                f"the embedding model in {folder} cannot be loaded: {error}; name another, {_OTHERWISE}"
            ) from error


@lru_cache(maxsize=4)
def local_embedder(name: str) -> LocalEmbedder:
    """The model of that name, loaded once a process."""
    return LocalEmbedder(name)


def _library() -> Any:
    """The library, told to draw no progress bars across the terminal. Raises UsageError when it is not installed."""
    try:
        import sentence_transformers
        from huggingface_hub.utils import disable_progress_bars
        from transformers.utils import logging
    except ImportError as error:
        raise UsageError(
            f"flow retrieval needs the library sentence-transformers: install calmtune[retrieval], {_OTHERWISE} ({error})"
        ) from error
    disable_progress_bars()
    logging.disable_progress_bar()
    logging.set_verbosity_error()
    return sentence_transformers
