"""The `rasa` command as a child process: found, asked for its options, run with its output streamed.

Licence and keys reach it through the environment it inherits, and are taken out of every line it prints. Options it does not list in
its `--help` are not passed, since they came and went with versions. Each run is a process group of its own, which ends with the run,
with its time limit, and when the task that waits for it is cancelled.
"""

from __future__ import annotations

import asyncio
import codecs
import contextlib
import os
import re
import shutil
import signal
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from pathlib import Path

from core.e2e.redaction import Redactor
from core.errors import DeadlineError, StepFailed, UsageError

OnLine = Callable[[str], None]

LICENCES = ("RASA_LICENSE", "RASA_PRO_LICENSE")
"""Variables that may hold the licence: the present name and the older one."""
ASSERTIONS_WITHOUT_FLAG = (3, 12)
"""From this version on, assertions need no flag."""
_ALWAYS = {
    "RASA_PRO_BETA_FINE_TUNING_RECIPE": "true",
    "RASA_PRO_BETA_FINETUNING_RECIPE": "true",  # the documentation has both spellings
    "RASA_TELEMETRY_ENABLED": "false",
    "PYTHONUNBUFFERED": "1",  # else its lines come when it ends
    "NO_COLOR": "1",
    "COLUMNS": "200",
}
_QUESTION_SECONDS = 300.0
"""For --version and --help, which load half of the program."""
_GRACE_SECONDS = 10.0
"""Between asking a process group to end and making it."""
_LONGEST_LINE = 1_000_000
_SHOWN = 2000
"""Characters of a line that are told."""
_LINE_END = re.compile(r"\r\n|[\r\n]")
_COLOUR = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]")
_OPTION = re.compile(r"(?<![\w-])(--?[A-Za-z][\w-]*)")
_VERSION = re.compile(r"\s*rasa(?:[ -]pro)?(?:\s+version)?\s*:?\s*v?(\d+)\.(\d+)", re.IGNORECASE)


def unavailable() -> str | None:
    """Why the `rasa` command cannot be used here, as a clause; None when nothing speaks against trying it."""
    if shutil.which("rasa") is None:
        return "there is no `rasa` command on PATH"
    if not any(os.environ.get(name) for name in LICENCES):
        return f"{LICENCES[0]} is not set"
    return None


