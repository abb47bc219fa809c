"""Server versions as comparable tuples of numbers."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

Version = tuple[int, ...]


@lru_cache
def parse_version(text: str) -> Version:
    """A version's numbers: "8.15.0-SNAPSHOT" gives (8, 15, 0)."""
    return tuple(int(part) for part in text.split("-")[0].split(".") if part.isdecimal())


def version_text(version: Sequence[int]) -> str:
    """The inverse: (8, 15, 0) gives "8.15.0"."""
    return ".".join(map(str, version))
