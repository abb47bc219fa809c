"""Dead letters: what was turned away comes back."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from splade_connectors import DeadLetters, Document
from splade_connectors.documents import Rejected
from splade_connectors.errors import ConfigurationError
from splade_connectors.files.dead_letters import read_dead_letters
from splade_connectors.testing import MemoryStore
from splade_connectors.testing.encoder import HashEncoder

DOCUMENT = Document(
    id="a", text="some text", payload={"n": [1, None], "ü": "x"}, dense={"d": (0.5, 1)}, line=3
)


def test_a_document_comes_back_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "letters.jsonl"
    with DeadLetters(path) as letters:
        letters.add(Rejected(id="a", reason="too long", line=3), DOCUMENT)
        letters.add(Rejected(id=None, reason="no id", line=4))
        assert letters.count == 2
    document, rest = read_dead_letters(path)
    assert isinstance(document, Document)
    assert (document.id, document.text, document.line) == ("a", "some text", 3)
    assert document.payload == DOCUMENT.payload
    assert document.dense == {"d": [0.5, 1.0]}
    assert isinstance(rest, Rejected)
    assert "no id" in rest.reason
    assert rest.line == 4


def test_without_rejections_there_is_no_file(tmp_path: Path) -> None:
    with DeadLetters(tmp_path / "letters.jsonl"):
        pass
    assert list(tmp_path.iterdir()) == []


def test_bodies_can_be_left_out(tmp_path: Path) -> None:
    path = tmp_path / "letters.jsonl"
    with DeadLetters(path, bodies=False) as letters:
        letters.add(Rejected(id="a", reason="no", line=3), DOCUMENT)
    assert json.loads(path.read_text()) == {"id": "a", "reason": "no", "line": 3}
    (found,) = read_dead_letters(path)
    assert isinstance(found, Rejected)


def test_letters_of_attach_are_not_indexed(tmp_path: Path) -> None:
    path = tmp_path / "letters.jsonl"
    with DeadLetters(path) as letters:
        letters.add(Rejected(id="a", reason="no"), text="its text")
    with pytest.raises(ConfigurationError, match="attach"):
        list(read_dead_letters(path))


def test_bad_files_get_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="no folder"):
        DeadLetters(tmp_path / "nowhere" / "letters.jsonl")
    with pytest.raises(ConfigurationError, match="cannot be read"):
        list(read_dead_letters(tmp_path / "letters.jsonl"))
    (tmp_path / "x").write_text("[]\n")
    with pytest.raises(ConfigurationError, match=r"line 1 .* no dead letter"):
        list(read_dead_letters(tmp_path / "x"))


def test_a_run_keeps_what_it_rejected(tmp_path: Path) -> None:
    path = tmp_path / "letters.jsonl"
    store = MemoryStore(HashEncoder())
    rows = [DOCUMENT, Document(id="a", text="again"), Rejected(id=None, reason="no JSON", line=9)]
    with DeadLetters(path) as letters:
        report = store.index(rows, dead_letters=letters)
    assert (report.written, report.rejected_count, letters.count) == (1, 2, 2)
    found = [row for row in read_dead_letters(path) if isinstance(row, Document)]
    assert [document.text for document in found] == ["again"]
