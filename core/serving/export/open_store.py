"""The store behind a place. What talks to object stores is imported here, and only when a place needs it."""

from __future__ import annotations

import logging
import os
from importlib.util import find_spec
from pathlib import Path

from core.errors import UsageError
from core.serving.export.folder import FolderStore
from core.serving.export.objects import AzureStore, GoogleStore
from core.serving.export.place import Kind, Place
from core.serving.export.refusals import refusals
from core.serving.export.s3 import S3Store
from core.serving.export.store import AT_ONCE, Store

PACKAGES: dict[Kind, str] = {"s3": "s3fs", "gs": "gcsfs", "az": "adlfs"}
_SILENCE = logging.NullHandler()
_SECONDS = {"connect_timeout": 10, "read_timeout": 120}
"""Of S3's client; a piece on a slow line takes longer than its own 15."""
_FRESH = {"skip_instance_cache": True, "use_listings_cache": False}
"""What another process changed meanwhile is seen."""


def open_store(place: Place) -> Store:
    """The store; object stores take credentials from where their own clients look for them: environment, profiles, the machine.

    AWS_ENDPOINT_URL, STORAGE_EMULATOR_HOST and AZURE_STORAGE_CONNECTION_STRING lead to other servers than the clouds'. Raises UsageError
    when a package is not installed, and for credentials.
    """
    if place.kind == "folder":
        return FolderStore(Path(place.path))
    package = PACKAGES[place.kind]
    if find_spec(package) is None:
        raise UsageError(f"{place.kind}:// needs the package {package}; install calmtune[export]")
    logging.getLogger(package).addHandler(_SILENCE)  # it logs what it raises as well, with tracebacks
    logging.getLogger("asyncio").addFilter(_not_of_a_cut_link)
    with refusals(place):
        if place.kind == "s3":
            from s3fs import S3FileSystem

            return S3Store(place, S3FileSystem(config_kwargs=_SECONDS, **_FRESH))
        if place.kind == "gs":
            from gcsfs.core import GCSFileSystem

            # gcsfs itself offers one that first asks by gRPC whether a bucket is of a newer kind, which no emulator answers.
            keys = "anon" if os.environ.get("STORAGE_EMULATOR_HOST") else "google_default"
            return GoogleStore(place, GCSFileSystem(token=keys, access="read_write", **_FRESH))
        from adlfs import AzureBlobFileSystem

        return AzureStore(place, AzureBlobFileSystem(max_concurrency=AT_ONCE, **_FRESH))


def _not_of_a_cut_link(record: logging.LogRecord) -> bool:
    """aiohttp leaves tasks behind whose link was cut, and asyncio would show each as a traceback; the request's own error is raised."""
    error = record.exc_info[1] if record.exc_info else None
    return not type(error).__module__.startswith("aiohttp.")
