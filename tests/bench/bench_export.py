"""How fast a model is exported to a folder and to an S3 server here, beside s3fs alone: `python tests/bench/bench_export.py [MB]`.

s3fs' `put` sends and looks at nothing; an export reads everything back and compares it. So both are told: sending alone, and all of it.
moto computes in Python, on the same cores, and copies the whole object for each piece that is read: what counts is how the lines of sending
compare, not MB/s.
"""

from __future__ import annotations

import os
import random
import sys
import tempfile
import time
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parents[2])]

from core.serving.export.copying import export  # noqa: E402
from core.serving.export.open_store import open_store  # noqa: E402
from core.serving.export.place import parse_place  # noqa: E402
from tests.contracts.stores import s3_rig  # noqa: E402

ROUNDS = 3


def main() -> None:
    megabytes = int(sys.argv[1]) if len(sys.argv) > 1 else 500
    with tempfile.TemporaryDirectory() as scratch, s3_rig(Path(scratch)) as rig:
        os.environ.update(rig.environment)
        model = Path(scratch) / "model.safetensors"
        model.write_bytes(b"".join(random.Random(at).randbytes(1_000_000) for at in range(megabytes)))
        print(f"one file of {megabytes:,} MB, best of {ROUNDS}, MB/s")
        print(f"{'':24}{'sending':>10}{'sent and read back':>21}")
        for name, base in (("a folder", f"{scratch}/there"), ("S3 (moto)", rig.base)):
            runs = [exported(model, f"{base}/{number}") for number in range(ROUNDS)]
            sending, everything = (megabytes / min(column) for column in zip(*runs, strict=True))
            print(f"{name:24}{sending:>10,.0f}{everything:>21,.0f}", flush=True)
        print(f"{'s3fs put to S3 (moto)':24}{megabytes / min(plain(model, number) for number in range(ROUNDS)):>10,.0f}")


def exported(model: Path, place: str) -> tuple[float, float]:
    """Seconds until the last byte was sent, and until the export was whole; the checksum here is known, as that of a session's model is."""
    from core.training.checksums import checksum

    known = {model.name: checksum(model)}
    times: dict[str, float] = {}
    store = open_store(parse_place(place))
    began = time.perf_counter()
    export({model.name: model}, store, lambda what, done, total: times.__setitem__(what, time.perf_counter() - began), known)
    return times["sending"], time.perf_counter() - began


def plain(model: Path, number: int) -> float:
    """Seconds s3fs takes alone."""
    from s3fs import S3FileSystem

    files = S3FileSystem(skip_instance_cache=True)
    began = time.perf_counter()
    files.put(str(model), f"models/plain-{number}/{model.name}")
    return time.perf_counter() - began


if __name__ == "__main__":
    main()
