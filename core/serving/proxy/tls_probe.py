"""Which TLS a server speaks, with which certificate."""

from __future__ import annotations

import contextlib
import socket
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from core.errors import UsageError
from core.serving.proxy.certificate import days_left, fingerprint_of

GOOD = ("TLS 1.2", "TLS 1.3")
_VERSIONS: Mapping[str, ssl.TLSVersion] = {
    "TLS 1.0": ssl.TLSVersion.TLSv1,
    "TLS 1.1": ssl.TLSVersion.TLSv1_1,
    "TLS 1.2": ssl.TLSVersion.TLSv1_2,
    "TLS 1.3": ssl.TLSVersion.TLSv1_3,
}
_SECONDS = 10.0
Source = tuple[str, int] | None


@dataclass(frozen=True)
class Seen:
    """What a server showed."""

    versions: Mapping[str, bool | None]
    """Whether each is spoken; None where it could not be tried."""
    fingerprint: str
    days: float
    """Until its certificate ends."""
    trusted: bool
    """By the system's authorities or by the certificate that was given."""
    context: ssl.SSLContext
    """For requests: strict where the certificate is trusted."""

    @property
    def certificate_sentence(self) -> str:
        by = "trusted here" if self.trusted else "not trusted here, so compare its fingerprint"
        until = f"good for {self.days:.0f} days" if self.days > 0 else f"over for {-self.days:.0f} days"
        return f"the certificate is {until} and {by}: SHA-256 {self.fingerprint}"


def look(host: str, port: int, certificate: Path | None, source: Source = None) -> Seen:
    """Shake hands in every version. Raises OSError when the server cannot be reached or speaks no TLS, UsageError for a bad certificate."""
    blind = _blind()
    with socket.create_connection((host, port), _SECONDS, source) as raw, blind.wrap_socket(raw, server_hostname=host) as spoken:
        der = spoken.getpeercert(binary_form=True) or b""
    context = _strict(certificate)
    trusted = _shakes(host, port, context, source) is True
    versions = {name: _shakes(host, port, _only(version), source) for name, version in _VERSIONS.items()}
    return Seen(versions, fingerprint_of(der), days_left(der), trusted, context if trusted else blind)


def answers_in_clear(host: str, port: int, source: Source = None) -> bool:
    """Whether a request without TLS gets an answer of HTTP."""
    with contextlib.suppress(OSError), socket.create_connection((host, port), _SECONDS, source) as raw:
        raw.sendall(f"GET /health HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
        return raw.recv(5) == b"HTTP/"
    return False


def _strict(certificate: Path | None) -> ssl.SSLContext:
    if certificate is None:
        return ssl.create_default_context()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False  # who has the key of this very certificate is who is meant
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    try:
        context.load_verify_locations(certificate)
    except OSError as error:
        raise UsageError(f"{certificate} is no certificate in PEM form ({error})") from error
    return context


def _blind() -> ssl.SSLContext:
    """For a look at who is there; nothing secret is sent through it."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def _only(version: ssl.TLSVersion) -> ssl.SSLContext | None:
    """Speaks one version; None where this machine's OpenSSL has it not."""
    context = _blind()
    try:
        context.set_ciphers("ALL:@SECLEVEL=0")  # else old versions fail here already
        context.minimum_version = context.maximum_version = version
    except (ValueError, ssl.SSLError):
        return None
    return context


def _shakes(host: str, port: int, context: ssl.SSLContext | None, source: Source) -> bool | None:
    if context is None:
        return None
    try:
        with socket.create_connection((host, port), _SECONDS, source) as raw, context.wrap_socket(raw, server_hostname=host):
            return True
    except (ssl.SSLError, ConnectionError):
        return False
