"""For SkyPilot's own processes on a rig, by PYTHONPATH: the rig is asked whether there is a network, load balancers stay on loopback, and
the API server starts few processes and is waited for longer than where nothing else runs."""

from __future__ import annotations

import os
import sys
import time
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType, SimpleNamespace
from typing import Any


def _ask_the_rig(module: ModuleType) -> None:
    module._TEST_IP_LIST = [os.environ.get("AWS_ENDPOINT_URL", "http://127.0.0.1:9") + "/moto-api/"]  # type: ignore[attr-defined]


def _stay_on_loopback(module: ModuleType) -> None:
    run = module.uvicorn.run
    module.uvicorn = SimpleNamespace(run=lambda app, host, **more: run(app, host="127.0.0.1", **more))  # type: ignore[attr-defined]


def _wait_longer(module: ModuleType) -> None:
    for name in ("WAIT_APISERVER_START_TIMEOUT_SEC", "SERVICE_REGISTER_TIMEOUT_SECONDS"):
        if hasattr(module, name):
            setattr(module, name, 400)


def _wait_on(module: ModuleType) -> None:
    module.time = SimpleNamespace(time=lambda: 0.0, sleep=time.sleep)  # type: ignore[attr-defined]


def _start_less(module: ModuleType) -> None:
    module._min_avail_mem_gb = lambda: 1_000_000  # type: ignore[attr-defined]


_CHANGES = {
    "sky.backends.backend_utils": _ask_the_rig,
    "sky.serve.load_balancer": _stay_on_loopback,
    "sky.server.common": _wait_longer,
    "sky.serve.constants": _wait_longer,
    "sky.server.requests.queues.mp_queue": _wait_on,
    "sky.server.config": _start_less,
}


class _Changed(MetaPathFinder):
    def find_spec(self, name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        spec = PathFinder.find_spec(name, path) if name in _CHANGES else None
        if spec is None or spec.loader is None:
            return None
        execute = spec.loader.exec_module

        def changed(module: ModuleType) -> None:
            execute(module)
            _CHANGES[name](module)

        spec.loader.exec_module = changed  # type: ignore[method-assign]
        return spec


sys.meta_path.insert(0, _Changed())
