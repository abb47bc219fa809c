"""The code blocks of a page, and which of them are what the block before them prints."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"

# A block may be preceded by a comment that readers of the page do not see: "file: NAME" has the
# block's text written to that file, "needs: NAME" is what the machine must have to run the page.
_BLOCK = re.compile(
    r"^(?:<!-- file: (?P<file>\S+) -->\n)?```(?P<kind>[^\n`]*)\n(?P<body>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)
_NEEDS = re.compile(r"^<!-- needs: (.+) -->$", re.MULTILINE)

# What differs from run to run: durations and rates.
_VARYING = re.compile(r"\d[\d,.]*(?: ?(?:s|ms|min)\b|/s)|under # s")
_ANYTHING = "…"


@dataclass(frozen=True)
class Block:
    """A code block.

    Attributes:
        kind: the word after the backticks.
        body: its text.
        file: the file that the text is written to, if any.
        line: where it begins, from 1.
    """

    kind: str
    body: str
    file: str | None
    line: int


def pages() -> list[Path]:
    """The README and every page of the site that people wrote, but for the record of checks."""
    written = (page for page in DOCS.rglob("*.md") if "generated" not in page.parts)
    others = [ROOT / "README.md", ROOT / "CONTRIBUTING.md"]
    return [*others, *sorted(page for page in written if page.name != "verification.md")]


def blocks(text: str) -> list[Block]:
    """The blocks of a page, in order."""
    return [
        Block(found["kind"], found["body"], found["file"], text.count("\n", 0, found.start()) + 1)
        for found in _BLOCK.finditer(text)
    ]


def needs(text: str) -> list[str]:
    """What a machine must have to run the page, but for servers, which are seen by their ports."""
    return [name for found in _NEEDS.findall(text) for name in found.split(", ")]


def same(shown: str, now: str) -> bool:
    """Whether a page shows what is printed now: but for times, and for lines that it leaves out."""
    parts = re.split(rf"^{_ANYTHING}$\n?", _even(shown), flags=re.MULTILINE)
    pattern = "(?:.*\n)*?".join(re.escape(part) for part in parts)
    return re.fullmatch(pattern, _even(now)) is not None


def _even(text: str) -> str:
    # Columns are as wide as what varies in them.
    lines = (re.sub("  +", "  ", line.rstrip()) for line in text.strip("\n").splitlines())
    return "".join(f"{_VARYING.sub('#', line)}\n" for line in lines)
