"""The proxy as a job: `python -m core.serving.proxy settings.json`, keys in the environment. It ends when the model server has gone.

settings.json has the fields of `Settings`, with certificate and key in the place of `pair` where it ends TLS itself.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

from core.errors import CalmtuneError
from core.serving.proxy.certificate import Pair
from core.serving.proxy.keys import SERVER_KEY_VARIABLE, keys_in_environment


def main() -> int:
    from core.serving.proxy.server import Settings, serve

    told: dict[str, Any] = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    pair = Pair(Path(told.pop("certificate")), Path(told.pop("key"))) if "certificate" in told else None
    try:
        serve(
            Settings(**told, pair=pair),
            {},
            keys_in_environment(),
            os.environ.get(SERVER_KEY_VARIABLE, ""),
            _say,
            lambda address: _say(f"{address} passes on to {told['to']}"),
            watched=True,
        )
    except CalmtuneError as error:
        _say(str(error))
        return error.exit_code
    _say("the model server is gone, and the proxy with it")
    return 1


def _say(line: str) -> None:
    print(line, flush=True)


if __name__ == "__main__":
    sys.exit(main())
