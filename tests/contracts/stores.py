"""Places an export can go to, made for tests: how they are written, what the environment must hold, and a look at them past calmtune."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from tests.rigs import object_stores
from tests.rigs.object_stores import BUCKET

AWS = {
    "AWS_ACCESS_KEY_ID": "calmtune-test",
    "AWS_SECRET_ACCESS_KEY": "a-secret-of-the-tests",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_EC2_METADATA_DISABLED": "true",
}
AZURITE_KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
"""Azurite's own, the same everywhere (https://learn.microsoft.com/azure/storage/common/storage-use-azurite)."""


@dataclass(frozen=True)
class Rig:
    """A place under test."""

    kind: str
    base: str
    """Folder or bucket as a person writes it, without a slash at its end."""
    read: Callable[[str], dict[str, bytes]]
    """Everything under a prefix of it, by name, seen by another client."""
    write: Callable[[str, bytes], None]
    """Put something there under its whole name, likewise."""
    environment: Mapping[str, str] = field(default_factory=dict)
    in_one: int = 0
    """Bytes that are sent in one request; only larger files can be cut in the middle."""
    begun: Callable[[], int] = lambda: 0
    """How many uploads were begun and not ended."""


def folder_rig(folder: Path) -> Rig:
    def read(prefix: str) -> dict[str, bytes]:
        top = folder / prefix
        return {path.relative_to(top).as_posix(): path.read_bytes() for path in top.rglob("*") if path.is_file()}

    def write(name: str, content: bytes) -> None:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)

    return Rig("folder", str(folder), read, write)


@contextmanager
def s3_rig(folder: Path) -> Iterator[Rig]:
    with object_stores.moto(folder) as address:
        import boto3

        keys = {"aws_access_key_id": AWS["AWS_ACCESS_KEY_ID"], "aws_secret_access_key": AWS["AWS_SECRET_ACCESS_KEY"]}
        client = boto3.client("s3", endpoint_url=address, region_name=AWS["AWS_DEFAULT_REGION"], **keys)
        client.create_bucket(Bucket=BUCKET)

        def read(prefix: str) -> dict[str, bytes]:
            listed = client.list_objects_v2(Bucket=BUCKET, Prefix=f"{prefix}/").get("Contents", ())
            return {
                one["Key"].removeprefix(f"{prefix}/"): client.get_object(Bucket=BUCKET, Key=one["Key"])["Body"].read() for one in listed
            }

        def write(name: str, content: bytes) -> None:
            client.put_object(Bucket=BUCKET, Key=name, Body=content)

        def begun() -> int:
            return len(client.list_multipart_uploads(Bucket=BUCKET).get("Uploads", ()))

        yield Rig("s3", f"s3://{BUCKET}", read, write, {**AWS, "AWS_ENDPOINT_URL": address}, begun=begun)


@contextmanager
def google_rig(folder: Path) -> Iterator[Rig]:
    with object_stores.google(folder) as address, httpx.Client(base_url=address, timeout=60) as client:
        client.post("/storage/v1/b", params={"project": "p"}, json={"name": BUCKET}).raise_for_status()

        def read(prefix: str) -> dict[str, bytes]:
            listed = client.get(f"/storage/v1/b/{BUCKET}/o", params={"prefix": f"{prefix}/"}).raise_for_status().json().get("items", ())
            return {one["name"].removeprefix(f"{prefix}/"): _media(one["name"]) for one in listed}

        def _media(name: str) -> bytes:
            quoted = name.replace("/", "%2F")
            return client.get(f"/download/storage/v1/b/{BUCKET}/o/{quoted}", params={"alt": "media"}).raise_for_status().content

        def write(name: str, content: bytes) -> None:
            told = {"uploadType": "media", "name": name}
            client.post(f"/upload/storage/v1/b/{BUCKET}/o", params=told, content=content).raise_for_status()

        yield Rig("gs", f"gs://{BUCKET}", read, write, {"STORAGE_EMULATOR_HOST": address}, in_one=32 * 2**20)


@contextmanager
def azure_rig(folder: Path) -> Iterator[Rig]:
    with object_stores.azurite(folder) as address:
        from azure.storage.blob import BlobServiceClient

        told = (
            f"DefaultEndpointsProtocol=http;AccountName=devstoreaccount1;AccountKey={AZURITE_KEY};"
            f"BlobEndpoint={address}/devstoreaccount1;"
        )
        with BlobServiceClient.from_connection_string(told) as service:
            container = service.create_container(BUCKET)

            def read(prefix: str) -> dict[str, bytes]:
                names = [blob.name for blob in container.list_blobs(name_starts_with=f"{prefix}/")]
                return {name.removeprefix(f"{prefix}/"): container.download_blob(name).readall() for name in names}

            def write(name: str, content: bytes) -> None:
                container.upload_blob(name, content, overwrite=True)

            yield Rig("az", f"az://{BUCKET}", read, write, {"AZURE_STORAGE_CONNECTION_STRING": told}, in_one=64 * 2**20)
