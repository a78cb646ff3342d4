"""Access to base models, asked of a hub on the loopback."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from core.training.hub_access import access


class Hub(BaseHTTPRequestHandler):
    """Models by name: /org/open, /org/gated (for the token "good"), /org/slow fails inside; nothing else."""

    asked: list[str] = []

    def do_HEAD(self) -> None:
        name = self.path.removesuffix("/resolve/main/config.json").strip("/")
        token = self.headers.get("Authorization", "").removeprefix("Bearer ")
        Hub.asked.append(f"{name} {token}".strip())
        code, problem = {
            "org/open": (302, ""),
            "org/gated": (200, "") if token == "good" else (403 if token else 401, "GatedRepo"),
            "org/tokens-only": (401, ""),
            "org/slow": (503, ""),
        }.get(name, (404 if token else 401, "RepoNotFound"))
        self.send_response(code)
        if problem:
            self.send_header("X-Error-Code", problem)
        if code == 302:
            self.send_header("Location", "http://127.0.0.1:9/elsewhere")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def hub(monkeypatch):
    for name in ("HF_TOKEN", "HF_HUB_OFFLINE", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{server.server_address[1]}/")
    Hub.asked.clear()
    yield server
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize(
    ("name", "token", "state", "said"),
    [
        ("org/open", None, "open", "may be downloaded"),
        ("org/gated", "good", "open", "may be downloaded with HF_TOKEN"),
        ("org/gated", None, "refused", "is gated: accept its licence on http://127.0.0.1"),
        ("org/gated", "bad", "refused", "this HF_TOKEN has no access yet"),
        ("org/tokens-only", None, "refused", "it asks for a token"),
        ("org/tokens-only", "bad", "refused", "HF_TOKEN is not accepted"),
        ("org/nothing", None, "missing", "or set HF_TOKEN if it is private"),
        ("org/nothing", "good", "missing", "check its name"),
        ("org/slow", None, "unknown", "answers 503"),
        ("not a name", None, "missing", "is not on"),
    ],
)
def test_what_the_hub_says(hub, monkeypatch, name, token, state, said):
    if token:
        monkeypatch.setenv("HF_TOKEN", token)
    found = access(name)
    assert found.state == state
    assert said in found.sentence
    assert len(Hub.asked) == 1
    assert token is None or token not in found.sentence


def test_a_hub_that_cannot_be_reached_is_no_error(hub):
    hub.shutdown()
    hub.server_close()
    found = access("org/open")
    assert found.state == "unknown"
    assert "cannot be reached" in found.sentence
    assert access("org/open", endpoint="no address").state == "unknown"


def test_nobody_is_asked_offline(hub, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert access("org/open").state == "unknown"
    assert Hub.asked == []
