"""A published server: who comes through its proxy and who does not. A real proxy with TLS on loopback, clients from several addresses."""

from __future__ import annotations

import json
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import httpx
import openai
import pytest

from core.errors import UsageError
from core.serving.proxy import guard as guards
from core.serving.proxy import server as servers
from core.serving.proxy.archive import proxy_archive
from core.serving.proxy.certificate import Pair, fingerprint, make_self_signed
from core.serving.proxy.forwarding import OPEN
from core.serving.proxy.keys import SERVER_KEY_VARIABLE, VARIABLE, digested
from core.serving.proxy.server import PUBLIC_BODY, Settings
from provisioning.machine import free_port
from tests.rigs.chat_server import ChatServer
from tests.rigs.proxied import published

KEYS = {"shop": "key-of-the-shop-2f9a41c7", "desk": "key-of-the-desk-8d03be55"}
SERVER_KEY = "key-of-the-server-77aa01"


@pytest.fixture(scope="module")
def pair(tmp_path_factory) -> Pair:
    return make_self_signed(tmp_path_factory.mktemp("tls"), ["localhost", "127.0.0.1"])


@pytest.fixture
def model() -> Iterator[ChatServer]:
    with ChatServer(lambda prompt: f"said {prompt}").running() as server:
        yield server


def client(pair: Pair, source: str = "127.0.0.1", key: str | None = KEYS["shop"]) -> httpx.Client:
    transport = httpx.HTTPTransport(verify=trusting(pair), local_address=source)
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    return httpx.Client(transport=transport, headers=headers, timeout=20)


def trusting(pair: Pair) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(pair.certificate))


BODY = {"model": "any", "messages": [{"role": "user", "content": "a bed please"}]}


def test_a_client_with_its_key_is_answered_and_the_server_sees_its_own(model, pair):
    with published(Settings(model.url, pair=pair), KEYS, SERVER_KEY) as address:
        with openai.OpenAI(base_url=f"{address}/v1", api_key=KEYS["desk"], http_client=client(pair, key=None)) as asking:
            answer = asking.chat.completions.create(**BODY)
            assert [one.id for one in asking.models.list()] == ["any"]
        assert answer.choices[0].message.content == "said a bed please"
    assert {key for _, key in model.requests} == {f"Bearer {SERVER_KEY}"}


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": "Bearer wrong-key-wrong-key-wrong"},
        {"Authorization": KEYS["shop"]},
        {"Authorization": f"Basic {KEYS['shop']}"},
        {"Authorization": "Bearer"},
        {"Authorization": "Bearer shop"},
        {"Authorization": f"Bearer {KEYS['shop'][:-1]}"},
        {"X-Api-Key": KEYS["shop"]},
        [("Authorization", f"Bearer {KEYS['shop']}"), ("Authorization", f"Bearer {KEYS['shop']}")],
    ],
)
def test_whoever_has_no_key_learns_that_it_lives_and_nothing_else(model, pair, headers):
    with published(Settings(model.url, pair=pair), KEYS, SERVER_KEY) as address, client(pair, key=None) as asking:
        for path, method in [*OPEN.items(), ("/metrics", "GET"), ("/", "GET"), ("/v1/load_lora_adapter", "POST")]:
            answer = asking.request(method, address + path, headers=headers, json=BODY if method == "POST" else None)
            if path == "/health":
                assert (answer.status_code, answer.content) == (200, b"")
            else:
                assert answer.status_code == 401
                assert answer.headers["www-authenticate"] == "Bearer"
    assert {path for path, _ in model.requests} == {"/health"}


def test_health_of_a_server_that_is_gone_names_nothing(pair):
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with published(Settings(f"http://127.0.0.1:{port}/v1", pair=pair), KEYS) as address, client(pair, key=None) as asking:
        answer = asking.get(f"{address}/health")
    assert answer.status_code == 502
    assert str(port) not in answer.text


def test_only_allowed_addresses_come_in(model, pair):
    settings = Settings(model.url, pair=pair, allowed="127.0.0.3/32, 10.0.0.0/8")
    with published(settings, KEYS) as address:
        with client(pair, "127.0.0.3") as inside:
            assert inside.get(f"{address}/v1/models").status_code == 200
        with client(pair, "127.0.0.2") as outside:
            for path in OPEN:
                answer = outside.get(address + path, headers={"X-Forwarded-For": "127.0.0.3", "Forwarded": "for=127.0.0.3"})
                assert answer.status_code == 403


