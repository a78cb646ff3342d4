"""A look at a published server from outside: what is open, and whether all else is closed.

Nothing is computed: requests to open addresses are incomplete on purpose. Targets are sent as they are written here, byte for byte.
"""

from __future__ import annotations

import json
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from core.errors import ProviderError, UsageError
from core.serving.proxy import tls_probe
from core.serving.proxy.addresses import is_loopback
from core.serving.proxy.forwarding import OPEN

State = Literal["pass", "fail", "not tried"]
SECONDS = 15.0
DANGEROUS = (
    "/tokenize", "/detokenize", "/metrics", "/version", "/ping", "/load", "/server_info", "/docs", "/redoc", "/openapi.json",
    "/v1/load_lora_adapter", "/v1/unload_lora_adapter", "/v1/embeddings", "/v1/responses", "/v1/messages", "/v1/score", "/v1/rerank",
    "/v1/audio/transcriptions", "/pooling", "/classify", "/score", "/rerank", "/invocations", "/inference/v1/generate",
    "/tokenizer_info", "/get_world_size", "/weight_info", "/weight_checker", "/kv_event_sources", "/fault_tolerance/status", "/sleep",
    "/wake_up", "/is_sleeping", "/pause", "/resume", "/is_paused", "/abort_requests", "/collective_rpc", "/reset_prefix_cache",
    "/reset_mm_cache", "/reset_encoder_cache", "/release_kv_cache_memory", "/scale_elastic_ep", "/is_scaling_elastic_ep",
    "/init_weight_transfer_engine", "/update_weights", "/start_weight_update", "/finish_weight_update", "/update_weight_version",
    "/shutdown_weight_transfer_engine", "/start_profile", "/stop_profile", "/v1/chat/completions/batch", "/v1/messages/count_tokens",
    "/generative_scoring", "/v1/systemone",
)  # fmt: skip
"""What vLLM has besides: runs without a key (all outside /v1), changes the server, computes for anybody, or tells of it (`make test-vllm`
compares with a real one). https://docs.vllm.ai/en/stable/usage/security/"""
BALANCERS = ("/docs", "/redoc", "/openapi.json")
"""Answered by SkyServe's load balancer itself (sky/serve/load_balancer.py of SkyPilot 0.14)."""
TRICKS = (
    "//metrics", "/./metrics", "/v1/../metrics", "/v1/%2e%2e/metrics", "/v1/%2E%2E/metrics", "/v1/..%2fmetrics", "/health/../metrics",
    "/health/..;/metrics", "/metrics/", "/metrics;x", "/metrics?x", "/%6detrics", "/health%00/../metrics", "/v1/models/../../metrics",
    "/v1/models/..%2f..%2fmetrics", "http://localhost/metrics",
)  # fmt: skip
"""Other spellings of an address that must stay closed."""
IN_THE_CLEAR = "keys and prompts travel in the clear: this is http, not https"
METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "HEAD", "TRACE")
SOCKET = "/v1/realtime"
_UPGRADE = {
    "Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==",
}  # fmt: skip
_DROPPED = 0
"""In the place of a status: the connection ended without an answer."""
_CLOSED = frozenset({_DROPPED, 401, 403, 404, 405, 501})
"""Answers that mean no. A 400 is none: it comes from whoever has read the request."""


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at."""

    state: State
    sentence: str


@dataclass(frozen=True)
class _Reply:
    status: int
    headers: dict[str, str]
    body: bytes


class Probe:
    """Looks at one server. All methods block."""

    def __init__(
        self, url: str, key: str = "", certificate: Path | None = None, source: str = "", balanced: bool = False
    ) -> None:
        """`key` of a client; `certificate` in PEM is trusted where the system's authorities do not vouch for the server's;
        `source` is an address of this machine to ask from; `balanced` for a server behind SkyServe's load balancer. Raises UsageError for
        what is no URL."""
        parts = urlsplit(url)
        try:
            self._port = parts.port or (443 if parts.scheme == "https" else 80)
        except ValueError:
            self._port = 0
        if parts.scheme not in ("http", "https") or not parts.hostname or not self._port:
            raise UsageError(f"{url!r} is no address of a server; give one such as https://models.example.org:8443")
        self._host, self._encrypted, self._certificate = parts.hostname, parts.scheme == "https", certificate
        self._key, self._source, self._balanced = key, (source, 0) if source else None, balanced
        self._context = ssl.create_default_context()
        self._trusted = False

    def look(self) -> Iterator[Finding]:
        """All findings, as they are made. Raises ProviderError when the server cannot be reached."""
        self._trusted = not self._encrypted and is_loopback(self._host)
        yield from self._encryption()
        yield from self._without_key()
        if not self._key:
            yield Finding("not tried", "what is open to a client with a key, as none was given")
        elif not self._trusted:
            where = "to a server whose certificate is not trusted here" if self._encrypted else "in the clear"
            yield Finding("not tried", f"what is open to a client with a key: it is not sent {where}")
        else:
            yield from self._with_key()

    def _encryption(self) -> Iterator[Finding]:
        if not self._encrypted:
            self._ask("GET", "/health")
            yield Finding("fail", IN_THE_CLEAR)
            return
        try:
            seen = tls_probe.look(self._host, self._port, self._certificate, self._source)
        except OSError as error:
            raise ProviderError(f"{self._host}, port {self._port} cannot be reached: {error}") from error
        self._trusted, self._context = seen.trusted, seen.context
        yield Finding("pass" if seen.days > 0 else "fail", seen.certificate_sentence)
        for version, spoken in seen.versions.items():
            if spoken is None:
                yield Finding("not tried", f"{version}, which this machine's OpenSSL cannot speak")
            elif version in tls_probe.GOOD:
                yield Finding("pass", f"{version} is {'spoken' if spoken else 'not spoken'}")
            else:
                yield Finding("fail" if spoken else "pass", f"{version} is {'spoken, and broken' if spoken else 'refused'}")
        clear = tls_probe.answers_in_clear(self._host, self._port, self._source)
        yield Finding("fail" if clear else "pass", f"requests without TLS are {'answered' if clear else 'not answered'}")

    def _without_key(self) -> Iterator[Finding]:
        health = self._ask("GET", "/health")
        if health.status == 429:
            raise ProviderError("the server has answered 429, too many requests; look again in a minute")
        said = f"/health answers {health.status} without a key"
        if health.status == 200 and health.body.strip() not in (b"", b"{}"):
            yield Finding("fail", f"{said} and tells more than that the server lives")
        else:
            yield Finding("pass", f"{said} and tells no more")
        for kind, headers in (("without a key", {}), ("with a wrong key", {"Authorization": f"Bearer {'wrong' * 8}"})):
            for path, method in OPEN.items():
                if path != "/health":
                    yield self._closed(method, path, headers, kind, (401, 403))
        yield from self._rest({}, "without a key")
        yield self._no_websocket({})
        yield self._no_other_origins()

    def _with_key(self) -> Iterator[Finding]:
        headers = {"Authorization": f"Bearer {self._key}"}
        for path, method in OPEN.items():
            status = self._ask(method, path, headers).status
            if status in (_DROPPED, 401, 403, 405, 502, 503, 504):
                yield Finding("fail", f"{path} answers {status} to {method} with the key, and should be open")
            elif status in (404, 429):
                why = "the server has none" if status == 404 else "the server answers 429, too many requests"
                yield Finding("not tried", f"{path} with the key: {why}")
            else:
                yield Finding("pass", f"{path} is open to {method} with the key")
        for path, right in OPEN.items():
            yield self._summed([(method, path) for method in METHODS if method != right], headers, f"{path} by other methods than {right}")
        yield from self._rest(headers, "with the key")
        yield self._no_websocket(headers)

    def _rest(self, headers: dict[str, str], kind: str) -> Iterator[Finding]:
        """Addresses that must be closed to everybody."""
        if self._balanced:
            yield self._balancers_own(headers, kind)
        for path in [path for path in DANGEROUS if not (self._balanced and path in BALANCERS)]:
            yield self._summed([("GET", path), ("POST", path)], headers, f"{path} {kind}")
        yield self._summed([("GET", target) for target in TRICKS], headers, f"other spellings of /metrics {kind}", malformed=True)
        if self._balanced:
            yield Finding("not tried", f"other spellings of the open addresses {kind}: the balancer writes addresses anew")
            return
        around = [(method, spelling) for path, method in OPEN.items() for spelling in (f"/{path}", f"{path}/", f"{path};x", f"/.{path}")]
        yield self._summed(around, headers, f"other spellings of the open addresses {kind}", malformed=True)

    def _balancers_own(self, headers: dict[str, str], kind: str) -> Finding:
        """SkyServe's balancer shows pages about itself, which must not be the model server's."""
        what = f"{', '.join(BALANCERS)} {kind}"
        reply = self._ask("GET", "/openapi.json", headers)
        try:
            told = json.loads(reply.body) if reply.status == 200 else {}
            known = set(told.get("paths", {})) - {"/{path}"}
        except (ValueError, AttributeError, TypeError):
            known = {"what is no description"}
        if known:
            return Finding("fail", f"open: {what} (it tells of {', '.join(sorted(known)[:3])})")
        return Finding("pass", f"{what} tell of SkyServe's balancer and nothing behind it")

    def _summed(self, asked: list[tuple[str, str]], headers: dict[str, str], what: str, malformed: bool = False) -> Finding:
        """One finding for requests all of which must be refused; `malformed` ones may be refused as such (400)."""
        closed = _CLOSED | {400} if malformed else _CLOSED
        if malformed and self._balanced:
            closed |= {500}  # what SkyServe's balancer answers itself to a path that begins with two slashes
        statuses = [(method, path, self._ask(method, path, headers).status) for method, path in asked]
        open_ = [(method, path, status) for method, path, status in statuses if status not in closed]
        if any(status == 429 for *_, status in open_):
            return Finding("not tried", f"{what}: the server answers 429, too many requests")
        if open_:
            method, path, status = open_[0]
            return Finding("fail", f"open: {what} ({method} {path} answers {status})")
        return Finding("pass", f"closed: {what}")

    def _closed(self, method: str, path: str, headers: dict[str, str], kind: str, refusals: tuple[int, ...]) -> Finding:
        status = self._ask(method, path, headers).status
        if status == 429:
            return Finding("not tried", f"{path} {kind}: the server answers 429, too many requests")
        return Finding("pass" if status in refusals else "fail", f"{path} answers {status} {kind}")

    def _no_websocket(self, headers: dict[str, str]) -> Finding:
        status = self._ask("GET", SOCKET, {**headers, **_UPGRADE}).status
        opens = status == 101 or status not in _CLOSED
        return Finding("fail" if opens else "pass", f"{'open' if opens else 'closed'}: websockets at {SOCKET} ({status})")

    def _no_other_origins(self) -> Finding:
        asked = {"Origin": "https://elsewhere.example", "Access-Control-Request-Method": "POST"}
        reply = self._ask("OPTIONS", "/v1/chat/completions", asked)
        allowed = reply.headers.get("access-control-allow-origin")
        return Finding(
            "fail" if allowed else "pass", f"pages of other sites {'may' if allowed else 'may not'} ask from a browser (CORS)"
        )

    def _ask(self, method: str, target: str, headers: dict[str, str] | None = None) -> _Reply:
        """Raises ProviderError when there is no answer."""
        connection = (
            HTTPSConnection(self._host, self._port, timeout=SECONDS, source_address=self._source, context=self._context)
            if self._encrypted
            else HTTPConnection(self._host, self._port, timeout=SECONDS, source_address=self._source)
        )
        body = json.dumps({}).encode() if method in ("POST", "PUT", "PATCH") else None
        sent = {"Content-Type": "application/json", **(headers or {})} if body else headers or {}
        try:
            connection.request(method, target, body, sent)
            answer = connection.getresponse()
            told = {name.lower(): value for name, value in answer.getheaders()}
            return _Reply(answer.status, told, answer.read(4096) if answer.status != 101 else b"")
        except (ConnectionResetError, BrokenPipeError, HTTPException):
            return _Reply(_DROPPED, {}, b"")
        except OSError as error:
            raise ProviderError(f"{self._host}, port {self._port} does not answer: {error}") from error
        finally:
            connection.close()
