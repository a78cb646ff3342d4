"""The proxy as one file that Python runs where nothing else of calmtune is: `python proxy.pyz settings.json`, keys in the environment.

It needs the packages uvicorn, starlette and httpx, which come with vLLM. The same source gives the same bytes.
"""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import core
from core.zip_member import zip_member

ARCHIVE = "proxy.pyz"
PACKAGES = ("httpx", "starlette", "uvicorn")
_MODULES = (
    "__init__", "errors", "serving/__init__",
    *(f"serving/proxy/{name}" for name in (
        "__init__", "__main__", "addresses", "certificate", "forwarding", "guard", "keys", "limits", "server",
    )),
)  # fmt: skip
_MAIN = "import sys\n\nfrom core.serving.proxy.__main__ import main\n\nsys.exit(main())\n"


def proxy_archive() -> bytes:
    """The file (PEP 441)."""
    root = Path(core.__file__).parent
    files = {f"core/{name}.py": (root / f"{name}.py").read_text(encoding="utf-8") for name in _MODULES}
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w") as archive:
        for name, text in {**files, "__main__.py": _MAIN}.items():
            archive.writestr(zip_member(name), text)
    return written.getvalue()
