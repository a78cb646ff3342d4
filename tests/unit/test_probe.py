"""The look from outside: it finds every hole of a server that is wide open, and none in a published one."""

from __future__ import annotations

import json
import os
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest

from core.errors import ProviderError, UsageError
from core.serving.proxy.certificate import Pair, make_self_signed
from core.serving.proxy.probe import DANGEROUS, Finding, Probe
from core.serving.proxy.server import Settings
from tests.rigs.chat_server import ChatServer
from tests.rigs.open_server import wide_open
from tests.rigs.proxied import published

KEYS = {"shop": "key-of-the-shop-2f9a41c7"}


@pytest.fixture(scope="module")
def pair(tmp_path_factory) -> Pair:
    return make_self_signed(tmp_path_factory.mktemp("tls"), ["localhost", "127.0.0.1"])


@pytest.fixture
def model() -> Iterator[ChatServer]:
    with ChatServer(str).running() as server:
        yield server


def failed(findings: list[Finding]) -> list[str]:
    return [finding.sentence for finding in findings if finding.state == "fail"]


def test_a_published_server_has_only_the_four_addresses_open(model, pair):
    with published(Settings(model.url, pair=pair, requests_per_minute=30), KEYS, "key-of-the-server-0000") as address:
        findings = list(Probe(address, KEYS["shop"], pair.certificate).look())
    assert failed(findings) == []
    assert [finding.sentence for finding in findings if finding.state == "not tried"] == []
    said = {finding.sentence for finding in findings}
    assert {
        "TLS 1.1 is refused", "TLS 1.3 is spoken", "requests without TLS are not answered",
        "/health answers 200 without a key and tells no more", "/v1/models answers 401 with a wrong key",
        "/v1/chat/completions is open to POST with the key", "closed: /metrics without a key", "closed: /metrics with the key",
        "closed: websockets at /v1/realtime (401)", "pages of other sites may not ask from a browser (CORS)",
    } <= said  # fmt: skip


def test_a_server_that_is_wide_open_has_every_hole_named():
    paths = {path: "GET" if number % 2 else "POST" for number, path in enumerate(DANGEROUS)}
    with wide_open(paths) as address:
        findings = list(Probe(address).look())
    said = failed(findings)
    for path, method in paths.items():
        status = 200 if method == "GET" else 400
        assert f"open: {path} without a key ({method} {path} answers {status})" in said
    assert "keys and prompts travel in the clear: this is http, not https" in said
    assert "/health answers 200 without a key and tells more than that the server lives" in said
    assert "/v1/models answers 200 without a key" in said
    assert "/v1/chat/completions answers 400 with a wrong key" in said
    assert "open: websockets at /v1/realtime (101)" in said
    assert "pages of other sites may ask from a browser (CORS)" in said
    assert any(sentence.startswith("open: other spellings of /metrics without a key") for sentence in said)
    assert "what is open to a client with a key, as none was given" in [one.sentence for one in findings if one.state == "not tried"]


@pytest.mark.parametrize("path", DANGEROUS)
def test_a_single_hole_is_found(path):
    with wide_open({path: "POST"}, "key-of-the-server-0000") as address:
        said = failed(list(Probe(address, "key-of-the-server-0000").look()))
    assert any(f"open: {path} with" in sentence for sentence in said)
    assert not any(f"open: {other} " in sentence for other in DANGEROUS if other != path for sentence in said)


def test_old_tls_is_found(tmp_path, pair):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.minimum_version, context.maximum_version = ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(pair.certificate, pair.key)
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            while True:
                try:
                    raw, _ = listening.accept()
                except OSError:
                    return
                try:
                    with context.wrap_socket(raw, server_side=True) as client:
                        client.recv(4096)
                        client.sendall(b"HTTP/1.1 401 No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
                except OSError:
                    raw.close()

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        found = list(Probe(f"https://127.0.0.1:{listening.getsockname()[1]}", certificate=pair.certificate).look())
        listening.shutdown(socket.SHUT_RDWR)
        thread.join()
    assert {"TLS 1.0 is spoken, and broken", "TLS 1.1 is spoken, and broken"} <= set(failed(found))
    assert Finding("pass", "TLS 1.3 is not spoken") in found


def test_the_key_is_not_sent_to_a_server_that_is_not_the_one(model, pair, tmp_path):
    other = make_self_signed(tmp_path / "other", ["127.0.0.1"])
    lines: list[str] = []
    with published(Settings(model.url, pair=pair), KEYS, say=lines.append) as address:
        for certificate in (None, other.certificate):
            findings = list(Probe(address, KEYS["shop"], certificate).look())
            assert any("it is not sent to a server whose certificate is not trusted" in one.sentence for one in findings)
            assert any("not trusted here, so compare its fingerprint" in one.sentence for one in findings)
    assert {json.loads(line)["client"] for line in lines} == {None}


def test_an_address_that_is_not_let_in_finds_all_closed(model, pair):
    with published(Settings(model.url, pair=pair, allowed="127.0.0.3"), KEYS) as address:
        outside = list(Probe(address, KEYS["shop"], pair.certificate, "127.0.0.2").look())
        inside = list(Probe(address, KEYS["shop"], pair.certificate, "127.0.0.3").look())
    assert "/v1/models answers 403 to GET with the key, and should be open" in failed(outside)
    assert failed(inside) == []


def test_what_is_no_server_is_a_sentence():
    with pytest.raises(UsageError, match="is no address of a server"):
        Probe("models.example.org")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    for scheme in ("http", "https"):
        with pytest.raises(ProviderError, match=f"127.0.0.1, port {port}"):
            list(Probe(f"{scheme}://127.0.0.1:{port}").look())


def calmtune(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tui.cli", "probe", *arguments]
    return subprocess.run(command, capture_output=True, text=True, env={**os.environ, **variables}, check=False)


def test_the_command_prints_findings_and_ends_with_five_when_one_fails(model, pair):
    with published(Settings(model.url, pair=pair), KEYS) as address:
        good = calmtune(address, "--certificate", str(pair.certificate), CALMTUNE_PROBE_KEY=KEYS["shop"])
    assert good.returncode == 0, good.stdout + good.stderr
    assert "PASS       TLS 1.3 is spoken\n" in good.stdout
    with wide_open({"/metrics": "GET"}) as address:
        bad = calmtune(address, "--json")
    assert bad.returncode == 5
    assert {"state": "fail", "sentence": "open: /metrics without a key (GET /metrics answers 200)"} in json.loads(bad.stdout)
    assert "Traceback" not in bad.stderr
    assert calmtune("https://127.0.0.1:1").returncode == 3
