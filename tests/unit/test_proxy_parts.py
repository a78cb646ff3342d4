"""The parts of a published server's proxy: certificates, keys, limits, addresses."""

from __future__ import annotations

import contextlib
import stat
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import UsageError
from core.serving.proxy.addresses import counted_as, is_loopback, read_networks
from core.serving.proxy.certificate import Pair, fingerprint, make_self_signed, server_context
from core.serving.proxy.keys import Keys, digested, keys_in_file, read_keys
from core.serving.proxy.limits import MOST_REMEMBERED, AtOnce, Buckets, TooManyError

KEYS = {"shop": "key-of-the-shop-2f9a41c7", "desk": "key-of-the-desk-8d03be55"}


@pytest.fixture(scope="module")
def pair(tmp_path_factory) -> Pair:
    return make_self_signed(tmp_path_factory.mktemp("tls"), ["localhost", "127.0.0.1"])


# Certificates


def test_the_private_key_is_its_owners_alone_and_is_kept(tmp_path):
    made = make_self_signed(tmp_path / "tls", ["models.example.org", "::1"])
    assert stat.S_IMODE(made.key.stat().st_mode) == 0o600
    before = made.key.read_bytes()
    assert make_self_signed(tmp_path / "tls", ["other"]) == made
    assert made.key.read_bytes() == before
    shown = subprocess.run(
        ["openssl", "x509", "-in", str(made.certificate), "-noout", "-fingerprint", "-sha256", "-ext", "subjectAltName"],
        capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    assert fingerprint(made.certificate) in shown
    assert "DNS:models.example.org, IP Address:0:0:0:0:0:0:0:1" in shown
    made.certificate.unlink()
    with pytest.raises(UsageError, match=r"has key.pem alone"):
        make_self_signed(tmp_path / "tls", ["other"])


def test_unfit_certificates_are_sentences(tmp_path, pair):
    other = make_self_signed(tmp_path / "other", ["localhost"])
    with pytest.raises(UsageError, match=r"no certificate and its key .*MISMATCH"):
        server_context(Pair(pair.certificate, other.key))
    with pytest.raises(UsageError, match="there is no file"):
        server_context(Pair(tmp_path / "none.pem", other.key))
    with pytest.raises(UsageError, match="is no certificate in PEM form"):
        server_context(Pair(other.key, other.key))
    other.key.chmod(0o644)
    with pytest.raises(UsageError, match="everybody may read the private key"):
        server_context(other)
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-passout", "pass:secret", "-subj", "/CN=x", "-days", "1",
         "-keyout", str(tmp_path / "locked.pem"), "-out", str(tmp_path / "locked.crt")],
        capture_output=True, check=True,
    )  # fmt: skip
    with pytest.raises(UsageError, match="the private key has a password"):
        server_context(Pair(tmp_path / "locked.crt", tmp_path / "locked.pem"))


# Keys


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "has no keys"),
        ("# only a comment\n", "has no keys"),
        ("justakeywithoutanyname1234", "has an entry that is no name=key"),
        ("shop=short", "the key of shop must have 20 or more"),
        (f"shop={'a b' * 10}", "without blanks"),
        (f"shop={'é' * 30}", "ASCII"),
        (f"shop={KEYS['shop']}\nshop={KEYS['desk']}", "has two keys for shop"),
        (f"shop={KEYS['shop']},desk={KEYS['shop']}", "desk has the key of another client"),
        (f"a shop={KEYS['shop']}", "no name=key"),
    ],
)
def test_keys_that_are_none_are_sentences_without_the_key(text, sentence):
    with pytest.raises(UsageError, match=sentence) as found:
        read_keys(text, "the file")
    assert KEYS["shop"] not in str(found.value)


def test_a_file_that_others_may_read_is_refused(tmp_path):
    path = tmp_path / "keys"
    path.write_text(f"shop={KEYS['shop']}")
    for mode in (0o640, 0o604, 0o644):
        path.chmod(mode)
        with pytest.raises(UsageError, match=r"others may read the keys in .*; chmod 600"):
            keys_in_file(path)
    path.chmod(0o600)
    assert keys_in_file(path) == {"shop": KEYS["shop"]}
    with pytest.raises(UsageError, match="cannot be read: No such file"):
        keys_in_file(Path(tmp_path / "none"))


