"""A real Slurm of one node or several with a login over SSH, all on loopback, for unmodified SkyPilot: `infra: slurm/rig`.

Needs root and the packages slurm-wlm, munge, openssh-server, rsync and netcat-openbsd. Each node declares eight A100s that are empty files.
Several nodes are slurmds with host names and addresses of their own (namespaces of Linux) and one disk.
SkyPilot sets nodes up from the internet (uv, Python 3.10); two programs first on the node user's PATH answer for it.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import secrets
import shlex
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from provisioning.machine import free_port
from tests.rigs.node_programs import write_programs
from tests.rigs.sky_home import sky_at_home, write_catalog

USER = "calmtune-rig"
CLUSTER = "rig"
_PROGRAMS = ("slurmctld", "slurmd", "munged", "sshd", "nc", "rsync")
_SBIN = f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin"


def require_slurm() -> None:
    """Skips the test with the reason where Slurm cannot be run."""
    missing = [name for name in _PROGRAMS if shutil.which(name, path=_SBIN) is None]
    if missing:
        pytest.skip(f"not installed here: {', '.join(missing)} (packages slurm-wlm munge openssh-server rsync netcat-openbsd)")
    if os.geteuid() != 0:
        pytest.skip("Slurm's daemons need root")


@dataclass
class Slurm:
    """The running rig."""

    folder: Path
    ssh_port: int
    nodes: int = 1
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @property
    def python(self) -> Path:
        """An interpreter for jobs on the node that has the packages of the one running here; `transformers` lies beside it."""
        return self.folder / "bin" / "python"

    @property
    def conf(self) -> Path:
        return self.folder / "slurm.conf"

    def run(self, *command: str) -> str:
        """A Slurm command's output, asked as an administrator."""
        environment = {**os.environ, "SLURM_CONF": str(self.conf)}
        return subprocess.run(command, capture_output=True, text=True, check=True, env=environment).stdout


@contextlib.contextmanager
def running_slurm(nodes: int = 1) -> Iterator[Slurm]:
    """The rig for as long as the block lasts; its jobs and every process it started are ended by their ids."""
    require_slurm()
    folder = Path(tempfile.mkdtemp(prefix="calmtune-rig-"))
    folder.chmod(0o755)  # the daemons and the node's user have other ids
    rig = Slurm(folder, free_port(), nodes)
    try:
        _make_user(rig)
        _start_munge(rig)
        _start_slurm(rig)
        _start_sshd(rig)
        yield rig
    finally:
        _end_jobs(rig)
        for process in reversed(rig.processes):
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        shutil.rmtree(folder)


def _end_jobs(rig: Slurm) -> None:
    with contextlib.suppress(subprocess.CalledProcessError):
        rig.run("scancel", f"--user={USER}")
        deadline = time.monotonic() + 60
        while rig.run("squeue", "-h") and time.monotonic() < deadline:
            time.sleep(0.5)


@contextlib.contextmanager
def sky_knows(rig: Slurm) -> Iterator[None]:
    """A home folder of its own in which SkyPilot knows the rig, for as long as the block lasts; SkyPilot must not be imported before."""
    home = rig.folder / "home"
    (home / ".slurm").mkdir(parents=True)
    (home / ".slurm" / "config").write_text(
        f"Host {CLUSTER}\n  HostName 127.0.0.1\n  Port {rig.ssh_port}\n  User {USER}\n  IdentityFile {rig.folder / 'user_key'}\n"
        "  IdentitiesOnly yes\n"
    )
    write_catalog(
        home, "common/accelerators.csv", [{"AcceleratorName": "A100", "AcceleratorCount": 1, "AcceleratorMemory": "40GB"}]
    )
    pricing = {"cpu": 0.04, "memory": 0.01, "accelerators": {"A100": 3.67}}
    with sky_at_home(home, "slurm", {"slurm": {"pricing": pricing}}, {}):
        yield


def _make_user(rig: Slurm) -> None:
    try:
        entry = pwd.getpwnam(USER)
    except KeyError:
        subprocess.run(["useradd", "-m", "-s", "/bin/bash", USER], check=True)
        entry = pwd.getpwnam(USER)
    subprocess.run(["usermod", "-p", "*", USER], check=True)  # a locked account is refused by sshd
    home = Path(entry.pw_dir)
    for path in rig.folder.glob("user_key*"):
        path.unlink()
    for name in ("user_key", "host_key"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(rig.folder / name)], check=True)
    programs = rig.folder / "bin"
    write_programs(programs, cache=f"{home}/.cache/uv")
    line = f"export PATH={programs}:$PATH\n"
    for name in (".bashrc", ".profile"):
        (home / name).write_text(line)
    ssh = home / ".ssh"
    ssh.mkdir(exist_ok=True)
    shutil.copy(rig.folder / "user_key.pub", ssh / "authorized_keys")
    for path in (home, ssh, *ssh.iterdir(), *(home / name for name in (".bashrc", ".profile"))):
        os.chown(path, entry.pw_uid, entry.pw_gid)
    ssh.chmod(0o700)


