"""Dead letters: what was turned away comes back."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from splade_connectors import DeadLetters, Document, SparseVector
from splade_connectors.documents import Rejected
from splade_connectors.errors import ConfigurationError, InvalidDocument
from splade_connectors.files.dead_letters import Letters
from splade_connectors.testing import MemoryStore
from splade_connectors.testing.encoder import HashEncoder
from splade_connectors.values import stored_payload

DOCUMENT = Document(
    id="a", text="some text", payload={"n": [1, None], "ü": "x"}, dense={"d": (0.5, 1)}, line=3
)


def test_a_document_comes_back_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "letters.jsonl"
    with DeadLetters(path) as letters:
        letters.add(Rejected(id="a", reason="too long", line=3), DOCUMENT)
        letters.add(Rejected(id=None, reason="no id", line=4))
        assert letters.count == 2
    document, rest = Letters(path)
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
    assert json.loads(path.read_text()) == {"id": "a", "reason": "no", "line": 3, "again": False}
    (found,) = Letters(path)
    assert isinstance(found, Rejected)


def test_letters_of_attach_are_not_indexed(tmp_path: Path) -> None:
    path = tmp_path / "letters.jsonl"
    with DeadLetters(path) as letters:
        letters.add(Rejected(id="a", reason="no"), text="its text")
    with pytest.raises(ConfigurationError, match="attach"):
        list(Letters(path))


def test_bad_files_get_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="does not exist"):
        DeadLetters(tmp_path / "nowhere" / "letters.jsonl")
    with pytest.raises(ConfigurationError, match="cannot read the dead letters in"):
        list(Letters(tmp_path / "letters.jsonl"))
    (tmp_path / "x").write_text("[]\n")
    with pytest.raises(ConfigurationError, match=r"line 1 .* not a dead-letter record"):
        list(Letters(tmp_path / "x"))


def letters_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_duplicate_is_kept_and_never_sent_again(tmp_path: Path) -> None:
    path, again = tmp_path / "letters.jsonl", tmp_path / "again.jsonl"
    store = MemoryStore(HashEncoder())
    rows = [DOCUMENT, Document(id="a", text="again"), Rejected(id=None, reason="no JSON", line=9)]
    with DeadLetters(path) as letters:
        report = store.index(rows, dead_letters=letters)
    assert (report.written, report.rejected_count) == (1, 2)
    assert (letters.count, letters.again) == (2, 0)
    assert letters_of(path)[1]["document"]["text"] == "again"
    with DeadLetters(again) as letters:
        report = store.index(Letters(path), dead_letters=letters)
    assert (report.written, report.rejected_count, report.skipped) == (0, 0, 2)
    assert (report.done, report.to_json()["skipped"], report.dead_letters) == (2, 2, None)
    assert not again.exists()
    assert store.get(["a"])[0].payload["text"] == "some text"


def test_letters_that_fail_again_are_skipped_and_the_others_sent(tmp_path: Path) -> None:
    path, again = tmp_path / "letters.jsonl", tmp_path / "again.jsonl"
    with DeadLetters(path) as letters:
        letters.add(Rejected(id=None, reason="line 5 is not JSON", line=5, final=True))
        letters.add(Rejected(id="b", reason="too busy"), Document(id="b", text="water"))
    edited = {"id": "c", "reason": "no", "line": 7, "document": {"text": 5, "payload": {}}}
    with path.open("a") as file:
        file.write(json.dumps(edited) + "\n")
    store = MemoryStore(HashEncoder())
    with DeadLetters(again) as letters:
        report = store.index(Letters(path), dead_letters=letters)
    assert (report.written, report.rejected_count, report.skipped) == (1, 1, 1)
    assert [letter["id"] for letter in letters_of(again)] == ["c"]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)
FLOATS = st.floats(-(2.0**99), 2.0**99, width=32)
DOCUMENTS = st.builds(
    Document,
    id=st.text(st.characters(exclude_categories=("Cs",)), min_size=1) | st.integers(),
    text=st.text(),
    payload=st.dictionaries(st.text(), JSON, max_size=4),
    dense=st.none()
    | st.lists(FLOATS, min_size=1, max_size=3)
    | st.dictionaries(st.text(), st.lists(FLOATS, min_size=1, max_size=3), max_size=2),
    vector=st.none()
    | st.dictionaries(
        st.integers(0, 2**32 - 1), st.floats(2.0**-60, 2.0**99, width=32), max_size=4
    ).map(lambda pairs: SparseVector.from_pairs(pairs.items())[0]),
    line=st.none() | st.integers(1, 10**9),
)


@given(DOCUMENTS)
def test_a_letter_that_is_sent_again_is_what_was_given(document: Document) -> None:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "letters.jsonl"
        with DeadLetters(path) as letters:
            letters.add(Rejected(id=document.id, reason="no", line=document.line), document)
        (found,) = Letters(path)
    if letters.again:
        kept = replace(document, payload=stored_payload(document.payload))
        assert found == kept
        assert repr(found) == repr(kept)  # 1, 1.0 and True are equal, and not the same
    else:
        assert isinstance(found, Rejected)
        with pytest.raises(InvalidDocument):
            stored_payload(document.payload)


class Unspeakable:
    """A value of a caller's whose methods fail."""

    def __repr__(self) -> str:
        raise RuntimeError("no words")


