"""Asking the machine at the other end of a link: our programs are put there once, then each question is one command."""

from __future__ import annotations

import contextlib
import hashlib
import json
import posixpath
import secrets
import shlex
import threading
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from core.errors import ProviderError, StepFailed
from provisioning.machine import ANSWER
from provisioning.ssh_link import SILENCE_SECONDS, Connection, Link

_PROGRAMS = ("__init__.py", "machine.py", "wrapper.py", "facts.py", "store.py", "holder.py")
OLDEST_PYTHON = (3, 9)
_LONG_SECONDS = 3600.0
"""How long a machine may work silently at checksums of large files."""


class RemoteMachine:
    """`provisioning.machine` on another machine. Every question may be repeated, so a cut link is no harm."""

    def __init__(self, link: Link, root: str) -> None:
        """`root` is the folder there that holds everything of ours, relative to the home folder or absolute."""
        self.link, self._given_root = link, root
        self._programs = _programs()
        self._version = hashlib.sha256(json.dumps(sorted(self._programs.items())).encode()).hexdigest()[:12]
        self._installed = False
        self._python_found = "python3"
        self._lock = threading.Lock()

    @cached_property
    def root(self) -> str:
        """Absolute path of the folder there that holds everything of ours."""
        home = self.link.call(lambda link: link.sftp.normalize("."))
        return posixpath.join(home, self._given_root.removeprefix("~/"))

    @property
    def package(self) -> str:
        """The folder there that holds our programs."""
        return posixpath.join(self.root, "bin", self._version)

    @property
    def python(self) -> str:
        """Absolute path of its Python."""
        self._install()
        return self._python_found

    def ask(self, verb: str, long: bool = False, **request: Any) -> Any:
        """The answer to one question. Raises StepFailed for what is refused there, ProviderError when there is no Python to ask."""
        self._install()
        given = json.dumps({"root": self.root, **request}).encode()
        script = f"cd {shlex.quote(self.package)} && exec {shlex.quote(self._python_found)} -m provisioning.machine {verb}"
        ran = self.link.call(
            lambda link: link.run(login_shell(script), given, _LONG_SECONDS if long else SILENCE_SECONDS)
        )
        for line in reversed(ran.out.decode(errors="replace").splitlines()):
            if line.startswith(ANSWER):
                body: dict[str, Any] = json.loads(line.removeprefix(ANSWER))
                if "refused" in body:
                    raise StepFailed(f"{self.link.host}: {body['refused']}")
                return body["answer"]
        if b"No module named provisioning" in ran.error or b"can't cd" in ran.error:
            self._installed = False  # someone has cleared the folder meanwhile; the next question puts it back
        raise ProviderError(
            f"{self.link.host} did not answer ({verb}): {_last_line(ran.error) or f'exit code {ran.code}'}"
        )

    def _install(self) -> None:
        """Put our programs there, unless this version of them already is."""
        with self._lock:
            if self._installed:
                return
            self.link.call(self._put_programs)
            self._python_found = self._find_python()
            self._installed = True

    def _find_python(self) -> str:
        """Absolute path of its Python: what `python3` leads to may be a slow script that chooses one."""
        script = "exec python3 -c 'import sys; print(sys.executable, *sys.version_info[:2])'"
        found = self.link.call(lambda link: link.run(login_shell(script)))
        words = _last_line(found.out).rsplit(" ", 2)
        oldest = ".".join(str(part) for part in OLDEST_PYTHON)
        if found.code or len(words) != 3:
            raise ProviderError(f"{self.link.host} has no python3; install Python {oldest} or newer there")
        if (int(words[1]), int(words[2])) < OLDEST_PYTHON:
            raise ProviderError(
                f"python3 of {self.link.host} is {words[1]}.{words[2]}; {oldest} or newer is needed there"
            )
        return words[0]

    def _put_programs(self, link: Connection) -> None:
        folder = posixpath.join(self.package, "provisioning")
        with refusals(link, f"nothing can be written to {self.root} on {self.link.host}"):
            make_folders(link, folder)
            for name, body in self._programs.items():
                path = posixpath.join(folder, name)
                with contextlib.suppress(FileNotFoundError):
                    if link.sftp.stat(path).st_size == len(body.encode()):
                        continue
                new = f"{path}.{secrets.token_hex(4)}"  # others may be putting it there at this moment
                with link.sftp.open(new, "wb") as file:
                    file.write(body.encode())
                link.sftp.posix_rename(new, path)


@contextlib.contextmanager
def refusals(link: Connection, what: str) -> Iterator[None]:
    """Turns what the machine's file system refuses into StepFailed; a cut link stays what it is."""
    try:
        yield
    except OSError as error:
        if link.lost_by(error):
            raise
        raise StepFailed(f"{what}: {error.strerror or error}") from error


def make_folders(link: Connection, path: str) -> None:
    """Make a folder and those above it. Raises OSError when one cannot be made."""
    made = "/" if path.startswith("/") else ""
    for part in path.strip("/").split("/"):
        made = posixpath.join(made, part)
        with contextlib.suppress(FileNotFoundError):
            link.sftp.stat(made)
            continue
        try:
            link.sftp.mkdir(made, 0o700)
        except OSError:
            link.sftp.stat(made)  # someone else has made it meanwhile; else this raises why not


def login_shell(script: str) -> str:
    """A command line that runs a script with the PATH people have when they log in, whatever their shell is."""
    return f"sh -c {shlex.quote(f'exec $(command -v bash || command -v sh) -lc {shlex.quote(script)}')}"


def _programs() -> Mapping[str, str]:
    folder = Path(__file__).parent
    return {name: (folder / name).read_text(encoding="utf-8") for name in _PROGRAMS}


def _last_line(data: bytes) -> str:
    lines = [line.strip() for line in data.decode(errors="replace").splitlines() if line.strip()]
    return lines[-1][:300] if lines else ""
