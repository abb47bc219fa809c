"""Dead letters on a disk that is full from the first line on."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import IO

import pytest

from splade_connectors.files import outputs
from tests.integration.command_line import ROWS, Run, jsonl, target


@pytest.mark.parametrize("is_link", [False, True])
def test_dead_letters_that_have_no_room_are_said_to_be_elsewhere(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_link: bool
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    folder = tmp_path / "full"
    folder.mkdir()
    letters = folder / "letters.jsonl"
    if is_link:
        letters.symlink_to(folder / "place.jsonl")
    write = outputs.write_whole_line

    def full(file: IO[str], line: str) -> None:
        if os.fstat(file.fileno()).st_ino in {
            path.stat().st_ino for path in folder.iterdir() if path.exists()
        }:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        write(file, line)

    monkeypatch.setattr("splade_connectors.files.letter_file.write_whole_line", full)
    corpus = jsonl(tmp_path / "corpus.jsonl", [*ROWS, {"_id": "5"}, {"_id": "6"}])
    done = run("index", corpus, target(tmp_path), "--dead-letters", letters)
    (elsewhere,) = tmp_path.glob("dead-letters-*.jsonl")
    warning = f"warning: writing dead letters to {elsewhere}: {letters} is full (No space left on"
    assert (done.code, done.err.count(warning)) == (1, 1), done.err
    assert f"see {elsewhere}" in done.err
    assert len(elsewhere.read_text().splitlines()) == 2
    assert [path for path in folder.iterdir() if not path.is_symlink()] == []
