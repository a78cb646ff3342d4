"""Ways to hosts, as the SSH configuration gives them."""

from __future__ import annotations

from pathlib import Path

import pytest

from core.errors import UsageError
from provisioning.ssh_hosts import known_aliases, route


@pytest.fixture
def config(tmp_path):
    def write(text: str) -> Path:
        path = tmp_path / "config"
        path.write_text(text)
        return path

    return write


def test_a_host_has_its_settings_and_only_keys_that_exist(config, tmp_path):
    (tmp_path / "key").write_text("x")
    path = config(
        f"Host gpu\n HostName 10.0.0.7\n Port 2200\n User ana\n IdentityFile {tmp_path}/missing\n IdentityFile {tmp_path}/key\n"
        f" IdentitiesOnly yes\n UserKnownHostsFile {tmp_path}/known\n GlobalKnownHostsFile none\n"
    )
    (hop,) = route("gpu", path)
    assert (hop.hostname, hop.port, hop.user) == ("10.0.0.7", 2200, "ana")
    assert hop.identities == (tmp_path / "key",)
    assert hop.identities_only
    assert hop.known_hosts == (tmp_path / "known",)
    assert hop.key_name == "[10.0.0.7]:2200"


def test_user_and_port_may_be_written_out(config):
    (hop,) = route("ana@gpu.example:2022", config(""))
    assert (hop.hostname, hop.port, hop.user) == ("gpu.example", 2022, "ana")


def test_included_files_and_aliases_of_host_keys_count(config, tmp_path):
    (tmp_path / "more").write_text("Host gpu\n HostName 10.0.0.7\n Port 2200\n HostKeyAlias gpus\n")
    (hop,) = route("gpu", config(f"Include {tmp_path}/more\n"))
    assert hop.hostname == "10.0.0.7"
    assert hop.key_name == "gpus"


def test_jump_hosts_come_in_their_order_and_the_first_by_its_own(config):
    path = config(
        "Host gpu\n HostName 10.0.0.7\n ProxyJump ana@first:2201,second\n"
        "Host first\n HostName 10.0.0.1\n ProxyJump gate\nHost second\n HostName 10.0.0.2\n ProxyJump elsewhere\n"
        "Host gate\n HostName 10.0.0.3\n"
    )
    hops = route("gpu", path)
    assert [(hop.hostname, hop.port) for hop in hops] == [
        ("10.0.0.3", 22),
        ("10.0.0.1", 2201),
        ("10.0.0.2", 22),
        ("10.0.0.7", 22),
    ]
    assert hops[1].user == "ana"


def test_a_proxy_command_gets_its_tokens(config):
    (hop,) = route("gpu", config("Host gpu\n HostName 10.0.0.7\n Port 2200\n User ana\n ProxyCommand hop %n %r@%h:%p 100%%\n"))
    assert hop.command == "hop gpu ana@10.0.0.7:2200 100%"


@pytest.mark.parametrize(
    ("text", "name", "words"),
    [
        ("Host a\n ProxyJump b\nHost b\n ProxyJump a\n", "a", "in a circle: a → b → a"),
        ("Host a\n Port never\n", "a", "cannot be read"),
        ("", "-oProxyCommand=id", "names no SSH host"),
        ("", "a b", "names no SSH host"),
        ("", "", "names no SSH host"),
    ],
)
def test_what_cannot_be_followed_is_a_sentence(config, text, name, words):
    with pytest.raises(UsageError, match=words):
        route(name, config(text))


def test_hosts_to_choose_from_are_those_with_a_name(config, tmp_path):
    assert known_aliases(config("Host gpu big-gpu\n User a\nHost *.example !x\n Port 1\n")) == ["big-gpu", "gpu"]
    assert known_aliases(tmp_path / "none") == []
