"""Members of zips that are the same bytes wherever and whenever they are written."""

from __future__ import annotations

import zipfile

_FIRST_DAY = (1980, 1, 1, 0, 0, 0)
"""The time of every member: a zip knows none that is earlier."""


def zip_member(name: str) -> zipfile.ZipInfo:
    """A member that says nothing of this machine; stored, since compressors of different versions write different bytes."""
    member = zipfile.ZipInfo(name, _FIRST_DAY)
    member.create_system, member.external_attr = 3, 0o644 << 16
    return member
