"""Two runs that name one file for their dead letters: neither loses any."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from pathlib import Path

import pytest

from splade_connectors.documents import Rejected
from splade_connectors.files.dead_letters import DeadLetters

_OTHER_RUN = """
import sys
from splade_connectors.documents import Rejected
from splade_connectors.files.dead_letters import DeadLetters
with DeadLetters(sys.argv[1]) as letters:
    letters.add(Rejected(id="other", reason="r", line=1))
    print("written", flush=True)
    sys.stdin.read()
"""


def _ids(path: Path) -> list[str]:
    return [json.loads(line)["id"] for line in path.read_text(encoding="utf-8").splitlines()]


@pytest.mark.skipif(sys.platform == "win32", reason="there, a file that is open is not replaced")
def test_the_second_one_takes_another_name(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "letters.jsonl"
    command = [sys.executable, "-c", _OTHER_RUN, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout
        assert other.stdout.readline() == b"written\n"
        with caplog.at_level(logging.WARNING), DeadLetters(path) as letters:
            letters.add(Rejected(id="mine", reason="r", line=1))
        other.communicate()
    assert letters.path == tmp_path / "letters-2.jsonl"
    assert (_ids(path), _ids(letters.path)) == (["other"], ["mine"])
    assert (
        f"writing dead letters to {letters.path}: another run is writing to {path}" in caplog.text
    )


def test_a_run_after_the_other_replaces_its_file(tmp_path: Path) -> None:
    path = tmp_path / "letters.jsonl"
    for name in ("first", "second"):
        with DeadLetters(path) as letters:
            letters.add(Rejected(id=name, reason="r", line=1))
        assert letters.path == path
    assert _ids(path) == ["second"]
    assert [file.name for file in tmp_path.iterdir()] == ["letters.jsonl"]
