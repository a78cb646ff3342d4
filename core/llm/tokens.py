"""How many tokens a text has: by the model's own tokenizer where that is at hand, else by a rule of thumb."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

_CHARACTERS_PER_TOKEN = 4
"""Of English prose and JSON; other languages have fewer, so counts for them are low."""


def tokens(text: str, model: str = "") -> int:
    """Tokens of a text; a quarter of its characters where the model's tokenizer is not known."""
    exact = _tokenizer(model)
    return exact(text) if exact is not None else -(-len(text) // _CHARACTERS_PER_TOKEN)


@cache
def _tokenizer(model: str) -> Callable[[str], int] | None:
    """OpenAI's models by the optional package tiktoken, which fetches their vocabularies once."""
    try:
        import tiktoken

        encoding = tiktoken.encoding_for_model(model)
    except (ImportError, KeyError, OSError, ValueError):
        return None
    return lambda text: len(encoding.encode_ordinary(text))
