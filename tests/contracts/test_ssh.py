"""What is special about machines reached over SSH: who they are, who is let in, links that are cut, disks that are full."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import threading
import urllib.request

import psutil
import pytest

from core.errors import ProviderError, StepFailed, UsageError
from provisioning import ssh_files, ssh_link, tunnel
from provisioning.job import Job
from provisioning.local import wait
from provisioning.machine import free_port
from provisioning.ssh import SshTarget
from provisioning.ssh_keys import UntrustedError
from tests.contracts.places import ssh_place
from tests.rigs.sshd import make_key, running_sshd


@pytest.fixture(scope="module")
def shared_server(tmp_path_factory):
    with running_sshd(tmp_path_factory.mktemp("sshd")) as running:
        yield running


@pytest.fixture
def server(shared_server):
    shared_server.trust()
    return shared_server


@pytest.fixture
def connect(tmp_path):
    made = []

    def make(text: str, name: str = "box", patience: float = 5, **options) -> SshTarget:
        config = tmp_path / "config"
        config.write_text(text)
        made.append(SshTarget(name, root=str(tmp_path / "there"), config=config, patience=patience, **options))
        return made[-1]

    yield make
    for target in made:
        target.close()


def fingerprint_by_openssh(path) -> str:
    done = subprocess.run(["ssh-keygen", "-lf", str(path)], capture_output=True, text=True, check=True)
    return done.stdout.split()[1]


# Who the machine is


def test_an_unknown_machine_is_refused_with_its_fingerprint_and_not_remembered(server, connect):
    (server.folder / "known_hosts").unlink()
    with pytest.raises(UntrustedError) as refusal:
        connect(server.config()).list()
    assert fingerprint_by_openssh(server.folder / "host_key.pub") in str(refusal.value)
    assert not (server.folder / "known_hosts").exists()


def test_an_unknown_machine_is_remembered_when_the_person_says_so(server, connect):
    (server.folder / "known_hosts").unlink()
    asked = []
    connect(server.config(), trust=lambda stranger: asked.append(stranger) or True).list()
    assert [one.fingerprint for one in asked] == [fingerprint_by_openssh(server.folder / "host_key.pub")]
    connect(server.config()).list()
    by_openssh = ["ssh", "-F", str(connect_config(server)), "-o", "StrictHostKeyChecking=yes", "box", "true"]
    assert subprocess.run(by_openssh, check=False).returncode == 0


def test_a_proxy_command_is_the_way_and_ends_with_the_connection(server, connect, tmp_path):
    program = tmp_path / "way.py"
    program.write_text(PROXY)
    command = f"{sys.executable} {program} {tmp_path / 'pid'} %h %p"
    target = connect(server.config(extra=f"  ProxyCommand {command}\n"))
    assert target.list() == []
    pid = int((tmp_path / "pid").read_text())
    assert psutil.pid_exists(pid)
    target.close()
    assert not psutil.pid_exists(pid)


def test_a_proxy_command_that_ends_at_once_is_a_sentence(server, connect):
    with pytest.raises(ProviderError, match="does not answer as an SSH server"):
        connect(server.config(extra="  ProxyCommand false\n")).list()


PROXY = """
import os, socket, sys, threading
open(sys.argv[1], "w").write(str(os.getpid()))
link = socket.create_connection((sys.argv[2], int(sys.argv[3])))
def back():
    while data := link.recv(65536):
        os.write(1, data)
    os._exit(0)
threading.Thread(target=back, daemon=True).start()
while data := os.read(0, 65536):
    link.sendall(data)
