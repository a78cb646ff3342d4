"""TLS of a published server: a certificate the owner has, or one made here that signs itself."""

from __future__ import annotations

import datetime
import hashlib
import ipaddress
import os
import ssl
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from core.errors import UsageError

if TYPE_CHECKING:
    from cryptography.x509 import GeneralName

DAYS = 365
_CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20"
"""For TLS 1.2; those of 1.3 are all good."""


@dataclass(frozen=True)
class Pair:
    """A certificate and its private key, in PEM files."""

    certificate: Path
    key: Path


def server_context(pair: Pair) -> ssl.SSLContext:
    """What a server needs to speak TLS 1.2 and 1.3. Raises UsageError when a file is missing, unfit or open to others."""
    for path in (pair.certificate, pair.key):
        if not path.is_file():
            raise UsageError(f"there is no file {path}")
    if pair.key.stat().st_mode & stat.S_IRWXO:
        raise UsageError(f"everybody may read the private key {pair.key}; chmod 600 {pair.key}")
    _require_valid(pair.certificate)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(_CIPHERS)
    try:
        context.load_cert_chain(pair.certificate, pair.key, _no_password)
    except (ssl.SSLError, OSError) as error:
        reason = getattr(error, "reason", None) or error
        raise UsageError(
            f"{pair.certificate} and {pair.key} are no certificate and its key in PEM form ({reason})"
        ) from error
    return context


def fingerprint(certificate: Path) -> str:
    """SHA-256 of a PEM file's first certificate, as `openssl x509 -fingerprint -sha256` writes it. Raises UsageError."""
    return fingerprint_of(_der(certificate))


def fingerprint_of(der: bytes) -> str:
    """The same of a certificate as it travels."""
    return hashlib.sha256(der).digest().hex(":").upper()


def make_self_signed(folder: Path, names: Sequence[str]) -> Pair:
    """certificate.pem and key.pem in `folder`, made when they are not there; `names` are host names and addresses clients use.

    The key is for its owner's eyes only (mode 0600). Raises UsageError when only one of them is there.
    """
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    pair = Pair(folder / "certificate.pem", folder / "key.pem")
    there = [path for path in (pair.certificate, pair.key) if path.exists()]
    if len(there) == 2:
        return pair
    if there:
        raise UsageError(f"{folder} has {there[0].name} alone; remove it, or bring the other one back")
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "calmtune")])
    now = datetime.datetime.now(datetime.UTC)
    alternatives = x509.SubjectAlternativeName([_general_name(one) for one in names])
    identifier = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))  # clocks differ
        .not_valid_after(now + datetime.timedelta(days=DAYS))
        .add_extension(alternatives, critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(identifier, critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier), critical=False)
        .sign(key, hashes.SHA256())
    )
    folder.mkdir(parents=True, exist_ok=True)
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    with os.fdopen(os.open(pair.key, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(secret)
    pair.certificate.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    return pair


def names_of(certificate: Path) -> list[str]:
    """Host names and addresses a PEM file's first certificate is for. Raises UsageError."""
    from cryptography import x509

    try:
        found = x509.load_der_x509_certificate(_der(certificate)).extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return []
    return [*found.get_values_for_type(x509.DNSName), *map(str, found.get_values_for_type(x509.IPAddress))]


def days_left(der: bytes) -> float:
    """Until a certificate ends; negative once it has."""
    from cryptography import x509

    end = x509.load_der_x509_certificate(der).not_valid_after_utc
    return (end - datetime.datetime.now(datetime.UTC)) / datetime.timedelta(days=1)


def _require_valid(certificate: Path) -> None:
    if (left := days_left(_der(certificate))) < 0:
        raise UsageError(f"the certificate {certificate} ended {-left:.0f} days ago; renew it")


def _der(certificate: Path) -> bytes:
    try:
        text = certificate.read_text(encoding="ascii")
        start = text.index("-----BEGIN CERTIFICATE-----")
        return ssl.PEM_cert_to_DER_cert(text[start : text.index("-----END", start)] + "-----END CERTIFICATE-----\n")
    except (OSError, ValueError) as error:
        raise UsageError(f"{certificate} is no certificate in PEM form") from error


def _general_name(name: str) -> GeneralName:
    from cryptography import x509

    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _no_password() -> str:
    raise UsageError("the private key has a password; give one without, which only its owner may read (mode 0600)")
