"""Places of exports, of any text."""

from __future__ import annotations

import contextlib
from pathlib import PurePosixPath

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from core.errors import UsageError
from core.serving.export.place import SCHEMES, Place, parse_place

BUCKETS = st.from_regex(r"[a-z0-9][a-z0-9.-]{1,40}", fullmatch=True)
PARTS = st.text(st.characters(exclude_characters="/?#*[]\\", exclude_categories=["C"]), min_size=1, max_size=12).filter(
    lambda part: part not in (".", "..") and part == part.strip()
)


@given(st.sampled_from(sorted(SCHEMES)), BUCKETS, st.lists(PARTS, max_size=4), st.booleans())
def test_what_is_written_is_what_is_meant(scheme, bucket, parts, slash):
    text = f"{scheme}://{bucket}/{'/'.join(parts)}" + ("/" if slash and parts else "")
    place = parse_place(text)
    assert place == Place(SCHEMES[scheme], "/".join(parts), bucket)
    assert parse_place(str(place)) == place


@given(st.text(max_size=40) | st.builds("://".join, st.tuples(st.sampled_from([*SCHEMES, "ftp", ""]), st.text(max_size=30))))
@example("~nobody-of-this-name/x")
@example("s3://bucket/../other")
def test_any_text_is_a_place_or_a_sentence(text):
    with contextlib.suppress(UsageError):
        place = parse_place(text)
        if place.kind == "folder":
            assert PurePosixPath(place.path).is_absolute()
            assert "://" not in text
        else:
            assert place.bucket
            assert not place.path.startswith("/")
            assert ".." not in place.path.split("/")


@given(st.text(st.characters(codec="ascii", categories=["L", "N"]), min_size=12, max_size=30))
def test_keys_in_a_place_are_refused_and_not_repeated(key):
    for text in (f"s3://AKIA:{key}@bucket/x", f"az://c@{key}.dfs.core.windows.net", f"https://{key}@host/x", f"https://h/x?sig={key}"):
        with pytest.raises(UsageError) as refused:
            parse_place(text)
        assert key not in str(refused.value)
