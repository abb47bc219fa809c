"""Several files as one: patterns, folders, the standard input; each is looked at before any."""

from __future__ import annotations

import gzip
import io
import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest

from splade_connectors import connect
from splade_connectors.documents import Document, Rejected
from splade_connectors.errors import ConfigurationError
from splade_connectors.files.dead_letters import DeadLetters, Letters
from splade_connectors.files.sources import FilesReader
from splade_connectors.testing import HashEncoder, MemoryStore


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Files of every format, and what other programs leave beside them."""
    place = tmp_path / "rows"
    (place / "deep").mkdir(parents=True)
    (place / "a.jsonl").write_text('{"id": "a1", "text": "one"}\n{"id": "a2"}\n')
    (place / "b.csv").write_text("id;text;n\nb1;two;1\nb2;three;2\n")
    (place / "c.json.gz").write_bytes(gzip.compress(b'[{"id": "c1", "text": "four"}]'))
    table = pyarrow.table({"id": ["d1"], "text": ["five"]})
    pyarrow.parquet.write_table(table, place / "deep" / "d.parquet")
    (place / "deep" / "empty.jsonl").write_text("")
    for name in ("_SUCCESS", ".a.jsonl.crc", "notes.txt"):
        (place / name).write_text("no rows")
    return place


def ids(reader: FilesReader) -> list[Any]:
    with reader:
        return [row.id for row in reader]


ALL = ["a1", "a2", "b1", "b2", "c1", "d1"]


def test_a_folder_is_all_files_of_a_known_format(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    reader = FilesReader([folder])
    assert [path.name for path in reader.paths] == [
        "a.jsonl", "b.csv", "c.json.gz", "d.parquet", "empty.jsonl",
    ]  # fmt: skip
    assert ids(reader) == ALL
    assert f"skipped files of unknown format in {folder}: 'notes.txt'" in caplog.text


@pytest.mark.parametrize("named", ["folder", "pattern"])
def test_shards_of_edge_targets_are_no_rows(
    folder: Path, named: str, caplog: pytest.LogCaptureFixture
) -> None:
    """`index . edge:articles`, and the same again: what it made the first time lies there too."""
    with connect(f"edge:{folder}/sub/shard", encoder=HashEncoder()) as store:
        store.index([Document(id=1, text="x")])
    source = [str(folder)] if named == "folder" else [f"{folder}/**/*.json*"]
    with FilesReader(source) as reader:
        found = {row.id for row in reader if isinstance(row, Document)}
    assert found == ({"a1", "b1", "b2", "c1", "d1"} if named == "folder" else {"a1", "c1"})
    told = f"passed over in {folder}, shards of edge: targets: 'sub/shard'"
    assert (told in caplog.text) == (named == "folder")
    with pytest.raises(ConfigurationError, match="has no file of a known format"):
        FilesReader([f"{folder}/sub"])


def test_documents_and_rejections_name_their_file(folder: Path, tmp_path: Path) -> None:
    store = MemoryStore(HashEncoder())
    with FilesReader([folder]) as reader, DeadLetters(tmp_path / "letters.jsonl") as letters:
        rows = list(reader)
        report = store.index(rows, dead_letters=letters)
    assert [Path(str(row.file)).name for row in rows][:3] == ["a.jsonl", "a.jsonl", "b.csv"]
    (bad,) = [row for row in rows if isinstance(row, Rejected)]
    assert (bad.file, bad.line) == (str(folder / "a.jsonl"), 2)
    assert report.written == 5
    assert report.to_json()["rejections"][0]["file"] == str(folder / "a.jsonl")
    assert json.loads((tmp_path / "letters.jsonl").read_text())["file"] == str(folder / "a.jsonl")
    (again,) = Letters(tmp_path / "letters.jsonl")
    assert again.line == 2


def test_patterns_and_names_in_their_order_each_file_once(folder: Path) -> None:
    assert ids(FilesReader([folder / "b.csv", f"{folder}/*.json*", folder])) == [
        "b1", "b2", "a1", "a2", "c1", "d1",
    ]  # fmt: skip
    assert ids(FilesReader([f"{folder}/**/*.parquet"])) == ["d1"]
    strange = folder / "x[1].jsonl"
    strange.write_text('{"id": "x", "text": "y"}')
    assert ids(FilesReader([strange])) == ["x"]  # a file that is there is no pattern


def test_the_standard_input_among_others(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = io.BufferedReader(io.BytesIO(b'{"id": "s", "text": "spoken"}\n'))
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=data))
    reader = FilesReader([folder / "c.json.gz", "-", folder / "b.csv"])
    assert reader.fraction is None
    assert ids(reader) == ["c1", "s", "b1", "b2"]


def test_options_for_tables_are_for_the_tables_among_them(folder: Path) -> None:
    with FilesReader([folder], infer_types=True, encoding="utf-8") as reader:
        found = {row.id: row.payload for row in reader if isinstance(row, Document)}
    assert found["b1"] == {"text": "two", "n": 1}
    with pytest.raises(
        ConfigurationError, match="apply only to CSV and TSV, but there are no such files"
    ):
        FilesReader([folder / "a.jsonl", folder / "c.json.gz"], infer_types=True)


@pytest.mark.parametrize(
    ("sources", "sentence"),
    [
        (["*.jsonl"], r"no file matches '.*\*\.jsonl'"),
        (["none.jsonl"], r"cannot read .*none\.jsonl: No such file"),
        (["a.jsonl", "bad.csv"], r"bad\.csv has no id field"),
        (["a.jsonl", "other.jsonl"], r"other\.jsonl has no text field \(text\); it has 'id', 'bo"),
        (["empty.jsonl"], r"empty\.jsonl has no readable row: it is empty"),
        (["a.jsonl", "broken.csv"], r"broken\.csv has no readable row: line 2 has 1 more cell"),
        (["only"], r"only has no file of a known format .*; it has 'notes\.txt'"),
    ],
)
def test_what_cannot_be_read_is_refused_before_the_first_row(
    tmp_path: Path, sources: list[str], sentence: str
) -> None:
    (tmp_path / "a.jsonl").write_text('{"id": 1, "text": "one"}\n')
    (tmp_path / "bad.csv").write_text("key,text\na,b\n")
    (tmp_path / "other.jsonl").write_text('{"id": 2, "body": "b"}\n')
    (tmp_path / "empty.jsonl").write_text("")
    (tmp_path / "broken.csv").write_text("id,text\na,b,c\n")
    (tmp_path / "only").mkdir()
    (tmp_path / "only" / "notes.txt").write_text("")
    places = [tmp_path / source for source in sources]
    if sources == ["*.jsonl"]:
        places = [tmp_path / "nowhere" / "*.jsonl"]
    with pytest.raises(ConfigurationError, match=sentence):
        FilesReader(places)


def test_the_fraction_is_of_all_files(tmp_path: Path) -> None:
    for name in ("a", "b"):
        rows = [json.dumps({"id": f"{name}{n}", "text": str(n * 7919)}) for n in range(3000)]
        (tmp_path / f"{name}.jsonl").write_text("\n".join(rows))
    reader = FilesReader([tmp_path])
    seen = [reader.fraction for _ in reader]
    assert seen == sorted(seen, key=lambda fraction: fraction or 0.0)
    assert seen[0] is not None
    assert seen[0] < 0.5 < (seen[-1] or 0.0)
    assert reader.fraction == 1.0
