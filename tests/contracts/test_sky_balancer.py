"""SkyServe's own load balancer before a replica as the deployment makes it: what reaches the proxy, with TLS and without."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace

import httpx
import pytest

from core.serving.manifests.folder import write_files
from core.serving.manifests.skyserve import service_task
from core.serving.proxy.certificate import Pair, make_self_signed
from core.serving.proxy.keys import VARIABLE, digested
from core.wizard import service
from core.wizard.service import Terms
from provisioning.machine import free_port
from tests.rigs.served_models import made
from tests.rigs.small_services import SmallServices

pytestmark = pytest.mark.rig
KEY = "key-of-the-shop-2f9a41c7"
BALANCER = """
import sys
from sky.serve.load_balancer import run_load_balancer
from sky.serve.serve_utils import TLSCredential

controller, port, *pair = sys.argv[1:]
run_load_balancer(controller, int(port), tls_credential=TLSCredential(*pair) if pair else None)
"""
SHIM = Path(__file__).parents[1] / "rigs" / "sky_shim"


@pytest.fixture
def replica(tmp_path) -> Iterator[str]:
    """The address of one, which runs here."""
    (tmp_path / "cloud").mkdir()
    small = SmallServices(tmp_path / "cloud")
    model = made(tmp_path)
    write_files(model, tmp_path / "deploy")
    task = service_task(model, str(tmp_path / "deploy"), small.python)
    small.up("one", {**task, "envs": {VARIABLE: f"shop={digested(KEY)}"}}, print, print)
    (found,) = small.services()
    yield found.endpoint
    small.end()


@contextmanager
def balancer(replica: str, folder: Path, pair: Pair | None) -> Iterator[str]:
    """SkyServe's load balancer, told of the replica as its controller tells it."""

    class Controller(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            body = json.dumps({"replica_info": {replica: {}}}).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None: ...

    controller, port = ThreadingHTTPServer(("127.0.0.1", 0), Controller), free_port()
    thread = threading.Thread(target=controller.serve_forever)
    thread.start()
    environment = {**os.environ, "HOME": str(folder), "PYTHONPATH": str(SHIM), "SKYPILOT_DISABLE_USAGE_COLLECTION": "1"}
    told = f"http://127.0.0.1:{controller.server_port}"
    command = [sys.executable, "-c", BALANCER, told, str(port), *((str(pair.key), str(pair.certificate)) if pair else ())]
    with (folder / "balancer.log").open("wb") as log:
        running = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
    try:
        yield f"http{'s' if pair else ''}://127.0.0.1:{port}"
    finally:
        running.terminate()
        running.wait(20)
        controller.shutdown()
        controller.server_close()
        thread.join()


@pytest.mark.parametrize("encrypted", [False, True])
def test_only_the_four_addresses_are_open_behind_it(tmp_path, replica, encrypted):
    pair = make_self_signed(tmp_path / "tls", ["models.example.org"]) if encrypted else None
    terms = Terms(f"shop={digested(KEY)}", KEY, pair)
    told: list[object] = []
    with balancer(replica, tmp_path, pair) as address:
        asyncio.run(service._until_it_answers(address, "tuned", terms))
        gate, findings = asyncio.run(service._look(SimpleNamespace(emit=told.append), address, terms))
        with httpx.Client(base_url=address, verify=service._trusting(pair)) as asking:
            body = {"model": "tuned", "messages": [{"role": "user", "content": "hi"}]}
            statuses = [
                asking.post("/v1/chat/completions", json=body, headers={"Authorization": f"Bearer {key}"}).status_code
                for key in (KEY, digested(KEY), "x" * 30)
            ]
    assert gate.passed, gate.detail
    assert statuses == [200, 401, 401]
    tried = {one["sentence"] for one in findings if one["state"] == "pass"}
    assert "/v1/chat/completions is open to POST with the key" in tried
    assert "closed: /metrics with the key" in tried
    assert any("tell of SkyServe's balancer and nothing behind it" in sentence for sentence in tried)
    in_the_clear = [one for one in findings if one["state"] == "fail"]
    assert len(in_the_clear) == (0 if encrypted else 1)
