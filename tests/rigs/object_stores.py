"""Object stores on loopback ports: moto's S3, an emulator of Google's, and Azurite where its command is installed."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pytest

from provisioning.machine import free_port

BUCKET = "models"


@contextlib.contextmanager
def moto(folder: Path, **environment: str) -> Iterator[str]:
    """S3; its address."""
    pytest.importorskip("moto.server", reason="moto is not installed")
    port = free_port()
    command = [sys.executable, "-m", "moto.server", "--host", "127.0.0.1", "--port", str(port)]
    with _running(command, port, folder / "moto.log", environment):
        yield f"http://127.0.0.1:{port}"


@contextlib.contextmanager
def google(folder: Path) -> Iterator[str]:
    """Google Cloud Storage; its address."""
    pytest.importorskip("gcp_storage_emulator", reason="gcp-storage-emulator is not installed")
    port = free_port()
    command = [sys.executable, "-m", "gcp_storage_emulator", "start", "--host", "127.0.0.1", "--port", str(port), "--in-memory"]
    with _running(command, port, folder / "google.log", {}):
        yield f"http://127.0.0.1:{port}"


@contextlib.contextmanager
def azurite(folder: Path) -> Iterator[str]:
    """Azure's blobs; its address. `npm install -g azurite` brings the command."""
    program = shutil.which("azurite-blob")
    if program is None:
        pytest.skip("azurite-blob (npm package azurite) is not installed here")
    port = free_port()
    command = [program, "--blobHost", "127.0.0.1", "--blobPort", str(port), "--location", str(folder), "--silent", "--skipApiVersionCheck"]
    with _running([*command, "--disableTelemetry"], port, folder / "azurite.log", {}):
        yield f"http://127.0.0.1:{port}"


@contextlib.contextmanager
def _running(command: Sequence[str], port: int, log: Path, environment: Mapping[str, str]) -> Iterator[None]:
    """A server's process for as long as the block lasts, from when it listens."""
    with log.open("ab") as said:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=said, stderr=said, env={**os.environ, **environment}
        )
    try:
        deadline = time.monotonic() + 60
        while True:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                break
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{command[0]} does not start: {log.read_text(errors='replace')[-500:]}")
            time.sleep(0.05)
        yield
    finally:
        process.terminate()
        process.wait()