"""


def connect_config(server):
    path = server.folder / "client"
    path.write_text(server.config())
    return path


def test_saying_no_is_not_remembered(server, connect):
    (server.folder / "known_hosts").unlink()
    with pytest.raises(UntrustedError):
        connect(server.config(), trust=lambda stranger: False).list()
    assert not (server.folder / "known_hosts").exists()


def test_a_changed_key_is_refused_without_asking(tmp_path, connect):
    with running_sshd(tmp_path / "other") as server:
        server.trust()
        connect(server.config()).list()
        server.change_host_key()
        with pytest.raises(UntrustedError, match="CHANGED"):
            connect(server.config(), trust=lambda stranger: pytest.fail("asked")).list()


def test_a_key_of_another_type_than_the_known_one_counts_as_changed(server, connect, tmp_path):
    subprocess.run(["ssh-keygen", "-q", "-t", "rsa", "-N", "", "-f", str(tmp_path / "rsa")], check=True)
    server.trust(tmp_path / "rsa")
    with pytest.raises(UntrustedError, match="CHANGED"):
        connect(server.config(), trust=lambda stranger: pytest.fail("asked")).list()


def test_a_revoked_key_is_refused(server, connect):
    known = server.folder / "known_hosts"
    words = (server.folder / "host_key.pub").read_text().split()
    known.write_text(known.read_text() + f"@revoked * {words[0]} {words[1]}\n")
    with pytest.raises(UntrustedError, match="revoked"):
        connect(server.config()).list()


def test_names_hidden_by_hashes_are_known(server, connect):
    subprocess.run(["ssh-keygen", "-q", "-H", "-f", str(server.folder / "known_hosts")], check=True)
    assert "127.0.0.1" not in (server.folder / "known_hosts").read_text()
    assert connect(server.config()).list() == []


def test_a_damaged_file_of_known_hosts_is_a_sentence(server, connect):
    (server.folder / "known_hosts").write_text("box ssh-ed25519 @@@@\n")
    with pytest.raises(UsageError, match="known_hosts"):
        connect(server.config()).list()


# Who is let in


def test_a_wrong_key_is_a_sentence(server, connect, tmp_path):
    make_key(tmp_path / "wrong")
    with pytest.raises(UsageError, match="none of the keys"):
        connect(server.config().replace("user_key", "no_key")).list()
    with pytest.raises(UsageError, match="none of the keys"):
        connect(server.config().replace(str(server.user_key), str(tmp_path / "wrong"))).list()


def test_a_key_with_a_passphrase_is_asked_of_the_agent(server, connect, tmp_path, monkeypatch):
    key = make_key(tmp_path / "locked", passphrase="opensesame")
    with (server.folder / "authorized_keys").open("a") as file:
        file.write(key.with_suffix(".pub").read_text())
    text = server.config().replace(str(server.user_key), str(key))
    with pytest.raises(UsageError, match="ssh-add"):
        connect(text).list()
    with agent(tmp_path) as socket:
        monkeypatch.setenv("SSH_AUTH_SOCK", socket)
        helper = tmp_path / "askpass"
        helper.write_text("#!/bin/sh\necho opensesame\n")
        helper.chmod(0o700)
        environment = {**os.environ, "SSH_ASKPASS": str(helper), "SSH_ASKPASS_REQUIRE": "force"}
        subprocess.run(["ssh-add", "-q", str(key)], check=True, env=environment, stdin=subprocess.DEVNULL)
        assert connect(text.replace("  IdentityAgent none\n", "")).list() == []


class agent:
    """An ssh-agent for as long as a block lasts; its socket."""

    def __init__(self, folder) -> None:
        self.socket = str(folder / "agent")

    def __enter__(self) -> str:
        self.process = subprocess.Popen(["ssh-agent", "-D", "-a", self.socket], stdout=subprocess.DEVNULL)
        while not os.path.exists(self.socket):
            assert self.process.poll() is None
        return self.socket

    def __exit__(self, *_: object) -> None:
        self.process.terminate()
        self.process.wait()


def test_a_machine_that_does_not_answer_is_a_sentence(server, connect):
    with pytest.raises(ProviderError, match="cannot be reached"):
        connect(server.config().replace(f"Port {server.port}", "Port 1")).list()
    with pytest.raises(ProviderError, match="cannot be found"):
        connect(server.config().replace("HostName 127.0.0.1", "HostName no-such-host.invalid")).list()


def test_through_a_jump_host_each_with_its_own_keys(server, connect, tmp_path):
    with running_sshd(tmp_path / "gate") as gate:
        text = gate.config("gate") + server.config("box", "  ProxyJump gate\n")
        with pytest.raises(UntrustedError, match="the key of gate"):
            connect(text).list()
        gate.trust()
        target = connect(text)
        id = target.submit(Job("demo", ("sh", "-c", "echo $SSH_CONNECTION > way")))
        assert wait(target, id, 20).state == "succeeded"
        before = server.relay.carried
        target.status(id)
        assert server.relay.carried > before, "the way led through the second server as well"
        gate.relay.cut()
        assert target.status(id).state == "succeeded"


# Links that are cut


COUNT = """
import os, time
with open(os.environ["CALMTUNE_EVENTS"], "a") as events:
    for number in range(120):
        print('{"n": %d}' % number, file=events, flush=True)
        while number in (40, 80) and not os.path.exists(f"past{number}"):
            time.sleep(0.02)
