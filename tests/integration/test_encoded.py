"""What `encode` writes, `index` reads: the same index as that of the texts."""

from __future__ import annotations

import gzip
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from splade_connectors import Document, SparseEncoder, WriteOptions, connect
from splade_connectors.errors import ConfigurationError
from splade_connectors.files.readers import FileReader
from splade_connectors.files.sources import FilesReader
from splade_connectors.testing import HashEncoder, MemoryStore
from tests.integration.command_line import ROWS, Run, jsonl, refusal, target

IDS: Sequence[str | int] = ["1", "2", "3", 4]


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    return jsonl(tmp_path / "corpus.jsonl", ROWS)


def stored(place: str, encoder: SparseEncoder) -> list[Any]:
    with connect(place, encoder=encoder) as store:
        return store.get(IDS, with_vectors=True)


@pytest.mark.parametrize("form", ["lines", "array", "ids", "packed"])
def test_the_index_is_that_of_the_texts(
    run: Run, corpus: Path, tmp_path: Path, encoder: SparseEncoder, form: str
) -> None:
    vectors = tmp_path / "vectors.json"
    more = {"array": ["--json"], "ids": ["--ids"]}.get(form, [])
    assert run("encode", corpus, "--payload", "-o", vectors, *more).code == 0
    if form == "packed":
        packed = tmp_path / "vectors.jsonl.gz"
        packed.write_bytes(gzip.compress(vectors.read_bytes()))
        vectors = packed
    done = run("index", vectors, target(tmp_path), "--json")
    assert (done.code, done.json["written"], done.json["tokens"]) == (0, 4, 0)  # none was encoded
    plain = f"edge:{tmp_path}/plain"
    assert run("index", corpus, plain).code == 0
    assert stored(target(tmp_path), encoder) == stored(plain, encoder)
    assert run("verify", target(tmp_path)).code == 0
    again = run("index", corpus, target(tmp_path), "--skip-unchanged", "--json").json
    assert again["rejected"] == 0


def test_without_payload_there_are_vectors_alone(
    run: Run, corpus: Path, tmp_path: Path, encoder: SparseEncoder
) -> None:
    vectors = tmp_path / "vectors.jsonl"
    run("encode", corpus, "-o", vectors)
    assert set(json.loads(vectors.read_text().splitlines()[0])) == {"id", "terms", "made_by"}
    assert run("index", vectors, target(tmp_path)).code == 0
    run("index", corpus, f"edge:{tmp_path}/plain")
    pairs = zip(
        stored(target(tmp_path), encoder), stored(f"edge:{tmp_path}/plain", encoder), strict=True
    )
    for alone, whole in pairs:
        assert (alone.payload, alone.vector) == ({}, whole.vector)


def test_other_settings_are_refused_by_name(run: Run, corpus: Path, tmp_path: Path) -> None:
    vectors = tmp_path / "vectors.jsonl"
    run("encode", corpus, "-o", vectors, "--payload", "--prune-top-k", "16")
    sentence = refusal(run("index", vectors, target(tmp_path), "--prune-top-k", "8"))
    assert "other settings (prune_top_k: the file has 16, the index 8)" in sentence
    assert run("inspect", target(tmp_path), "--json").json["exists"] is False
    run("index", corpus, f"edge:{tmp_path}/plain")
    sentence = refusal(run("index", vectors, f"edge:{tmp_path}/plain"))
    assert "other settings (prune_top_k: the file has 16, the index None)" in sentence
    # A new index takes the settings of its vectors.
    assert run("index", vectors, target(tmp_path)).code == 0
    run("index", corpus, f"edge:{tmp_path}/pruned", "--prune-top-k", "16")
    manifests = [
        run("inspect", place, "--json").json["manifest"]
        for place in (target(tmp_path), f"edge:{tmp_path}/pruned")
    ]
    assert manifests[0] == manifests[1]
    assert manifests[0]["prune_top_k"] == 16
    rows = [json.loads(line) for line in vectors.read_text().splitlines()]
    other = [{**row, "made_by": {**row["made_by"], "model": "another"}} for row in rows]
    path = jsonl(tmp_path / "other.jsonl", other)
    assert "model: the file has 'another'" in refusal(run("index", path, target(tmp_path)))
    assert run("index", path, target(tmp_path), "--override-manifest").code == 0
    path = jsonl(tmp_path / "broken.jsonl", [{**rows[0], "made_by": {"model": 1}}])
    assert "does not record the settings" in refusal(run("index", path, target(tmp_path)))