class Rasa:
    """One `rasa` command. `version` is (major, minor)."""

    def __init__(self, executable: str, on_line: OnLine, limit_seconds: float) -> None:
        self.executable, self.version = executable, (0, 0)
        self._on_line, self._limit_seconds = on_line, limit_seconds
        self._options: dict[tuple[str, ...], frozenset[str]] = {}

    @classmethod
    async def find(cls, on_line: OnLine, limit_seconds: float) -> Rasa:
        """The command on PATH. `on_line` hears what it prints, line by line; one run may take `limit_seconds`.

        Raises UsageError when there is none, when it has no licence, or when it does not say its version.
        """
        reason = unavailable()
        if reason is not None:
            raise UsageError(f"{reason}; activate the environment with rasa and set the licence, or answer engine: own")
        executable = os.path.abspath(shutil.which("rasa") or "rasa")  # PATH may be relative, and runs are elsewhere
        rasa = cls(executable, on_line, limit_seconds)
        try:
            code, said = await rasa._asked(["--version"])
        except DeadlineError as error:
            raise UsageError(f"the `rasa` command does not answer: {error}") from error
        version = next(filter(None, map(_VERSION.match, said)), None)
        if code or version is None:
            last = said[-1] if said else "it printed nothing"
            raise UsageError(f"`rasa --version` does not work (exit code {code}): {last}")
        rasa.version = (int(version[1]), int(version[2]))
        return rasa

    async def options(self, *command: str) -> frozenset[str]:
        """The options a sub-command lists in its help. Raises StepFailed when this version does not have the sub-command."""
        if command not in self._options:
            code, said = await self._asked([*command, "--help"])
            if code:
                words, version = " ".join(command), ".".join(map(str, self.version))
                last = said[-1] if said else "it printed nothing"
                raise StepFailed(
                    f"`rasa {words} --help` ended with exit code {code}; does rasa {version} have it? "
                    f"The recipe needs 3.10 or later. It said: {last}"
                )
            self._options[command] = frozenset(_OPTION.findall("\n".join(said)))
        return self._options[command]

    async def run(
        self, command: Sequence[str], arguments: Sequence[str], folder: Path, variables: Mapping[str, str] | None = None
    ) -> tuple[int, str]:
        """Run a sub-command in a folder: (exit code, last line it printed). Raises DeadlineError when it takes too long."""
        last = "it printed nothing"

        def on_line(line: str) -> None:
            nonlocal last
            last = line.strip() or last
            self._on_line(line)

        self._on_line(redactor(variables)("$ " + " ".join(["rasa", *command, *arguments])))
        try:
            code = await self._child([*command, *arguments], on_line, self._limit_seconds, folder, variables)
        except DeadlineError as error:
            raise DeadlineError(f"{error}; answer engine_minutes with more") from error
        return code, last

    async def _asked(self, arguments: Sequence[str]) -> tuple[int, list[str]]:
        said: list[str] = []
        code = await self._child(arguments, said.append, _QUESTION_SECONDS)
        return code, [line for line in said if line.strip()]

    async def _child(
        self,
        arguments: Sequence[str],
        on_line: OnLine,
        limit_seconds: float,
        folder: Path | None = None,
        variables: Mapping[str, str] | None = None,
    ) -> int:
        redacted = redactor(variables)
        try:
            process = await asyncio.create_subprocess_exec(
                self.executable,
                *arguments,
                cwd=folder,
                env=_environment(variables),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
                start_new_session=True,
            )
        except OSError as error:
            raise UsageError(f"{self.executable} cannot be started: {error.strerror}") from error
        assert process.stdout is not None
        reading = asyncio.create_task(_read(process.stdout, lambda line: on_line(redacted(line)[:_SHOWN])))
        try:
            async with asyncio.timeout(limit_seconds):
                await _ended(process)
        except TimeoutError:
            name = " ".join(["rasa", *arguments[:2]])
            raise DeadlineError(f"`{name}` was ended after its limit of {limit_seconds / 60:.0f} minutes") from None
        finally:
            await _end_group(process)
            with contextlib.suppress(TimeoutError):  # something that left the group may still hold the output
                await asyncio.wait_for(reading, _GRACE_SECONDS)
        assert process.returncode is not None
        return process.returncode


def redactor(variables: Mapping[str, str] | None = None) -> Redactor:
    """Takes out of texts what the command gets to know: the secrets of its environment."""
    return Redactor(_environment(variables))


def _environment(variables: Mapping[str, str] | None) -> dict[str, str]:
    environment = {**os.environ, **_ALWAYS, **(variables or {})}
    licence = next((value for name in LICENCES if (value := environment.get(name))), None)
    if licence is not None:  # versions look for it under different names
        environment.update({name: environment.get(name) or licence for name in LICENCES})
    return environment


async def _read(stream: asyncio.StreamReader, on_line: OnLine) -> None:
    async for line in _lines(stream):
        on_line(_COLOUR.sub("", line).rstrip())


async def _lines(stream: asyncio.StreamReader) -> AsyncIterator[str]:
    """Lines as they come; a progress bar's returns end lines too, and what is longer than any line is cut."""
    decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
    rest = ""
    while chunk := await stream.read(65536):
        *whole, rest = _LINE_END.split(rest + decoder.decode(chunk))
        for line in whole:
            yield line
        rest = rest[:_LONGEST_LINE]
    if rest:
        yield rest


async def _ended(process: asyncio.subprocess.Process) -> None:
    """Wait for the process alone: `wait` would also wait for what it left behind with its output still open."""
    while process.returncode is None:  # noqa: ASYNC110
        await asyncio.sleep(0.02)


async def _end_group(process: asyncio.subprocess.Process) -> None:
    """Ask the process and all it started to end, then make them; at once when this is cancelled too."""
    try:
        if process.returncode is None:
            _signal(process.pid, signal.SIGTERM)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(float(os.environ.get("CALMTUNE_GRACE_SECONDS", _GRACE_SECONDS))):
                    await _ended(process)
    finally:
        _signal(process.pid, signal.SIGKILL)
    await _ended(process)


def _signal(group: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)