def nested(levels: int, value: Any = 1) -> Any:
    for _ in range(levels):
        value = [value]
    return value


def circular(times: int) -> Any:
    value: list[Any] = []
    value.extend([value] * times)
    return value


class Slippery(dict[str, Any]):
    """A mapping whose items cannot be had."""

    def items(self) -> Any:
        raise RuntimeError("no payload for you")

    __iter__ = keys = values = items


HOPELESS: dict[str, Any] = {
    "slippery": Slippery(a=1),
    "deep": nested(970),
    "deeper": nested(50_000),
    "a tuple for a key": {("a", 1): 2},
    "bytes for a key": {b"a": 2},
    "a number for a key": {1: "a", "1": "b"},
    "contains itself": circular(1),
    "contains itself twice": circular(2),
    "10^5000": 10**5000,
    "infinity": float("inf"),
    "a set": {1},
    "lone surrogate": "\ud800",
    "no repr": Unspeakable(),
    "no repr for a key": {Unspeakable(): 1},
    "a generator": (number for number in [1]),
    "many": [Unspeakable()] * 20_000,
}


@pytest.mark.parametrize("letters_on", [True, False], ids=["letters", "no letters"])
@pytest.mark.parametrize("value", HOPELESS.values(), ids=HOPELESS)
def test_a_payload_that_is_no_json_is_an_ordinary_rejection(
    tmp_path: Path, value: Any, letters_on: bool
) -> None:
    path = tmp_path / "letters.jsonl"
    documents = [
        Document(id=1, text="one"),
        Document(id=2, text="two", payload={"x": value}, line=7),
        Document(id=3, text="three", payload=value if isinstance(value, dict) else {"x": [value]}),
        Document(id=4, text="four"),
    ]
    store = MemoryStore(HashEncoder())
    with DeadLetters(path) as letters:
        report = store.index(documents, dead_letters=letters if letters_on else None)
    assert (report.written, report.rejected_count) == (2, 2)
    assert [item.id for item in report.rejected] == [2, 3]
    assert all("payload" in item.reason and len(item.reason) < 400 for item in report.rejected)
    if letters_on:
        assert letters.again == 0
        assert [letter["id"] for letter in letters_of(path)] == [2, 3]
        assert letters_of(path)[0]["document"]["text"] == "two"
        assert all(isinstance(row, Rejected) and row.final for row in Letters(path))


def test_what_the_server_refused_is_offered_again(tmp_path: Path) -> None:
    with DeadLetters(tmp_path / "letters.jsonl") as letters:
        letters.add(Rejected(id="a", reason="mapper_parsing_exception"), DOCUMENT)
        letters.add(Rejected(id="a", reason="no JSON", final=True), DOCUMENT)
    assert (letters.count, letters.again) == (2, 1)


BROKEN: list[tuple[dict[str, Any], str]] = [
    ({"id": ["a"]}, "must be a string, an integer or a UUID"),
    ({"id": None}, "must be a string, an integer or a UUID"),
    ({"document": {"text": "x"}}, "'payload'"),
    ({"document": {"text": 5, "payload": {}}}, "must be a string"),
    ({"document": {"text": "x", "payload": []}}, "must be a mapping"),
    ({"document": {"text": "x", "payload": {}, "dense": "x"}}, "is not a list of numbers"),
    ({"document": {"text": "x", "payload": {}, "vector": {}}}, "'indices'"),
    ({"document": {"text": "x", "payload": {}, "vector": [1]}}, "is not a valid document"),
    ({"document": "x"}, "is not a valid document"),
    ({"document": {"text": "x", "payload": {}, "vector": {"indices": [-1], "values": [1]}}}, "no"),
]


@pytest.mark.parametrize(("change", "sentence"), BROKEN)
def test_a_letter_that_was_edited_is_a_rejection(
    tmp_path: Path, change: dict[str, Any], sentence: str
) -> None:
    letter = {"id": "a", "reason": "no", "line": "x", "document": {"text": "x", "payload": {}}}
    path = tmp_path / "letters.jsonl"
    path.write_text(json.dumps(letter | change))
    (found,) = Letters(path)
    assert isinstance(found, Rejected)
    assert sentence in found.reason
    assert found.line is None


@pytest.mark.parametrize("line", ["[" * 100_000, "5", "null", '{"reason": "no id"}', "\x00"])
def test_a_line_that_is_no_letter_is_a_sentence(tmp_path: Path, line: str) -> None:
    path = tmp_path / "letters.jsonl"
    path.write_text(line)
    with pytest.raises(ConfigurationError, match=r"line 1 of .* is not a dead-letter record"):
        list(Letters(path))