"""


def count_job(name: str = "count") -> Job:
    return Job(name, (sys.executable, "-c", COUNT))


@pytest.mark.parametrize("how", ["connection", "sshd session"])
def test_following_survives_two_cuts_without_gap_or_duplicate(server, tmp_path, how):
    with ssh_place(tmp_path, server) as place:
        id = place.target.submit(count_job())
        data, cuts = b"", 0
        for chunk in place.target.follow(id):
            data += chunk.data
            lines = data.count(b"\n")
            if (lines >= 41 and cuts == 0) or (lines >= 81 and cuts == 1):
                cut(server, how)
                (place.folder(id) / f"past{40 * (cuts + 1)}").touch()
                cuts += 1
        assert cuts == 2
        assert data == b"".join(b'{"n": %d}\n' % number for number in range(120))
        assert place.target.status(id).state == "succeeded"


def cut(server, how: str) -> None:
    if how == "connection":
        assert server.relay.cut() > 0
        return
    sessions = psutil.Process(server.process.pid).children()
    assert sessions
    for session in sessions:
        for process in [*session.children(), session]:
            if process.name() == "sshd":
                process.kill()


def test_a_link_that_stays_down_ends_with_a_sentence_and_the_job_goes_on(server, tmp_path):
    with ssh_place(tmp_path, server, patience=0.5) as place:
        id = place.target.submit(count_job())
        server.relay.refuse = True
        server.relay.cut()
        with pytest.raises(ProviderError, match="what runs there goes on"):
            place.target.status(id)
        server.relay.refuse = False
        for past in ("past40", "past80"):
            (place.folder(id) / past).touch()
        assert b"".join(chunk.data for chunk in place.again().follow(id)).count(b"\n") == 120


def test_an_upload_goes_on_where_a_cut_left_it_and_is_sent_once(server, tmp_path):
    content = os.urandom(16_000_000)
    (tmp_path / "big").write_bytes(content)
    with ssh_place(tmp_path, server) as place:
        place.target.list()  # our programs are there before bytes are counted
        before = server.relay.carried
        server.relay.budget = 12_000_000
        id = place.target.submit(Job("one", ("true",), files={"data/big": tmp_path / "big"}))
        assert server.relay.budget is None, "the link was cut on the way"
        assert (place.folder(id) / "data" / "big").read_bytes() == content
        assert server.relay.carried - before < 24_000_000, "what had arrived was not sent again"
        before = server.relay.carried
        place.target.submit(Job("two", ("true",), files={"other": tmp_path / "big"}))
        assert (place.folder("two") / "other").read_bytes() == content
        assert server.relay.carried - before < 100_000


def test_a_damaged_beginning_is_found_by_its_checksum_and_sent_anew(server, tmp_path):
    (tmp_path / "file").write_bytes(b"right" * 1000)
    with ssh_place(tmp_path, server) as place:
        digest = ssh_files.sha256(tmp_path / "file")
        store = tmp_path / "there" / "files"
        store.mkdir(parents=True)
        (store / f"{digest}.part").write_bytes(b"wrong" * 10)
        id = place.target.submit(Job("one", ("true",), files={"file": tmp_path / "file"}))
        assert (place.folder(id) / "file").read_bytes() == b"right" * 1000


def test_a_download_goes_on_where_a_cut_left_it(server, tmp_path):
    code = "import random; open('big', 'wb').write(random.Random(1).randbytes(4_000_000))"
    with ssh_place(tmp_path, server) as place:
        id = place.target.submit(Job("one", (sys.executable, "-c", code)))
        assert wait(place.target, id, 20).state == "succeeded"
        whole = (place.folder(id) / "big").read_bytes()
        (tmp_path / "here").mkdir()
        (tmp_path / "here" / ".big.part").write_bytes(whole[:3_000_000])
        fetching = threading.Thread(target=place.target.fetch, args=(id, ["big"], tmp_path / "here"))
        fetching.start()
        fetching.join()
        assert (tmp_path / "here" / "big").read_bytes() == whole
        (tmp_path / "here" / "big").unlink()
        (tmp_path / "here" / ".big.part").write_bytes(b"something else")
        place.target.fetch(id, ["big"], tmp_path / "here")
        assert (tmp_path / "here" / "big").read_bytes() == whole


def test_a_model_trained_there_is_not_sent_back_to_be_used_there(server, tmp_path):
    code = "open('model', 'wb').write(bytes(2_000_000))"
    with ssh_place(tmp_path, server) as place:
        id = place.target.submit(Job("one", (sys.executable, "-c", code)))
        assert wait(place.target, id, 20).state == "succeeded"
        place.target.fetch(id, ["model"], tmp_path / "here")
        before = server.relay.carried
        place.target.submit(Job("two", ("true",), files={"model": tmp_path / "here" / "model"}))
        assert server.relay.carried - before < 100_000


def test_long_work_may_be_cut_more_often_than_patience_lasts(server, connect, monkeypatch):
    monkeypatch.setattr(ssh_link, "WORKED_SECONDS", 0.3)
    tries = []

    def work(connection):
        tries.append(connection)
        if len(tries) < 4:
            threading.Event().wait(0.4)
            server.relay.cut()
            return connection.run("true").code
        return "done"

    assert connect(server.config(), patience=1).link.call(work) == "done"
    assert len(set(tries)) == 4


def test_what_the_machine_refuses_is_not_tried_again(server, connect):
    tries = []

    def work(connection):
        tries.append(connection)
        connection.sftp.mkdir("/proc/no")

    with pytest.raises((ProviderError, OSError)):
        connect(server.config()).link.call(work)
    assert len(tries) == 1


# Tunnels


def test_a_tunnel_survives_a_cut_and_ends_when_the_server_there_does(server, tmp_path, capfd):
    with ssh_place(tmp_path, server) as place:
        port, local = place.target.free_port(), free_port()
        serve = (
            f"import http.server as h; h.HTTPServer(('127.0.0.1', {port}), h.SimpleHTTPRequestHandler).serve_forever()"
        )
        id = place.target.submit(Job("web", (sys.executable, "-c", serve)))
        keeping = threading.Thread(target=tunnel.keep_open, args=(place.target.link, port, local, 0.05), daemon=True)
        keeping.start()
        assert "job.json" in get_when_up(f"http://127.0.0.1:{local}/")
        server.relay.cut()
        assert "job.json" in get_when_up(f"http://127.0.0.1:{local}/")
        place.again().cancel(id)
        keeping.join(20)
        assert not keeping.is_alive()
    assert f"nothing listens on port {port} of box any more" in capfd.readouterr().out


def test_a_taken_port_is_a_sentence(server, connect):
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(StepFailed, match="cannot be used"):
        tunnel.keep_open(connect(server.config()).link, 1, taken.getsockname()[1])


def get_when_up(address: str) -> str:
    for _ in range(200):
        with contextlib.suppress(OSError), urllib.request.urlopen(address, timeout=5) as answer:
            return answer.read().decode()
        threading.Event().wait(0.05)
    raise AssertionError(f"{address} never answered")


# Disks that are full


def test_a_file_that_cannot_be_stored_is_a_sentence(tmp_path):
    (tmp_path / "big").write_bytes(bytes(3_000_000))
    with running_sshd(tmp_path / "small", file_limit_blocks=1000) as server:
        server.trust()
        with ssh_place(tmp_path, server) as place:
            with pytest.raises(StepFailed, match=r"big cannot be stored on box .*full"):
                place.target.submit(Job("one", ("true",), files={"big": tmp_path / "big"}))
            assert place.target.list() == []


def test_a_disk_that_is_too_small_is_told_before_anything_is_sent(server, tmp_path, monkeypatch):
    (tmp_path / "big").write_bytes(bytes(1000))
    monkeypatch.setattr(ssh_files, "_SPARE_BYTES", 1 << 60)
    with ssh_place(tmp_path, server) as place, pytest.raises(StepFailed, match="GB of disk left"):
        place.target.submit(Job("one", ("true",), files={"big": tmp_path / "big"}))


def test_a_folder_that_cannot_be_made_is_a_sentence(server, connect, tmp_path):
    (tmp_path / "there").write_text("a file")
    with pytest.raises((StepFailed, ProviderError), match="there"):
        connect(server.config()).list()


def test_files_may_go_both_ways_while_a_job_is_followed(server, tmp_path):
    """Each thread has a file transfer of its own; two that wait for answers on one would read each other's."""
    size, count = 400_000, 12
    code = (
        "import os, time; os.mkdir('out')\n"
        f"for n in range({count}): open(f'out/{{n}}', 'wb').write(os.urandom({size}))\n"
        "for n in range(300):\n"
        "    open(os.environ['CALMTUNE_EVENTS'], 'a').write('{\"n\": %d}\\n' % n); time.sleep(0.01)\n"
    )
    with ssh_place(tmp_path, server) as place:
        target, heard = place.target, bytearray()
        id = target.submit(Job("chatty", ("python3", "-c", code)))

        def follow() -> None:
            for chunk in target.follow(id):
                heard.extend(chunk.data)

        follower = threading.Thread(target=follow)
        follower.start()
        for _ in range(200):
            if len(list((place.folder(id) / "out").glob("*"))) == count:
                break
            threading.Event().wait(0.05)
        fetchers = [threading.Thread(target=target.fetch, args=(id, ["out"], tmp_path / f"here{n}")) for n in range(3)]
        for one in fetchers:
            one.start()
        for one in [*fetchers, follower]:
            one.join(60)
            assert not one.is_alive()
        assert heard.count(b"\n") == 300
        for n in range(3):
            assert sum(path.stat().st_size for path in (tmp_path / f"here{n}" / "out").iterdir()) == size * count
