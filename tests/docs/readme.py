"""The README's code blocks: Python with its output, and console sessions with theirs.

    python -m tests.docs.readme --update

runs the sessions and writes what they printed into the README; the tests compare instead.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

README = Path(__file__).parents[2] / "README.md"
_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)

# What differs from run to run: durations and rates.
_VARYING = re.compile(r"\d+(?:\.\d+)? (?:s|ms)\b|\d+/s")


def blocks(kind: str) -> list[str]:
    """The contents of all blocks of a kind, in order."""
    return [
        body for found, body in _BLOCK.findall(README.read_text(encoding="utf-8")) if found == kind
    ]


def without_times(text: str) -> str:
    """The text with durations and rates replaced by "#"."""
    return _VARYING.sub("#", text)


def run_session(body: str, folder: Path) -> str:
    """Run the commands of a console block in a folder: the same block with what they print now."""
    environment = {**os.environ, "COLUMNS": "100", "NO_COLOR": "1"}
    # The console script of this environment, whatever else is on the path.
    environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{environment['PATH']}"
    shown = []
    for line in body.splitlines():
        if not line.startswith("$ "):
            continue
        done = subprocess.run(
            shlex.split(line[2:]),
            cwd=folder,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{line}: {done.stderr}"
        output = "\n".join(part.rstrip() for part in done.stdout.splitlines())
        shown += [line, output]
    return "\n".join(shown) + "\n"


def update() -> None:
    """Write the sessions' present output into the README."""
    text = README.read_text(encoding="utf-8")
    with tempfile.TemporaryDirectory() as folder:
        for body in blocks("console"):
            text = text.replace(body, run_session(body, Path(folder)))
    README.write_text(text, encoding="utf-8")


if __name__ == "__main__" and "--update" in sys.argv:
    update()