def test_each_client_has_its_own_requests_a_minute(model, pair):
    slow = Settings(model.url, pair=pair, requests_per_minute=1)
    with published(slow, KEYS) as address, client(pair) as shop, client(pair, key=KEYS["desk"]) as desk:
        statuses = [shop.get(f"{address}/v1/models").status_code for _ in range(12)]
        assert statuses == [200] * 10 + [429] * 2, "ten after a pause"
        refused = shop.get(f"{address}/v1/models")
        assert 1 <= int(refused.headers["retry-after"]) <= 60
        assert "more than 1 requests a minute" in refused.json()["error"]["message"]
        assert desk.get(f"{address}/v1/models").status_code == 200
        assert shop.get(f"{address}/metrics").status_code == 404, "what is refused anyway costs nothing"


def test_guesses_of_one_address_are_limited_and_clients_there_are_not(model, pair, monkeypatch):
    monkeypatch.setattr(guards, "STRANGERS_AT_ONCE", 5)
    monkeypatch.setattr(guards, "STRANGERS_PER_MINUTE", 1)
    with published(Settings(model.url, pair=pair), KEYS) as address:
        with client(pair, key="a-guess-a-guess-a-guess") as guessing, client(pair, "127.0.0.9", None) as elsewhere:
            statuses = [guessing.get(f"{address}/v1/models").status_code for _ in range(7)]
            assert statuses == [401] * 5 + [429] * 2
            assert elsewhere.get(f"{address}/health").status_code == 200
        with client(pair) as shop:
            assert shop.get(f"{address}/v1/models").status_code == 200


def test_requests_at_once_are_limited_and_places_come_back(pair):
    going = threading.Event()
    waits = ChatServer(lambda prompt: "done" if going.wait(20) else "late")
    two = Settings(waits.url, pair=pair, at_once=2)
    with waits.running(), published(two, KEYS) as address, client(pair) as asking:
        answers: list[int] = []

        def ask() -> None:
            answers.append(asking.post(f"{address}/v1/chat/completions", json=BODY).status_code)

        threads = [threading.Thread(target=ask) for _ in range(2)]
        for thread in threads:
            thread.start()
        while len(waits.prompts) < 2:
            time.sleep(0.01)
        third = asking.post(f"{address}/v1/chat/completions", json=BODY)
        assert (third.status_code, third.headers["retry-after"]) == (429, "1")
        going.set()
        for thread in threads:
            thread.join()
        assert answers == [200, 200]
        while (again := asking.post(f"{address}/v1/chat/completions", json=BODY)).status_code == 429:
            time.sleep(0.01)  # an answer is read before its place is given back
        assert again.status_code == 200


def test_large_bodies_are_refused_before_they_are_read_and_while(model, pair):
    with published(Settings(model.url, pair=pair), KEYS) as address, client(pair) as asking:
        said = asking.post(f"{address}/v1/completions", content=b" " * (PUBLIC_BODY + 1))
        assert said.status_code == 413
        streamed = asking.post(f"{address}/v1/completions", content=(b" " * 65536 for _ in range(17)))
        assert streamed.status_code == 413
    assert model.requests == []


def test_deep_nesting_is_a_bad_request(model, pair):
    with published(Settings(model.url, pair=pair), KEYS) as address, client(pair) as asking:
        assert asking.post(f"{address}/v1/completions", content=b"[" * 100_000).status_code == 400


def test_answers_tell_browsers_to_do_nothing_and_nobody_who_serves(model, pair):
    with published(Settings(model.url, pair=pair), KEYS) as address, client(pair) as asking:
        for path in ("/v1/models", "/metrics", "/health"):
            headers = asking.get(address + path).headers
            assert headers["x-content-type-options"] == "nosniff"
            assert headers["cache-control"] == "no-store"
            assert headers["strict-transport-security"] == "max-age=31536000"
            assert "frame-ancestors 'none'" in headers["content-security-policy"]
            assert "server" not in headers
        options = asking.options(f"{address}/v1/models", headers={"Origin": "https://a.example"})
        assert options.status_code == 405
        assert "access-control-allow-origin" not in options.headers


