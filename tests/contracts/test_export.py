"""What every place that a model is exported to must do: the same tests for each, against real servers."""

from __future__ import annotations

import contextlib
import hashlib
import os
import random
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from core.errors import CalmtuneError, ProviderError, StepFailed, UsageError
from core.serving.export.copying import MARK, SUMS, export
from core.serving.export.open_store import open_store
from core.serving.export.place import parse_place
from core.serving.export.store import PIECE
from tests.contracts.stores import azure_rig, folder_rig, google_rig, s3_rig

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.filterwarnings("ignore:Sending a large body directly:ResourceWarning")  # gcsfs does, and may
RIGS = {"s3": s3_rig, "gs": google_rig, "az": azure_rig}
CHILD = """
import os, signal, sys
from pathlib import Path
from core.serving.export.copying import export
from core.serving.export.open_store import open_store
from core.serving.export.place import parse_place

source, place, limit = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])

def tell(what, done, total):
    if what == "sending" and done >= limit:
        os.kill(os.getpid(), signal.SIGKILL)

export({"model": source}, open_store(parse_place(place)), tell)
"""


@pytest.fixture(scope="module", params=["folder", *RIGS])
def rig(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("store")
    with contextlib.ExitStack() as stack:
        yield folder_rig(folder) if request.param == "folder" else stack.enter_context(RIGS[request.param](folder))


@pytest.fixture
def place(rig, request, monkeypatch):
    """A place of the test's own."""
    for name, value in rig.environment.items():
        monkeypatch.setenv(name, value)
    own = re.sub(r"\W", "-", request.node.name)
    return parse_place(f"{rig.base}/{own}/model one")


@pytest.fixture
def found(rig, place):
    """What is in the place, past calmtune."""
    prefix = str(place).removeprefix(f"{rig.base}/")
    return lambda: rig.read(prefix)


@pytest.fixture
def put(rig, place):
    prefix = str(place).removeprefix(f"{rig.base}/")
    return lambda name, content: rig.write(f"{prefix}/{name}", content)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """Two and a half pieces in one file, and small ones before and behind it."""
    folder = tmp_path_factory.mktemp("source") / "model"
    (folder / "more").mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    (folder / "model.safetensors").write_bytes(random.Random(0).randbytes(PIECE * 5 // 2))
    (folder / "more" / "näme with blanks.txt").write_text("small")
    return folder


SIZES = {"config.json": 2, "model.safetensors": PIECE * 5 // 2, "more/näme with blanks.txt": 5}


def whole(model: Path) -> dict[str, bytes]:
    return {f"model/{name}": (model / name).read_bytes() for name in SIZES}


def test_everything_arrives_and_a_second_time_nothing_travels(place, found, model, tmp_path):
    told = []
    done = export({"model": model}, open_store(place), lambda *one: told.append(one))
    there = found()
    assert {name: there[name] for name in there if name not in (SUMS, MARK)} == whole(model)
    assert (done.place, done.files, done.sent_files) == (str(place), 3, 3)
    assert done.bytes == done.sent_bytes == sum(SIZES.values())
    for what in ("sending", "reading back"):
        amounts = [amount for said, amount, _ in told if said == what]
        assert amounts == sorted(amounts)
        assert amounts[-1] == done.bytes
        assert len(amounts) >= 3
    again = export({"model": model}, open_store(place))
    assert (again.sent_files, again.sent_bytes, again.bytes) == (0, 0, done.bytes)
    for name, content in found().items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(content)
    checked = subprocess.run(["sha256sum", "--check", SUMS], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stderr
    assert checked.stdout.count(": OK") == 3


def test_killed_in_the_middle_it_goes_on_where_it_was(rig, place, found, tmp_path):
    source = tmp_path / "model"
    source.mkdir()
    contents = {"a": b"{}", "b": random.Random(0).randbytes(max(rig.in_one, PIECE) * 5 // 4 + PIECE), "c": b"small"}
    for name, content in contents.items():
        (source / name).write_bytes(content)
    child = subprocess.run(
        [sys.executable, "-c", CHILD, str(source), str(place), str(PIECE)],
        env={**os.environ, **rig.environment, "PYTHONPATH": str(ROOT)},
        stderr=subprocess.PIPE,
        check=False,
    )
    assert child.returncode == -signal.SIGKILL, child.stderr.decode()
    assert found().keys() & {SUMS, "model/a", "model/b", "model/c"} == {"model/a"}, "what is not whole is not found under its name"
    done = export({"model": source}, open_store(place))
    there = found()
    assert there.keys() == {SUMS, MARK, "model/a", "model/b", "model/c"}, "nothing is left beside"
    assert all(there[f"model/{name}"] == content for name, content in contents.items())
    assert done.sent_files == 2, "the small file before was there"
    if rig.kind in ("folder", "s3"):  # the others begin the file anew
        assert done.sent_bytes <= done.bytes - PIECE
    assert rig.begun() == 0


def test_what_is_damaged_there_is_sent_again_and_nothing_else(place, found, put, model):
    export({"model": model}, open_store(place))
    content = bytearray((model / "model.safetensors").read_bytes())
    content[PIECE + 5] ^= 1
    put("model/model.safetensors", bytes(content))
    done = export({"model": model}, open_store(place))
    assert done.sent_files == 1
    assert found()["model/model.safetensors"] == (model / "model.safetensors").read_bytes()


def test_what_arrives_damaged_is_found_when_it_is_read_back(place, found, put, model):
    def damage_once(what: str, done: int, total: int) -> None:
        if what == "reading back" and not damaged:
            damaged.append(True)
            put("model/more/näme with blanks.txt", b"smell")

    damaged: list[bool] = []
    done = export({"model": model}, open_store(place), damage_once)
    assert done.sent_bytes == done.bytes + 5
    assert found()["model/more/näme with blanks.txt"] == b"small"


def test_what_arrives_damaged_twice_is_an_error_with_its_name(place, found, put, model, tmp_path):
    def damage(what: str, done: int, total: int) -> None:
        if what.startswith("reading back") and done < total:
            put("model/y", b"smell")
            put("model/z", b"smell")

    source = tmp_path / "model"
    source.mkdir()
    for name in "xyz":
        (source / name).write_text(f"small {name}")
    with pytest.raises(ProviderError, match="model/z arrives damaged"):
        export({"model": source}, open_store(place), damage)
    assert SUMS not in found()


def test_a_file_that_changes_meanwhile_is_an_error(place, found, tmp_path):
    source = tmp_path / "model"
    source.mkdir()
    (source / "x").write_text("before")

    def change(what: str, done: int, total: int) -> None:
        (source / "x").write_text("behind")

    wrong = hashlib.sha256(b"never").hexdigest()
    with pytest.raises(StepFailed, match="changed while it was exported"):
        export({"model": source}, open_store(place), change, {"model/x": wrong})
    assert SUMS not in found()


def test_another_model_takes_the_place_of_the_one_before(place, found, put, tmp_path):
    for number, names in enumerate(("ab", "bc")):
        source = tmp_path / str(number)
        source.mkdir()
        for name in names:
            (source / name).write_text(f"{name} of {number}")
        if number:
            put("notes.txt", b"of the owner")
        export({"model": source}, open_store(place))
    there = found()
    assert {name for name in there if name not in (SUMS, MARK)} == {"model/b", "model/c", "notes.txt"}
    assert there["model/b"] == b"b of 1"
    assert [line.partition("  ")[2] for line in there[SUMS].decode().splitlines()] == ["model/b", "model/c"]


def test_the_old_sums_are_gone_before_the_first_new_file_is_there(place, found, tmp_path):
    def look(what: str, done: int, total: int) -> None:
        if what == "sending":
            seen.append(SUMS in found())

    seen: list[bool] = []
    for content in ("one", "two"):
        source = tmp_path / content
        source.mkdir()
        (source / "file").write_text(content)
        export({"model": source}, open_store(place), look)
    assert seen
    assert not any(seen)
    assert SUMS in found()


@pytest.mark.parametrize("name", ["model/x", SUMS])
def test_files_of_somebody_else_are_left_alone(place, found, put, tmp_path, name):
    source = tmp_path / "model"
    source.mkdir()
    (source / "x").write_text("ours!")
    put(name, b"yours")
    with pytest.raises(UsageError, match=f"{name} already"):
        export({"model": source}, open_store(place))
    assert found() == {name: b"yours"}


def test_names_in_the_mark_that_lead_elsewhere_are_not_followed(rig, place, found, put, tmp_path):
    source = tmp_path / "model"
    source.mkdir()
    (source / "x").write_text("ours")
    put("../kept.txt", b"kept") if rig.kind == "folder" else put("kept.txt", b"kept")
    put(MARK, b"../kept.txt\n/etc/hostname\nmodel/../../kept.txt\n..\n\n")
    export({"model": source}, open_store(place))
    if rig.kind == "folder":
        assert (Path(place.path).parent / "kept.txt").read_bytes() == b"kept"
    assert {name for name in found() if name.startswith("model/")} == {"model/x"}


def test_an_empty_file_and_one_of_a_whole_piece(place, found, tmp_path):
    source = tmp_path / "model"
    source.mkdir()
    contents = {"empty": b"", "piece": bytes(PIECE), "two": bytes(2 * PIECE)}
    for name, content in contents.items():
        (source / name).write_bytes(content)
    export({"model": source}, open_store(place))
    assert {name: content for name, content in found().items() if name.startswith("model/")} == {
        f"model/{name}": content for name, content in contents.items()
    }


def test_what_tell_raises_ends_it_and_is_passed_on(place, model):
    def stop(what: str, done: int, total: int) -> None:
        raise CalmtuneError("enough")

    with pytest.raises(CalmtuneError, match="enough"):
        export({"model": model}, open_store(place), stop)


# What the owner hears


def refused(place: str, tmp_path: Path) -> CalmtuneError:
    (tmp_path / "x").write_text("content")
    with pytest.raises(CalmtuneError) as error:
        export({"x": tmp_path / "x"}, open_store(parse_place(place)))
    return error.value


def test_a_bucket_that_is_not_there(rig, place, tmp_path):
    if rig.kind == "folder":
        pytest.skip("folders are made")
    error = refused(f"{rig.kind}://no-such-bucket/x", tmp_path)
    assert isinstance(error, UsageError)
    assert "there is no bucket no-such-bucket" in str(error)


def test_a_folder_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    error = refused(str(tmp_path / "file" / "below"), tmp_path)
    assert isinstance(error, StepFailed)
    assert f"{tmp_path}/file/below" in str(error)


def test_google_without_credentials(tmp_path, monkeypatch):
    pytest.importorskip("gcsfs")
    monkeypatch.delenv("STORAGE_EMULATOR_HOST", raising=False)
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "none.json"))
    with pytest.raises(UsageError, match="gcloud auth application-default login"):
        open_store(parse_place("gs://models/x"))


def test_azure_without_an_account(monkeypatch):
    pytest.importorskip("adlfs")
    for name in ("AZURE_STORAGE_ACCOUNT_NAME", "AZURE_STORAGE_CONNECTION_STRING"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(UsageError, match="AZURE_STORAGE_ACCOUNT_NAME"):
        open_store(parse_place("az://models/x"))


def test_azure_with_a_wrong_key(rig, place, tmp_path, monkeypatch):
    if rig.kind != "az":
        pytest.skip("of Azure's")
    wrong = rig.environment["AZURE_STORAGE_CONNECTION_STRING"].replace("Eby8", "Xby8")
    monkeypatch.setenv("AZURE_STORAGE_CONNECTION_STRING", wrong)
    error = refused(str(place), tmp_path)
    assert isinstance(error, UsageError)
    assert "Storage Blob Data Contributor" in str(error)
    assert "Xby8" not in str(error)


@pytest.mark.parametrize(("place", "package"), [("s3://bucket/x", "s3fs"), ("gs://bucket/x", "gcsfs"), ("az://bucket/x", "adlfs")])
def test_without_the_packages(place, package, monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(UsageError, match=rf"needs the package {package}; install calmtune\[export\]"):
        open_store(parse_place(place))
    monkeypatch.setitem(sys.modules, "fsspec", None)
    (tmp_path / "x").write_text("content")
    assert export({"x": tmp_path / "x"}, open_store(parse_place(str(tmp_path / "there")))).files == 1, "a folder needs none"
