"""What is S3's own in an export: parts that were there already, uploads that were left behind, what the owner hears when it refuses."""

from __future__ import annotations

import contextlib
import random
import re
import subprocess
import sys
from pathlib import Path

import pytest

from core.errors import CalmtuneError, ProviderError, UsageError
from core.serving.export.copying import MARK, SUMS, export
from core.serving.export.open_store import open_store
from core.serving.export.place import parse_place
from core.serving.export.refusals import refusals
from core.serving.export.s3 import MOST_PARTS, part_bytes
from core.serving.export.store import PIECE
from provisioning.machine import free_port
from tests.contracts.stores import AWS, s3_rig
from tests.rigs import object_stores
from tests.rigs.object_stores import BUCKET
from tests.rigs.sshd import Relay

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def rig(tmp_path_factory):
    with s3_rig(tmp_path_factory.mktemp("s3")) as made:
        yield made


@pytest.fixture
def client(rig, monkeypatch):
    for name, value in rig.environment.items():
        monkeypatch.setenv(name, value)
    import boto3

    return boto3.client("s3")


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """Five parts, the last one short."""
    path = tmp_path_factory.mktemp("source") / "weights"
    path.write_bytes(random.Random(0).randbytes(PIECE * 4 + 7))
    return path


@pytest.fixture
def prefix(request):
    return re.sub(r"\W", "-", request.node.name)


def begin(client, key: str, content: bytes, *numbers: int, length: int = PIECE) -> str:
    """An upload that was left with these parts of a content."""
    upload = client.create_multipart_upload(Bucket=BUCKET, Key=key)["UploadId"]
    for number in numbers:
        part = content[(number - 1) * length : number * length]
        client.upload_part(Bucket=BUCKET, Key=key, UploadId=upload, PartNumber=number, Body=part)
    return upload


def begun(client, prefix: str) -> set[str]:
    return {one["Key"] for one in client.list_multipart_uploads(Bucket=BUCKET, Prefix=prefix).get("Uploads", ())}


def send(prefix: str, source: Path):
    return export({"weights": source}, open_store(parse_place(f"s3://{BUCKET}/{prefix}")))


def test_parts_that_are_there_are_not_sent_again(client, prefix, source):
    content = source.read_bytes()
    begin(client, f"{prefix}/weights", content, 1, 3, 5)
    assert send(prefix, source).sent_bytes == 2 * PIECE
    assert client.get_object(Bucket=BUCKET, Key=f"{prefix}/weights")["Body"].read() == content
    assert begun(client, prefix) == set()


def test_parts_of_another_content_or_length_are_replaced(client, prefix, source):
    content = source.read_bytes()
    upload = begin(client, f"{prefix}/weights", content, 1, 2)
    other = b"-" * PIECE
    client.upload_part(Bucket=BUCKET, Key=f"{prefix}/weights", UploadId=upload, PartNumber=2, Body=other)
    client.upload_part(Bucket=BUCKET, Key=f"{prefix}/weights", UploadId=upload, PartNumber=9, Body=other)
    assert send(prefix, source).sent_bytes == 3 * PIECE + 7
    begin(client, f"{prefix}/other/weights", content, 1, 2, length=PIECE // 2)
    assert send(f"{prefix}/other", source).sent_bytes == len(content)
    for key in (f"{prefix}/weights", f"{prefix}/other/weights"):
        assert client.get_object(Bucket=BUCKET, Key=key)["Body"].read() == content


def test_uploads_that_nobody_finishes_are_aborted_and_those_of_others_left(client, prefix, source):
    content = source.read_bytes()
    begin(client, f"{prefix}/model/weights", content, 1)
    begin(client, f"{prefix}/model/weights", content, 1, 2)
    begin(client, f"{prefix}/model/of an earlier model", content, 1)
    for other in (f"{prefix}/theirs", f"{prefix}/model2/weights", f"{prefix}-2/model/weights"):
        begin(client, other, content, 1)
    done = export({"model/weights": source}, open_store(parse_place(f"s3://{BUCKET}/{prefix}")))
    assert done.sent_bytes == 2 * PIECE + 7, "the one that came furthest goes on"
    assert begun(client, prefix) == {f"{prefix}/theirs", f"{prefix}/model2/weights", f"{prefix}-2/model/weights"}


def test_what_is_whole_but_was_begun_once_more_leaves_no_upload(client, prefix, source):
    send(prefix, source)
    begin(client, f"{prefix}/weights", source.read_bytes(), 1)
    assert send(prefix, source).sent_bytes == 0
    assert begun(client, prefix) == set()


def test_a_link_that_is_cut_between_parts_is_mended(rig, client, prefix, source, monkeypatch):
    relay = Relay(int(rig.environment["AWS_ENDPOINT_URL"].rpartition(":")[2]))
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{relay.port}")
    relay.budget = 2 * PIECE
    try:
        assert send(prefix, source).files == 1
    finally:
        relay.close()
    assert client.get_object(Bucket=BUCKET, Key=f"{prefix}/weights")["Body"].read() == source.read_bytes()


def test_a_link_that_stays_cut_is_an_error_and_the_same_export_goes_on(rig, client, prefix, source, monkeypatch):
    relay = Relay(int(rig.environment["AWS_ENDPOINT_URL"].rpartition(":")[2]))
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{relay.port}")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")

    def cut(what: str, done: int, total: int) -> None:
        if what == "sending" and done >= 2 * PIECE:
            relay.refuse = True
            relay.cut()

    place = parse_place(f"s3://{BUCKET}/{prefix}")
    with pytest.raises(ProviderError, match="cannot be reached"):
        export({"weights": source}, open_store(place), cut)
    assert begun(client, prefix) == {f"{prefix}/weights"}
    relay.refuse = False
    before = relay.carried
    done = export({"weights": source}, open_store(place))
    carried = relay.carried - before
    relay.close()
    assert done.sent_bytes <= 2 * PIECE + 7
    assert done.sent_bytes < carried < done.sent_bytes + PIECE, "what is told is what travelled"
    assert begun(client, prefix) == set()
    assert client.get_object(Bucket=BUCKET, Key=f"{prefix}/weights")["Body"].read() == source.read_bytes()