def test_columns_of_encoded_rows(run: Run, corpus: Path, tmp_path: Path) -> None:
    vectors = tmp_path / "vectors.jsonl"
    run("encode", corpus, "-o", vectors, "--payload", "--rename", "lang=language")
    options = ["--exclude", "language", "--json"]
    assert run("index", vectors, target(tmp_path), *options).json["written"] == 4
    hits = run("search", target(tmp_path), "bread", "--json").json
    assert set(hits[0]["payload"]) == {"title", "text"}
    for option in (["--id-field", "key"], ["--strip-html"]):
        sentence = refusal(run("index", vectors, target(tmp_path), *option))
        assert f"contains vectors, so {option[0]} comes too late; pass it to encode" in sentence
    assert "the input is already encoded; pass it to index" in refusal(run("encode", vectors))


@pytest.fixture
def rows() -> list[dict[str, Any]]:
    """Rows of the encoder that hashes."""
    encoder = HashEncoder()
    store = MemoryStore(encoder)
    store.index([Document(id=1, text="water and salt")])
    manifest = store.inspect().manifest
    assert manifest is not None
    vector = encoder.encode_documents(["water and salt"])[0]
    terms = dict(zip(encoder.tokens(vector.indices.tolist()), vector.values.tolist(), strict=True))
    made_by = {**manifest.to_json(), "key_style": "token"}
    return [{"id": n, "terms": terms, "made_by": made_by} for n in range(5)]


def test_rows_that_are_no_vectors_are_rejected(tmp_path: Path, rows: list[dict[str, Any]]) -> None:
    terms = rows[0]["terms"]
    bad: list[dict[str, Any]] = [
        {**rows[1], "terms": {**terms, "nothing like it": 1.0}},
        {**rows[1], "terms": {**terms, next(iter(terms)): "1"}},
        {**rows[1], "terms": {**terms, next(iter(terms)): -1.0}},
        {**rows[1], "terms": [1]},
        {**rows[1], "made_by": {**rows[1]["made_by"], "max_length": 8}},
        {**rows[1], "payload": [1]},
        {**rows[1], "id": None},
    ]
    store = MemoryStore(HashEncoder())
    with FileReader(jsonl(tmp_path / "x.jsonl", [rows[0], *bad, rows[2]])) as reader:
        report = store.index(reader, options=WriteOptions(text_fields=reader.text_fields))
    assert report.written == 2
    assert [item.reason for item in report.rejected] == [
        f"the vocabulary of 'hash' lacks 1 of the row's {len(terms) + 1} terms",
        "a weight of the row's vector is not a number",
        report.rejected[2].reason,
        "the row has no vector ('terms')",
        "the row was encoded with different settings from the first row",
        "the row's payload is not an object",
        report.rejected[6].reason,
    ]
    assert "-1.0" in report.rejected[2].reason
    assert "must be a string, an integer or a UUID" in report.rejected[6].reason


def test_a_reader_of_vectors_is_handed_over_whole(
    tmp_path: Path, rows: list[dict[str, Any]]
) -> None:
    path = jsonl(tmp_path / "x.jsonl", rows)
    with FileReader(path) as reader, pytest.raises(ConfigurationError, match=r"to store\.index"):
        list(reader)
    texts = jsonl(tmp_path / "y.jsonl", [{"id": "y", "text": "water"}])
    with pytest.raises(
        ConfigurationError, match=r"y\.jsonl is not encoded like the files before it"
    ):
        FilesReader([path, texts])
    other = jsonl(tmp_path / "z.jsonl", [{**row, "id": f"z{row['id']}"} for row in rows])
    store = MemoryStore(HashEncoder())
    with FilesReader([path, other]) as files:
        assert store.index(files).written == 10
