"""An export to S3 and what speaks its language: large files go in parts, and after a cut it goes on with the parts that are there."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from core.serving.export.objects import ObjectStore
from core.serving.export.store import PIECE, Told, in_order, tops

MOST_PARTS = 10_000
"""S3's own limit."""
_MEBI = 1 << 20
_Parts = Mapping[int, Mapping[str, Any]]
_CHECKSUMS = ("ChecksumCRC32", "ChecksumCRC32C", "ChecksumCRC64NVME", "ChecksumSHA1", "ChecksumSHA256")


def part_bytes(size: int) -> int:
    """Bytes of each part but the last: the same for the same file, so that parts sent before fit. At least 8 MiB, whole MiB."""
    return max(PIECE, -(-size // MOST_PARTS // _MEBI) * _MEBI)


class S3Store(ObjectStore):
    """A prefix in a bucket.

    Parts that are there already are known by the MD5 sums S3 keeps of them; where a bucket encrypts with KMS keys it keeps others, and a
    file that was cut is sent anew. An upload that was begun for a file of the export is finished or aborted, so that none is left to
    be paid for. Needs s3:PutObject, s3:GetObject, s3:ListBucket, s3:ListBucketMultipartUploads, s3:ListMultipartUploadParts and
    s3:AbortMultipartUpload, and s3:DeleteObject to replace an older export.
    """

    def _put(self, key: str, source: Path, told: Told) -> int:
        size = source.stat().st_size
        if size <= PIECE:
            self._call("put_object", Key=key, Body=source.read_bytes())
            told(size)
            return size
        return self._put_parts(key, source, size, told)

    def _put_parts(self, key: str, source: Path, size: int, told: Told) -> int:
        upload, there = self._begun(key)
        length = part_bytes(size)

        def place(number: int) -> tuple[dict[str, Any], int, int]:
            """A part as the upload's end lists it, its bytes, and how many of them had to travel."""
            content = _read(source, (number - 1) * length, length)
            found = there.get(number)
            if found is None or found["ETag"].strip('"') != hashlib.md5(content, usedforsecurity=False).hexdigest():
                found = self._call("upload_part", Key=key, UploadId=upload, PartNumber=number, Body=content)
                return _listed(number, found), len(content), len(content)
            return _listed(number, found), len(content), 0

        parts, done, sent = [], 0, 0
        for part, of_it, travelled in in_order(place, range(1, -(-size // length) + 1)):
            parts.append(part)
            done, sent = done + of_it, sent + travelled
            told(done)
        self._call("complete_multipart_upload", Key=key, UploadId=upload, MultipartUpload={"Parts": parts})
        return sent

    def _begun(self, key: str) -> tuple[str, _Parts]:
        """The upload to go on with, the one that came furthest or a new one, and its parts by number."""
        begun = {upload["UploadId"]: self._parts(key, upload["UploadId"]) for upload in self._uploads(key) if upload["Key"] == key}
        if not begun:
            return self._call("create_multipart_upload", Key=key)["UploadId"], {}
        furthest = max(begun, key=lambda upload: len(begun[upload]))
        return furthest, begun[furthest]

    def _parts(self, key: str, upload: str) -> _Parts:
        pages = self._pages("list_parts", {"PartNumberMarker": "NextPartNumberMarker"}, Key=key, UploadId=upload)
        return {part["PartNumber"]: part for page in pages for part in page.get("Parts", ())}

    def settle(self, names: Collection[str]) -> None:
        with self._refusals():
            for top in sorted(tops(names)):
                key = self._key(top)
                for upload in list(self._uploads(key)):
                    if upload["Key"] == key or upload["Key"].startswith(f"{key}/"):
                        self._call("abort_multipart_upload", Key=upload["Key"], UploadId=upload["UploadId"])

    def _uploads(self, prefix: str) -> Iterator[Mapping[str, Any]]:
        """Uploads that were begun and not ended."""
        markers = {"KeyMarker": "NextKeyMarker", "UploadIdMarker": "NextUploadIdMarker"}
        for page in self._pages("list_multipart_uploads", markers, Prefix=prefix):
            yield from page.get("Uploads", ())

    def _pages(self, method: str, markers: Mapping[str, str], **arguments: Any) -> Iterator[Mapping[str, Any]]:
        """Answers of a listing; `markers` are its arguments by where an answer has the next one's."""
        while True:
            page = self._call(method, **arguments)
            yield page
            if not page.get("IsTruncated"):
                return
            arguments |= {argument: page[told] for argument, told in markers.items()}

    def _call(self, method: str, **arguments: Any) -> Mapping[str, Any]:
        answer: Mapping[str, Any] = self._files.call_s3(method, Bucket=self._place.bucket, **arguments)
        return answer


def _listed(number: int, part: Mapping[str, Any]) -> dict[str, Any]:
    return {"PartNumber": number, "ETag": part["ETag"], **{name: part[name] for name in _CHECKSUMS if name in part}}


def _read(source: Path, start: int, length: int) -> bytes:
    with source.open("rb") as file:
        file.seek(start, os.SEEK_SET)
        return file.read(length)
