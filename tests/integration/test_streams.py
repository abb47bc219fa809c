"""Streams that are closed, or that know fewer characters than documents have."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

from tests.integration.command_line import SCRIPT, jsonl

# Japanese, an emoji, and a character of Latin-1: ASCII has none of them.
WORDS = "日本語 🍎 Äpfel"


def shell(line: str, folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", "-c", line.replace("RUN", f"'{SCRIPT}'")],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        cwd=folder,
        env={**os.environ, **environment},
    )


def test_a_closed_input_is_a_sentence(tmp_path: Path) -> None:
    done = shell("RUN index - edge:shard <&-", tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "error: stdin is closed; name a file\n"
    assert list(tmp_path.iterdir()) == []


def test_a_closed_output_is_a_sentence(tmp_path: Path) -> None:
    jsonl(tmp_path / "x.jsonl", [{"id": 1, "text": "bread"}])
    done = shell("RUN index x.jsonl edge:shard <&- >&-", tmp_path)
    assert done.returncode == 2
    assert done.stderr == (
        "error: stdout is closed; redirect it to /dev/null to discard the results\n"
    )
    assert not (tmp_path / "shard").exists()


def test_without_a_place_for_words_the_work_is_done(tmp_path: Path) -> None:
    jsonl(tmp_path / "x.jsonl", [{"id": 1, "text": "bread"}, "{", {"id": 1, "text": "again"}])
    done = shell("RUN index x.jsonl edge:shard --json --dead-letters d <&- 2>&-", tmp_path)
    assert done.returncode == 1
    assert json.loads(done.stdout)["written"] == 1
    assert len((tmp_path / "d").read_text().splitlines()) == 2


def test_a_narrow_output_shows_what_it_can(tmp_path: Path) -> None:
    text = f"bread {WORDS}"
    jsonl(tmp_path / "x.jsonl", [{"id": WORDS, "text": text, WORDS: WORDS}, {"id": WORDS}])
    narrow = {"PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}
    done = shell("RUN index x.jsonl edge:shard", tmp_path, **narrow)
    assert done.returncode == 1
    assert "\\u65e5\\u672c\\u8a9e \\U0001f34e \\xc4pfel" in done.stderr
    found = shell("RUN search edge:shard bread --json", tmp_path, **narrow)
    assert found.stderr == ""
    assert json.loads(found.stdout)[0]["payload"] == {"text": text, WORDS: WORDS}


def test_json_lines_are_json_in_any_encoding(tmp_path: Path) -> None:
    jsonl(tmp_path / "x.jsonl", [{"id": WORDS, "text": "bread"}])
    narrow = {"PYTHONIOENCODING": "latin-1", "PYTHONUTF8": "0"}
    done = shell("RUN encode x.jsonl", tmp_path, **narrow)
    assert done.stdout.isascii()
    assert json.loads(done.stdout)["id"] == WORDS