def test_a_whole_bucket_is_a_place_too(client, source):
    client.create_bucket(Bucket="all-of-it")
    assert export({"model/weights": source}, open_store(parse_place("s3://all-of-it"))).files == 1
    listed = {one["Key"] for one in client.list_objects_v2(Bucket="all-of-it")["Contents"]}
    assert listed == {"model/weights", SUMS, MARK}


def test_memory_does_not_grow_with_the_file(rig, client, prefix, tmp_path):
    program = f"""
import resource
from pathlib import Path
from core.serving.export.copying import export
from core.serving.export.open_store import open_store
from core.serving.export.place import parse_place

def run(name, size):
    with open(name, "wb") as file:
        file.truncate(size)
    export({{name: Path(name)}}, open_store(parse_place("s3://{BUCKET}/{prefix}")))
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

first = run("small", {8 * PIECE})
print(run("large", {24 * PIECE}) - first)
"""
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, env={**rig.environment, "PYTHONPATH": str(ROOT)},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < 4 * PIECE // 1024, "KiB more for 256 MiB more"


@pytest.mark.parametrize("size", [1, PIECE, PIECE + 1, 16 * 10**9, MOST_PARTS * PIECE, MOST_PARTS * PIECE + 1, 5 * 2**40])
def test_parts_are_few_enough_and_large_enough(size):
    length = part_bytes(size)
    assert -(-size // length) <= MOST_PARTS
    assert PIECE <= length <= 5 * 2**30
    assert length % 2**20 == 0


# What the owner hears


def refused(place: str, tmp_path: Path) -> CalmtuneError:
    (tmp_path / "x").write_text("content")
    with pytest.raises(CalmtuneError) as error:
        export({"x": tmp_path / "x"}, open_store(parse_place(place)))
    assert AWS["AWS_SECRET_ACCESS_KEY"] not in str(error.value)
    return error.value


def test_a_bucket_that_is_not_there(client, tmp_path):
    error = refused("s3://no-such-bucket/x", tmp_path)
    assert isinstance(error, UsageError)
    assert "there is no bucket no-such-bucket" in str(error)


def test_somebody_ends_the_upload():
    """moto answers this with an internal error, so what S3 answers is made by hand."""
    pytest.importorskip("s3fs")
    from botocore.exceptions import ClientError
    from s3fs.errors import translate_boto_error

    answered = ClientError({"Error": {"Code": "NoSuchUpload", "Message": "The specified upload does not exist."}}, "UploadPart")
    said = pytest.raises(ProviderError, match="the upload of weights to s3://bucket was ended by somebody else")
    with said, refusals(parse_place("s3://bucket/x"), "weights"):
        raise translate_boto_error(answered)


def test_no_credentials(client, tmp_path, monkeypatch):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    error = refused(f"s3://{BUCKET}/x", tmp_path)
    assert isinstance(error, UsageError)
    assert "AWS_ACCESS_KEY_ID" in str(error)
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    assert "AWS_PROFILE" in str(refused(f"s3://{BUCKET}/x", tmp_path))


def test_nobody_listens(client, tmp_path, monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{free_port()}")
    error = refused(f"s3://{BUCKET}/x", tmp_path)
    assert isinstance(error, ProviderError)
    assert "cannot be reached" in str(error)


def test_wrong_credentials_and_those_that_may_not(client, tmp_path, monkeypatch):
    import boto3

    with contextlib.ExitStack() as stack:
        # Requests are free until there are a bucket and a user with a key: three.
        address = stack.enter_context(object_stores.moto(tmp_path, INITIAL_NO_AUTH_ACTION_COUNT="3"))
        boto3.client("s3", endpoint_url=address).create_bucket(Bucket=BUCKET)
        iam = boto3.client("iam", endpoint_url=address)
        iam.create_user(UserName="someone")
        key = iam.create_access_key(UserName="someone")["AccessKey"]
        monkeypatch.setenv("AWS_ENDPOINT_URL", address)
        unknown = refused(f"s3://{BUCKET}/x", tmp_path)
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", key["AccessKeyId"])
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "not the secret of this key")
        wrong = refused(f"s3://{BUCKET}/x", tmp_path)
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", key["SecretAccessKey"])
        forbidden = refused(f"s3://{BUCKET}/x", tmp_path)
    assert [type(error) for error in (unknown, wrong, forbidden)] == [UsageError] * 3
    for error in (unknown, wrong, forbidden):
        assert "s3:PutObject" in str(error)
        assert "not the secret" not in str(error)
    assert {MARK, SUMS}.isdisjoint(path.name for path in tmp_path.iterdir())