@given(st.text(), st.text())
def test_nothing_but_a_key_has_an_owner(before, after):
    keys = Keys(KEYS)
    assert keys.owner([f"Bearer {KEYS['shop']}"]) == "shop"
    other = f"{before}{KEYS['shop']}{after}"
    assert keys.owner([f"Bearer {other}"]) == ("shop" if other.strip() == KEYS["shop"] else None)
    assert keys.owner([before]) is None
    assert keys.owner([f"Bearer {KEYS['shop']}", before]) is None


def test_a_digest_stands_for_a_key_and_is_none_itself():
    named = read_keys(f"shop={digested(KEYS['shop'])}, desk={KEYS['desk']}", "the file")
    keys = Keys(named)
    assert [keys.owner([f"Bearer {key}"]) for key in KEYS.values()] == list(KEYS)
    assert keys.owner([f"Bearer {named['shop']}"]) is None
    assert digested(digested(KEYS["shop"])) == digested(KEYS["shop"])
    with pytest.raises(UsageError, match="has the key of another client"):
        read_keys(f"shop={KEYS['shop']}, desk={digested(KEYS['shop'])}", "the file")
    with pytest.raises(UsageError, match="64 hexadecimal digits"):
        read_keys("shop=sha256:0123456789abcdef0123456789", "the file")


# Limits and addresses


@given(st.lists(st.tuples(st.floats(0, 90), st.integers(0, 2)), max_size=200), st.integers(1, 300), st.integers(1, 20))
def test_no_client_ever_gets_more_than_its_rate_and_burst(gaps, per_minute, burst):
    now = 0.0
    buckets = Buckets(per_minute, burst, lambda: now)
    taken: dict[str, list[float]] = {}
    for gap, who in gaps:
        now += gap
        with contextlib.suppress(TooManyError):
            buckets.take(str(who))
            taken.setdefault(str(who), []).append(now)
    for times in taken.values():
        for at, first in enumerate(times):
            for number, last in enumerate(times[at:], 1):
                assert number <= burst + (last - first) * per_minute / 60 + 1e-6


def test_buckets_of_many_clients_take_no_more_than_so_much_memory():
    buckets = Buckets(60, 10)
    for number in range(MOST_REMEMBERED + 100):
        buckets.take(str(number))
    assert len(buckets._buckets) == MOST_REMEMBERED


def test_a_place_is_given_back_whatever_happens():
    at_once = AtOnce(1)

    def fail() -> None:
        with at_once.slot("a"):
            with pytest.raises(TooManyError), at_once.slot("a"):
                pass
            raise ValueError("x")

    with pytest.raises(ValueError, match="x"):
        fail()
    with at_once.slot("a"), at_once.slot("b"):
        pass


def test_addresses_are_read_as_they_are_written():
    networks = read_networks("10.1.0.0/16 192.0.2.7,2001:db8::/32")
    assert [networks.admits(one) for one in ("10.1.9.9", "192.0.2.7", "2001:db8::5", "::ffff:10.1.9.9")] == [True] * 4
    assert [networks.admits(one) for one in ("10.2.0.1", "192.0.2.8", "::1", None, "", "nonsense")] == [False] * 6
    assert read_networks("").admits(None)
    for wrong in ("10.1.0.1/16", "example.org", "300.1.1.1"):
        with pytest.raises(UsageError, match="is no address or network"):
            read_networks(wrong)
    assert counted_as("2001:db8::5") == counted_as("2001:db8::9") != counted_as("2001:db8:0:1::5")
    assert counted_as("::ffff:10.1.9.9") == "10.1.9.9"
    assert [is_loopback(one) for one in ("127.0.0.1", "127.9.9.9", "localhost", "::1")] == [True] * 4
    assert [is_loopback(one) for one in ("0.0.0.0", "::", "10.0.0.1", "example.org", "")] == [False] * 5