def _start_munge(rig: Slurm) -> None:
    folder = rig.folder / "munge"
    folder.mkdir()
    key = folder / "munge.key"
    key.write_bytes(secrets.token_bytes(1024))
    munge = pwd.getpwnam("munge")
    for path in (folder, key):
        os.chown(path, munge.pw_uid, munge.pw_gid)
    key.chmod(0o400)
    folder.chmod(0o755)
    command = [
        shutil.which("munged", path=_SBIN) or "munged", "--foreground", "--force", f"--key-file={key}", f"--socket={folder}/socket",
        f"--pid-file={folder}/munged.pid", f"--log-file={folder}/munged.log", f"--seed-file={folder}/seed",
    ]  # fmt: skip
    _start(rig, command, "munged", user="munge")
    _wait_for(lambda: (folder / "socket").exists(), "munged", rig)


def _start_slurm(rig: Slurm) -> None:
    folder, host = rig.folder, socket.gethostname().split(".")[0]
    for name in ("state", "spool", "log"):
        (folder / name).mkdir()
        shutil.chown(folder / name, "slurm", "slurm")
    for number in range(8):
        (folder / f"gpu{number}").touch()
    names = [host] if rig.nodes == 1 else [f"{CLUSTER}{number}" for number in range(1, rig.nodes + 1)]
    addresses = ["127.0.0.1"] if rig.nodes == 1 else [f"127.0.0.{number}" for number in range(2, rig.nodes + 2)]
    known = [("127.0.0.1", f"localhost {host}"), *zip(addresses, names, strict=True)]
    (folder / "hosts").write_text("".join(f"{at} {name}\n" for at, name in known))
    controller, all_names = free_port(), ",".join(names)
    declared = "\n".join(
        f"NodeName={name} NodeAddr={at} Port={free_port()} CPUs=16 Sockets=1 CoresPerSocket=16 ThreadsPerCore=1 RealMemory=80000 "
        "Gres=gpu:A100:8 State=UNKNOWN"
        for name, at in zip(names, addresses, strict=True)
    )
    # A step answers srun where its question came from, 127.0.0.1: an srun that binds to the address of its host does not hear it.
    own = "NoInAddrAny," if rig.nodes == 1 else ""
    rig.conf.write_text(f"""ClusterName={CLUSTER}
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller}
SlurmUser=slurm
AuthType=auth/munge
AuthInfo=socket={folder}/munge/socket
CredType=cred/munge
CommunicationParameters={own}NoCtldInAddrAny
MpiDefault=none
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
ReturnToService=2
SlurmctldPidFile={folder}/state/slurmctld.pid
SlurmdPidFile={folder}/spool/%n.pid
SlurmdSpoolDir={folder}/spool/%n
StateSaveLocation={folder}/state
SlurmctldLogFile={folder}/log/slurmctld.log
SlurmdLogFile={folder}/log/%n.log
SlurmdParameters=config_overrides
SwitchType=switch/none
SchedulerType=sched/backfill
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
GresTypes=gpu
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
KillWait=5
InactiveLimit=0
MinJobAge=300
{declared}
PartitionName=gpu Nodes={all_names} Default=YES MaxTime=INFINITE State=UP OverSubscribe=NO
""")
    (folder / "gres.conf").write_text(f"AutoDetect=off\nNodeName={all_names} Name=gpu Type=A100 File={folder}/gpu[0-7]\n")
    controlling, serving = ([shutil.which(name, path=_SBIN) or name, "-D", "-f", str(rig.conf)] for name in ("slurmctld", "slurmd"))
    _start(rig, controlling, "slurmctld")
    for name in names:
        _start(rig, serving if rig.nodes == 1 else _in_a_host(name, folder / "hosts", serving), f"slurmd-{name}")
    _wait_for(lambda: rig.run("sinfo", "-h", "-N", "-o", "%T").split() == rig.nodes * ["idle"], "slurm", rig)


def _in_a_host(name: str, hosts: Path, command: list[str]) -> list[str]:
    """A command under another host name, which its own /etc/hosts knows."""
    script = f"mount --bind {hosts} /etc/hosts && hostname {name} && exec {shlex.join(command)}"
    return ["unshare", "--uts", "--mount", "sh", "-c", script]


def _start_sshd(rig: Slurm) -> None:
    folder = rig.folder
    Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
    (folder / "sshd_config").write_text(
        f"Port {rig.ssh_port}\nListenAddress 127.0.0.1\nHostKey {folder / 'host_key'}\nPidFile none\nUsePAM no\nPasswordAuthentication no\n"
        f"MaxStartups 100:30:200\nMaxSessions 100\nSetEnv SLURM_CONF={rig.conf}\nSubsystem sftp internal-sftp\n"
    )
    _start(rig, [shutil.which("sshd", path=_SBIN) or "sshd", "-D", "-e", "-f", str(folder / "sshd_config")], "sshd")

    def answers() -> bool:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", rig.ssh_port), 1):
            return True
        return False

    _wait_for(answers, "sshd", rig)


def _start(rig: Slurm, command: list[str], name: str, user: str | None = None) -> None:
    """With all it runs, it leaves the processors to what is beside it: it stands for another machine."""
    with (rig.folder / f"{name}.out").open("ab") as log:
        environment = {**os.environ, "SLURM_CONF": str(rig.conf)}
        process = subprocess.Popen(
            ["nice", *command], stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment, start_new_session=True, user=user
        )
    rig.processes.append(process)


def _wait_for(ready: Callable[[], bool], what: str, rig: Slurm, seconds: float = 40) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        with contextlib.suppress(subprocess.CalledProcessError):
            if ready():
                return
        time.sleep(0.1)
    said = {path.name: path.read_text(errors="replace")[-800:] for path in rig.folder.rglob("*") if path.suffix in (".out", ".log")}
    raise RuntimeError(f"{what} does not come up: {said}")
