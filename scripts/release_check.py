"""Check that every file has the version of a tag: python scripts/release_check.py v1.2.3."""

from __future__ import annotations

import re
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
# The files with the version, and the line that holds it.
FILES = {
    "pyproject.toml": r'^version = "(.+)"$',
    "splade_connectors/__init__.py": r'^__version__ = "(.+)"$',
    "CITATION.cff": r"^version: (.+)$",
    # The newest section; a date must have replaced "unreleased".
    "CHANGELOG.md": r"^## (\d\S*) - \d{4}-\d\d-\d\d$",
}


def versions(*, released: bool) -> dict[str, str]:
    """The version in each file; unless `released`, the changelog's section needs no date."""
    found = {}
    for name, pattern in FILES.items():
        if not released:
            pattern = pattern.replace(r"\d{4}-\d\d-\d\d", ".*")
        match = re.search(pattern, (ROOT / name).read_text(encoding="utf-8"), re.MULTILINE)
        found[name] = match[1] if match else "no released version"
    return found


def main(tag: str) -> int:
    """Return 0 if all files agree with the tag, otherwise name those that differ and return 1."""
    wrong = {name: it for name, it in versions(released=True).items() if f"v{it}" != tag}
    for name, version in wrong.items():
        print(f"{name} says {version}, the tag is {tag}", file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
