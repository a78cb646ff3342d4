"""A model whose tokens are masked by the grammar of a request, as servers with structured outputs do it."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

LONGEST_ANSWER = 3000
"""Tokens; bytes, with the tiny tokenizer."""


class GrammarModel:
    """A model in memory, sampled with a fixed seed."""

    def __init__(self, folder: Path) -> None:
        import torch
        import xgrammar
        from transformers import AutoModelForCausalLM, AutoTokenizer

        self._tokenizer = AutoTokenizer.from_pretrained(folder)
        self._model = AutoModelForCausalLM.from_pretrained(folder)
        vocabulary = xgrammar.TokenizerInfo.from_huggingface(
            self._tokenizer, vocab_size=self._model.config.vocab_size, stop_token_ids=[self._tokenizer.eos_token_id]
        )
        self._compiler = xgrammar.GrammarCompiler(vocabulary)
        self._alone = threading.Lock()
        torch.manual_seed(0)

    def answer(self, request: dict[str, Any]) -> str:
        """The completion of a chat request; only its last message is read."""
        from xgrammar.contrib.hf import LogitsProcessor

        prompt = self._tokenizer(request["messages"][-1]["content"], return_tensors="pt")
        masks = []
        if wanted := request.get("structured_outputs"):
            masks.append(LogitsProcessor(self._compiler.compile_grammar(wanted["grammar"])))
        with self._alone:
            tokens = self._model.generate(
                **prompt, do_sample=True, top_k=0, max_new_tokens=LONGEST_ANSWER, logits_processor=masks
            )
        written: str = self._tokenizer.decode(tokens[0, prompt["input_ids"].shape[1] :], skip_special_tokens=True)
        return written