def test_the_log_has_every_request_and_no_secret(model, pair):
    lines: list[str] = []
    with published(Settings(model.url, pair=pair), KEYS, SERVER_KEY, lines.append) as address, client(pair) as asking:
        asking.post(f"{address}/v1/chat/completions?key={KEYS['desk']}", json=BODY)
        asking.get(f"{address}/{KEYS['desk']}")
        asking.get(f"{address}/v1/models", headers={"Authorization": "Bearer canary-wrong-key-canary"})
    logged = [json.loads(line) for line in lines]  # in the order they ended
    assert {(one["client"], one["method"], one["path"], one["status"]) for one in logged} == {
        ("shop", "POST", "/v1/chat/completions", 200),
        ("shop", "GET", None, 404),
        (None, "GET", "/v1/models", 401),
    }
    assert all(one["address"] == "127.0.0.1" and one["bytes"] > 0 for one in logged)
    whole = "\n".join(lines)
    assert not any(secret in whole for secret in (*KEYS.values(), SERVER_KEY, "canary", BODY["messages"][0]["content"]))


def raw(address: str, pair: Pair) -> ssl.SSLSocket:
    port = int(address.rpartition(":")[2])
    return trusting(pair).wrap_socket(socket.create_connection(("127.0.0.1", port), 20), server_hostname="127.0.0.1")


def ends(connection: socket.socket) -> bool:
    """Whether the other side closes; waits for it."""
    try:
        while connection.recv(4096):
            pass
    except ConnectionError:
        pass
    except TimeoutError:
        return False
    return True


@pytest.mark.parametrize("beginning", [b"", b"GET /v1/models HT", b"POST /v1/completions HTTP/1.1\r\nHost: x\r\nX-Slow: "])
def test_connections_that_say_nothing_whole_are_closed(model, pair, monkeypatch, beginning):
    monkeypatch.setattr(servers, "REQUEST_SECONDS", 0.5)
    with published(Settings(model.url, pair=pair), KEYS) as address, raw(address, pair) as slow:
        if beginning:
            slow.sendall(beginning)
        assert ends(slow)


def test_a_header_that_drips_in_on_a_used_connection_is_not_waited_for(model, pair, monkeypatch):
    monkeypatch.setattr(servers, "REQUEST_SECONDS", 0.5)
    with published(Settings(model.url, pair=pair), KEYS) as address, raw(address, pair) as slow:
        slow.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
        assert slow.recv(4096).startswith(b"HTTP/1.1 200")
        slow.sendall(b"GET /health HTTP/1.1\r\n")
        assert ends(slow)


def test_a_body_that_drips_in_is_refused(model, pair, monkeypatch):
    monkeypatch.setattr(guards, "BODY_SECONDS", 0.5)
    with published(Settings(model.url, pair=pair), KEYS) as address, raw(address, pair) as slow:
        head = f"POST /v1/completions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {KEYS['shop']}\r\nContent-Length: 100\r\n\r\n"
        slow.sendall(head.encode() + b"{")
        assert slow.recv(4096).startswith(b"HTTP/1.1 408")
        assert ends(slow)
    assert model.requests == []


def test_old_tls_and_clear_text_are_not_answered(model, pair):
    with published(Settings(model.url, pair=pair), KEYS) as address:
        port = int(address.rpartition(":")[2])
        with socket.create_connection(("127.0.0.1", port), 20) as clear:
            clear.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
            assert b"HTTP/" not in clear.recv(100)


# What must be there before it listens


@pytest.mark.parametrize(
    ("with_pair", "has_keys", "missing"),
    [
        (False, False, r"a certificate and its private key and keys of clients .* are missing"),
        (True, False, r"keys of clients \(a file, or CALMTUNE_PROXY_KEYS in the environment\) is missing"),
        (False, True, r"a certificate and its private key is missing"),
    ],
)
@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.7", "example.org"])
def test_it_does_not_listen_for_other_machines_without_tls_and_keys(pair, host, with_pair, has_keys, missing):
    settings = Settings("http://127.0.0.1:1", host, pair=pair if with_pair else None)
    with pytest.raises(UsageError, match=missing):
        settings.require_safe(has_keys)


def test_with_both_it_does(pair):
    Settings("http://127.0.0.1:1", "0.0.0.0", pair=pair).require_safe(True)
    Settings("http://127.0.0.1:1").require_safe(False)


