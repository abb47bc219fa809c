"""Check that two wheels hold the same files: python scripts/same_wheel.py WHEEL OTHER."""

from __future__ import annotations

import sys
import zipfile


def contents(wheel: str) -> dict[str, bytes]:
    """The files of a wheel: name -> bytes."""
    with zipfile.ZipFile(wheel) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def main(wheel: str, other: str) -> None:
    """Print the differences, and exit with 1 if there are any."""
    ours, theirs = contents(wheel), contents(other)
    missing = sorted(ours.keys() - theirs.keys())
    added = sorted(theirs.keys() - ours.keys())
    changed = sorted(name for name in ours.keys() & theirs.keys() if ours[name] != theirs[name])
    for what, names in (("missing", missing), ("added", added), ("different", changed)):
        for name in names:
            print(f"{what} in {other}: {name}")
    if missing or added or changed:
        sys.exit(1)
    print(f"{len(ours)} files, the same in both wheels")


if __name__ == "__main__":
    main(*sys.argv[1:])
