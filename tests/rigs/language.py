"""What a grammar accepts, asked of the library that servers use for it."""

from __future__ import annotations

from typing import Any


class Language:
    """The texts of a grammar."""

    def __init__(self, grammar: str) -> None:
        import xgrammar

        tokenizer = xgrammar.TokenizerInfo(["<end>", "a"], stop_token_ids=[0])  # texts are given as such, not as tokens
        self._compiled = xgrammar.GrammarCompiler(tokenizer).compile_grammar(grammar)

    def __contains__(self, text: object) -> bool:
        import xgrammar

        matcher: Any = xgrammar.GrammarMatcher(self._compiled, terminate_without_stop_token=True)
        return bool(matcher.accept_string(str(text)) and matcher.is_completed())