def test_the_command_refuses_and_says_what_is_missing(tmp_path):
    command = [sys.executable, "-m", "tui.cli", "proxy", "--to", "http://127.0.0.1:1", "--host", "0.0.0.0"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "0.0.0.0 can be reached from other machines, and a certificate and its private key and keys of clients" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_command_serves_with_a_certificate_it_makes(tmp_path, model):
    keys = tmp_path / "keys"
    keys.write_text("# clients\nshop = " + KEYS["shop"] + "\n")
    keys.chmod(0o600)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = str(free.getsockname()[1])
    options = ["--port", port, "--keys", str(keys), "--self-signed", str(tmp_path / "tls")]
    command = [sys.executable, "-m", "tui.cli", "proxy", "--to", model.url, *options]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stderr is not None
            said = process.stderr.readline()
            pair = Pair(tmp_path / "tls" / "certificate.pem", tmp_path / "tls" / "key.pem")
            assert fingerprint(pair.certificate) in said
            assert f"https://127.0.0.1:{port}/v1 passes on" in process.stderr.readline()
            with client(pair) as asking:
                assert asking.get(f"https://127.0.0.1:{port}/v1/models").status_code == 200
        finally:
            process.terminate()


def test_allowed_addresses_without_keys_are_refused():
    with pytest.raises(UsageError, match="allowed addresses go with keys"):
        servers.built(Settings("http://127.0.0.1:1", allowed="127.0.0.1"), {}, None, "", print)


def test_a_watched_proxy_ends_with_the_server_behind_it(pair, monkeypatch):
    monkeypatch.setattr(servers, "WATCH_SECONDS", 0.05)
    addresses: list[str] = []
    behind = ChatServer(str)
    with behind.running():
        settings = Settings(behind.url, port=0, pair=pair)
        serving = threading.Thread(target=servers.serve, args=(settings, {}, KEYS, "", str, addresses.append, True))
        serving.start()
        while not addresses:
            time.sleep(0.01)
        with client(pair) as asking:
            assert asking.get(f"{addresses[0]}/models").status_code == 200
            assert serving.is_alive()
    serving.join(20)
    assert not serving.is_alive()


def test_behind_a_load_balancer_strangers_cannot_hide_health(model, monkeypatch):
    """All have the balancer's address there, its own probes of readiness too."""
    monkeypatch.setattr(guards, "STRANGERS_PER_MINUTE", 0.001)
    monkeypatch.setattr(guards, "STRANGERS_AT_ONCE", 5)
    settings = Settings(model.url, host="0.0.0.0", balanced=True)
    settings.require_safe(has_keys=True)
    with pytest.raises(UsageError, match="keys of clients"):
        settings.require_safe(has_keys=False)
    with pytest.raises(UsageError, match="cannot be kept behind a load balancer"):
        servers.built(Settings(model.url, balanced=True, allowed="10.0.0.0/8"), {}, KEYS, SERVER_KEY, print)
    with published(Settings(model.url, balanced=True), KEYS, SERVER_KEY) as address, httpx.Client(base_url=address) as asking:
        strangers = {asking.get("/v1/models").status_code for _ in range(guards.STRANGERS_AT_ONCE + 1)}
        assert strangers == {401, 429}
        assert {asking.get("/health").status_code for _ in range(20)} == {200}
        assert asking.get("/v1/models", headers={"Authorization": f"Bearer {KEYS['shop']}"}).status_code == 200


def test_the_archive_is_the_proxy_where_nothing_else_of_calmtune_is(model, tmp_path):
    (tmp_path / "proxy.pyz").write_bytes(proxy_archive())
    assert proxy_archive() == proxy_archive()
    port = free_port()
    told = {"to": model.url, "host": "127.0.0.1", "port": port, "balanced": True}
    (tmp_path / "proxy.json").write_text(json.dumps(told))
    environment = {VARIABLE: f"shop={digested(KEYS['shop'])}", SERVER_KEY_VARIABLE: SERVER_KEY, "PATH": "/usr/bin"}
    running = subprocess.Popen(
        [sys.executable, "proxy.pyz", "proxy.json"], cwd=tmp_path, env=environment, stdout=subprocess.PIPE, text=True
    )
    try:
        assert "passes on to" in running.stdout.readline()
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", headers={"Authorization": f"Bearer {KEYS['shop']}"}) as asking:
            assert asking.get("/v1/models").status_code == 200
            assert asking.get("/metrics").status_code == 404
    finally:
        running.terminate()
        running.communicate(timeout=20)
    assert {key for _, key in model.requests} <= {f"Bearer {SERVER_KEY}"}
