"""Files to documents: every format, every kind of broken file, and no file held in memory."""

from __future__ import annotations

import gzip
import io
import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest

from splade_connectors import Document
from splade_connectors.documents import Rejected
from splade_connectors.errors import ConfigurationError
from splade_connectors.files.readers import FileReader

Write = Callable[..., Path]

ROWS: list[dict[str, Any]] = [
    {"id": "a", "text": "Apples.", "lang": "en"},
    {"id": "b", "text": "Äpfel. 🍎", "lang": "de"},
]
DOCUMENTS = [("a", "Apples."), ("b", "Äpfel. 🍎")]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes lines, or bytes as they are, to a file of this name."""

    def do(name: str, *lines: Any) -> Path:
        path = tmp_path / name
        if len(lines) == 1 and isinstance(lines[0], bytes):
            path.write_bytes(lines[0])
            return path
        texts = [line if isinstance(line, str) else json.dumps(line) for line in lines]
        path.write_text("".join(f"{text}\n" for text in texts), encoding="utf-8")
        return path

    return do


@pytest.fixture
def read() -> Iterator[Callable[..., list[Document | Rejected]]]:
    """Reads a file to its end."""
    readers = []

    def do(path: Path | str, **options: Any) -> list[Document | Rejected]:
        reader = FileReader(path, **options)
        readers.append(reader)
        return list(reader)

    yield do
    for reader in readers:
        reader.close()


Read = Callable[..., list[Any]]


def pairs(rows: list[Any]) -> list[tuple[Any, str]]:
    assert all(isinstance(row, Document) for row in rows), rows
    return [(row.id, row.text) for row in rows]


def refused(rows: list[Any]) -> list[tuple[int, str]]:
    return [(row.line, row.reason) for row in rows if isinstance(row, Rejected)]


def table(tmp_path: Path, columns: dict[str, list[Any]], **options: Any) -> Path:
    path = tmp_path / "rows.parquet"
    pyarrow.parquet.write_table(pyarrow.table(columns), path, **options)
    return path


@pytest.mark.parametrize("name", ["x.jsonl", "x.ndjson", "x.json", "x.y.JSONL"])
def test_lines_of_json(write: Write, read: Read, name: str) -> None:
    rows = read(write(name, *ROWS))
    assert pairs(rows) == DOCUMENTS
    payloads = [{"text": row["text"], "lang": row["lang"]} for row in ROWS]
    assert [row.payload for row in rows] == payloads
    assert [row.line for row in rows] == [1, 2]


@pytest.mark.parametrize(
    ("name", "separator"), [("x.csv", ","), ("x.tsv", "\t"), ("x.CSV", ","), ("x.csv.gz", ",")]
)
def test_tables(tmp_path: Path, read: Read, name: str, separator: str) -> None:
    lines = [
        separator.join(("id", "text", "lang")),
        *(separator.join(row.values()) for row in ROWS),
    ]
    data = "\r\n".join(lines).encode()
    path = tmp_path / name
    path.write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    rows = read(path)
    assert pairs(rows) == DOCUMENTS
    assert rows[0].payload == {"text": "Apples.", "lang": "en"}
    assert [row.line for row in rows] == [2, 3]


def test_cells_with_separators_quotes_and_line_breaks(write: Write, read: Read) -> None:
    path = write("x.csv", "id,text", 'a,"one, ""two""\nthree"', "b,four")
    assert pairs(read(path)) == [("a", 'one, "two"\nthree'), ("b", "four")]


def test_line_breaks_in_cells_are_kept_as_they_are(write: Write, read: Read) -> None:
    path = write("x.csv", b'id,text\r\na,"one\r\ntwo\nthree"\r\n')
    assert pairs(read(path)) == [("a", "one\r\ntwo\nthree")]


def test_parquet(tmp_path: Path, read: Read) -> None:
    columns = {name: [row[name] for row in ROWS] for name in ROWS[0]} | {"n": [1, None]}
    rows = read(table(tmp_path, columns))
    assert pairs(rows) == DOCUMENTS
    assert rows[0].payload == {"text": "Apples.", "lang": "en", "n": 1}
    assert rows[1].payload == {"text": "Äpfel. 🍎", "lang": "de"}
    assert [row.line for row in rows] == [1, 2]


def test_the_first_row_of_parquet_may_have_nulls(tmp_path: Path, read: Read) -> None:
    columns = {"_id": ["a", "b"], "title": [None, "Title"], "text": [None, "text"]}
    rows = read(table(tmp_path, columns))
    assert refused(rows[:1]) == [(1, "the row has no 'title' or 'text'; it has no fields")]
    assert pairs(rows[1:]) == [("b", "Title text")]


@pytest.mark.parametrize("name", ["x.jsonl.gz", "x.json.gz"])
def test_packed_lines(tmp_path: Path, read: Read, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(gzip.compress("\n".join(map(json.dumps, ROWS)).encode()))
    assert pairs(read(path)) == DOCUMENTS


def standard_input(monkeypatch: pytest.MonkeyPatch, data: bytes) -> None:
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BufferedReader(io.BytesIO(data))))


def test_the_standard_input_is_lines_of_json(monkeypatch: pytest.MonkeyPatch, read: Read) -> None:
    standard_input(monkeypatch, "\n".join(map(json.dumps, ROWS)).encode())
    assert pairs(read("-")) == DOCUMENTS


def test_the_standard_input_may_be_csv_and_stays_open(monkeypatch: pytest.MonkeyPatch) -> None:
    standard_input(monkeypatch, b"id,text\na,Apples.\n")
    reader = FileReader("-", format="csv")
    assert pairs(list(reader)) == [("a", "Apples.")]
    assert reader.fraction is None
    reader.close()
    assert not sys.stdin.buffer.closed


def test_a_format_may_be_said(write: Write, read: Read) -> None:
    assert pairs(read(write("x.data", *ROWS), format="jsonl")) == DOCUMENTS


@pytest.mark.parametrize("name", ["x", "x.txt", "x.gz", "x.jsonl.bak"])
def test_an_unknown_ending_is_refused_with_the_way_out(write: Write, name: str) -> None:
    with pytest.raises(
        ConfigurationError, match=f"format of .*{name} from .*--format jsonl|csv|tsv"
    ):
        FileReader(write(name, *ROWS))


def test_an_unknown_format_is_refused(write: Write) -> None:
    with pytest.raises(ConfigurationError, match="unknown format 'xml'; choose one of jsonl, csv"):
        FileReader(write("x.jsonl", *ROWS), format="xml")  # type: ignore[arg-type]


def test_a_byte_order_mark_is_no_part_of_the_first_field(write: Write, read: Read) -> None:
    mark = b"\xef\xbb\xbf"
    assert pairs(read(write("x.jsonl", mark + b'{"id": "a", "text": "b"}\n'))) == [("a", "b")]
    assert pairs(read(write("x.csv", mark + b"id,text\na,b\n"))) == [("a", "b")]


def test_blank_lines_are_skipped_and_counted(write: Write, read: Read) -> None:
    rows = read(write("x.jsonl", "", ROWS[0], "  ", ROWS[1]))
    assert [row.line for row in rows] == [2, 4]


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("{", "line 2 is not JSON: Expecting property name"),
        ('{"id": "x", "text": "y"', "line 2 is not JSON: Expecting ',' delimiter"),
        ('{"id": "x"} {"id": "y"}', "line 2 is not JSON: Extra data"),
        ("[" * 100_000, "line 2 is not JSON: maximum recursion depth"),
        ('{"id": ' + "1" * 5000 + "}", "line 2 is not JSON: Exceeds the limit"),
        ("[1]", "line 2 is a list, not a JSON object"),
        ('"x"', "line 2 is text, not a JSON object"),
        ("3.5", "line 2 is a number, not a JSON object"),
        ("true", "line 2 is true/false, not a JSON object"),
        ("null", "line 2 is null, not a JSON object"),
        ('{"text": "no id"}', r"the row has no id \('id'\)"),
        ('{"id": null, "text": "x"}', r"the row has no id \('id'\)"),
        ('{"id": "", "text": "x"}', "id must not be the empty string"),
        ('{"id": true, "text": "x"}', "id must be a string, an integer or a UUID, not True"),
        ('{"id": 1.5, "text": "x"}', r"id must be a string, an integer or a UUID, not 1\.5"),
        ('{"id": ["x"], "text": "x"}', "id must be a string, an integer or a UUID, not"),
        ('{"id": "\\ud800", "text": "x"}', "not valid Unicode"),
        ('{"id": "x", "text": null}', "the row has no 'text'; it has no fields"),
        ('{"id": "x", "body": "y"}', "the row has no 'text'; it has 'body'"),
        ('{"id": "x", "text": 5}', "the field 'text' is a number, not text"),
        ('{"id": "x", "text": false}', "the field 'text' is true/false, not text"),
        ('{"id": "x", "text": ["y", 5]}', "the field 'text' is a number, not text"),
        ('{"id": "x", "text": {"y": 1}}', "the field 'text' is an object, not text"),
    ],
)
def test_a_bad_line_is_named_and_the_rest_goes_on(
    write: Write, read: Read, line: str, sentence: str
) -> None:
    rows = read(write("x.jsonl", ROWS[0], line, ROWS[1]))
    assert pairs([rows[0], rows[2]]) == DOCUMENTS
    (found,) = refused(rows)
    assert found[0] == 2
    assert re.search(sentence, found[1]), found[1]


def test_a_line_that_is_no_utf8_is_named_and_the_rest_goes_on(write: Write, read: Read) -> None:
    good = json.dumps(ROWS[0]).encode()
    rows = read(write("x.jsonl", good + b'\n{"id": "x", "text": "\xff"}\n' + good + b"\n"))
    assert [type(row) for row in rows] == [Document, Rejected, Document]
    assert refused(rows)[0][0] == 2
    assert "line 2 is not JSON: 'utf-8' codec can't decode" in refused(rows)[0][1]


def test_a_rejected_row_has_its_id_where_it_has_one(write: Write, read: Read) -> None:
    rows = read(write("x.jsonl", ROWS[0], {"id": 7, "text": 1}, {"id": 1.5, "text": "x"}))
    assert [row.id for row in rows[1:]] == [7, None]


def test_empty_texts_are_documents(write: Write, read: Read) -> None:
    rows = read(write("x.jsonl", ROWS[0], {"id": "x", "text": ""}, {"id": "y", "text": " "}))
    assert pairs(rows)[1:] == [("x", ""), ("y", " ")]


def test_null_fields_of_json_are_kept(write: Write, read: Read) -> None:
    assert read(write("x.jsonl", {"id": "x", "text": "y", "n": None}))[0].payload["n"] is None


def test_a_collection_in_beir_layout_needs_no_options(write: Write, read: Read) -> None:
    row = {"_id": "4983", "title": "Microstructural", "text": "Alterations.", "metadata": {}}
    reader = FileReader(write("corpus.jsonl", row, {"_id": "2", "title": "", "text": "Text."}))
    assert reader.text_fields == ("title", "text")
    rows = list(reader)
    reader.close()
    assert pairs(rows) == [("4983", "Microstructural Alterations."), ("2", "Text.")]
    assert rows[0].payload == {name: row[name] for name in ("title", "text", "metadata")}


def test_id_and_underscore_id_together(write: Write, read: Read) -> None:
    (row,) = read(write("x.jsonl", {"id": "a", "_id": "b", "text": "x"}))
    assert (row.id, row.payload) == ("b", {"id": "a", "text": "x"})
    (row,) = read(write("x.jsonl", {"id": "a", "_id": "b", "text": "x"}), id_field="id")
    assert (row.id, row.payload) == ("a", {"_id": "b", "text": "x"})


def test_several_text_fields_are_joined(write: Write, read: Read) -> None:
    rows = read(
        write("x.jsonl", {"id": 1, "a": "one", "b": "two", "c": "three"}, {"id": 2, "c": "three"}),
        text_fields=("c", "a"),
    )
    assert pairs(rows) == [(1, "three one"), (2, "three")]
    assert rows[0].payload == {"a": "one", "b": "two", "c": "three"}


def test_a_dense_vector_leaves_the_payload(write: Write, read: Read) -> None:
    rows = read(
        write(
            "x.jsonl",
            {"id": 1, "text": "x", "v": [0.5, 1]},
            {"id": 2, "text": "x"},
            {"id": 3, "text": "x", "v": "[1]"},
            '{"id": 4, "text": "x", "v": [NaN]}',
            {"id": 5, "text": "x", "v": [10**400]},
        ),
        dense_field="v",
    )
    assert [row.dense for row in rows[:2]] == [[0.5, 1], None]
    assert rows[0].payload == {"text": "x"}
    assert [line for line, _ in refused(rows)] == [3, 4, 5]
    assert "dense vector of document 3 is not a list of numbers" in refused(rows)[0][1]
    assert "contains NaN" in refused(rows)[1][1]
    assert "too large" in refused(rows)[2][1]


@pytest.mark.parametrize(
    ("row", "options", "sentence"),
    [
        (
            {"text": "x"},
            {},
            r"first row of .* has no id field \(_id or id\); it has 'text'.*--id-f",
        ),
        ({"id": 1, "text": "x"}, {"id_field": "key"}, r"no id field \(key\); it has 'id', 'text'"),
        ({"id": 1, "body": "x"}, {}, r"no field 'text'; it has 'id', 'body'\. .*--text FIELD"),
        ({"id": 1, "title": "x"}, {}, "no field 'text'; it has 'id', 'title'"),
        (
            {"id": 1, "text": "x"},
            {"text_fields": ("body", "abstract")},
            r"no text field \(body or abstract\); it has 'id', 'text'\. Name it with --text FIELD",
        ),
        ({}, {}, "it has no fields"),
    ],
)
def test_a_first_row_without_the_fields_is_refused_before_anything_is_read(
    write: Write, row: dict[str, Any], options: Any, sentence: str
) -> None:
    with pytest.raises(ConfigurationError, match=sentence):
        FileReader(write("x.jsonl", row, ROWS[0]), **options)


def test_the_first_row_that_can_be_read_counts(write: Write, read: Read) -> None:
    rows = read(write("x.jsonl", "{", "[]", ROWS[0]))
    assert [line for line, _ in refused(rows)] == [1, 2]
    assert pairs(rows[2:]) == DOCUMENTS[:1]


def test_a_file_without_a_readable_row_is_refused_with_the_first_reason(write: Write) -> None:
    with pytest.raises(ConfigurationError, match="no readable row: line 1 is not JSON"):
        FileReader(write("x.jsonl", *["{"] * 500))


@pytest.mark.parametrize("data", [b"", b"\n\n"])
@pytest.mark.parametrize("name", ["x.jsonl", "x.csv"])
def test_an_empty_file_is_refused(write: Write, name: str, data: bytes) -> None:
    with pytest.raises(ConfigurationError, match=f"{name} has no readable row: it is empty"):
        FileReader(write(name, data))


def test_a_table_with_a_header_only_is_refused(write: Write, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="it is empty"):
        FileReader(write("x.csv", "id,text"))
    with pytest.raises(ConfigurationError, match="it is empty"):
        FileReader(table(tmp_path, {"id": [], "text": []}))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"cannot read .*none\.jsonl: No such file"):
        FileReader(tmp_path / "none.jsonl")


def test_a_folder_is_named(tmp_path: Path) -> None:
    folder = tmp_path / "x.jsonl"
    folder.mkdir()
    with pytest.raises(ConfigurationError, match=r"cannot read .*x\.jsonl: Is a directory"):
        FileReader(folder)


def test_too_many_cells_are_reported(write: Write, read: Read) -> None:
    rows = read(write("x.csv", "id,text", "a,b", "c,d,e,f", "g,h"))
    assert refused(rows) == [(3, "line 3 has 2 more cells than the header")]
    assert pairs([rows[0], rows[2]]) == [("a", "b"), ("g", "h")]


def test_too_few_cells_are_absent_fields(write: Write, read: Read) -> None:
    rows = read(write("x.csv", "id,text,lang", "a,b", "c"))
    assert rows[0].payload == {"text": "b"}
    assert refused(rows) == [(3, "the row has no 'text'; it has no fields")]


def test_a_table_that_is_no_utf8_is_named_with_the_line(write: Write) -> None:
    data = b"id,text\n" + b"a,b\n" * 20_000 + b"c,\xff\n"
    reader = FileReader(write("x.csv", data))
    with pytest.raises(
        ConfigurationError,
        match=r"x\.csv is not valid UTF-8 after line \d+ \(invalid .*\); save it as UTF-8, or pass",
    ):
        list(reader)
    reader.close()


def test_a_truncated_archive_is_named_after_what_could_be_read(tmp_path: Path) -> None:
    lines = [{"id": number, "text": f"text number {number * 7919}"} for number in range(5000)]
    packed = gzip.compress("\n".join(map(json.dumps, lines)).encode())
    path = tmp_path / "x.jsonl.gz"
    path.write_bytes(packed[: len(packed) // 2])
    reader = FileReader(path)
    rows: list[Any] = []
    with pytest.raises(ConfigurationError, match=r"cannot read .*x\.jsonl\.gz to the end: Compr"):
        rows.extend(reader)
    reader.close()
    assert rows[0].id == 0
    assert 1000 < len(rows) < 5000


@pytest.mark.parametrize("name", ["x.jsonl.gz", "x.csv.gz"])
def test_what_is_no_archive_is_named(write: Write, name: str) -> None:
    with pytest.raises(ConfigurationError, match=f"cannot read .*{name} to the end: Not a gzipped"):
        FileReader(write(name, b"id,text\na,b\n"))


def test_a_damaged_archive_is_named(tmp_path: Path) -> None:
    packed = bytearray(gzip.compress(json.dumps(ROWS[0]).encode() * 100))
    packed[30:40] = b"\xff" * 10
    (tmp_path / "x.jsonl.gz").write_bytes(packed)
    with pytest.raises(ConfigurationError, match=r"cannot read .*x\.jsonl\.gz to the end"):
        FileReader(tmp_path / "x.jsonl.gz")


@pytest.mark.parametrize("data", [b"", b"PAR1", b"PAR1" + b"\x00" * 100 + b"PAR1", b"id,text"])
def test_what_is_no_parquet_is_named(write: Write, data: bytes) -> None:
    with pytest.raises(ConfigurationError, match=r"x\.parquet is not a Parquet file: "):
        FileReader(write("x.parquet", data))


def test_damaged_parquet_is_named_after_what_could_be_read(tmp_path: Path) -> None:
    texts = [f"text number {number * 7919}" for number in range(20_000)]
    path = table(
        tmp_path,
        {"id": list(range(20_000)), "text": texts},
        row_group_size=5000,
        use_dictionary=False,
    )
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 20_000] = b"\xff" * 20_000
    path.write_bytes(data)
    reader = FileReader(path)
    rows: list[Any] = []
    with pytest.raises(ConfigurationError, match=r"cannot read .*rows\.parquet after row \d+: "):
        rows.extend(reader)
    reader.close()
    assert pairs(rows)[:2] == [(0, "text number 0"), (1, "text number 7919")]


@pytest.mark.parametrize("name", ["x.jsonl", "x.jsonl.gz", "x.csv"])
def test_the_fraction_rises_to_one(tmp_path: Path, name: str) -> None:
    rows = [{"id": str(number), "text": f"number {number * 7919}"} for number in range(50_000)]
    if name == "x.csv":
        data = "\n".join(["id,text", *(",".join(row.values()) for row in rows)]).encode()
    else:
        data = "\n".join(map(json.dumps, rows)).encode()
    path = tmp_path / name
    path.write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    reader = FileReader(path)
    seen = []
    for number, _ in enumerate(reader):
        if number % 5000 == 0:
            seen.append(reader.fraction)
    assert seen[0] is not None
    assert seen[0] < 0.2
    assert seen == sorted(seen)
    assert reader.fraction == 1.0
    reader.close()
    assert reader.fraction is None


def test_a_reader_may_be_closed_before_the_end(write: Write) -> None:
    for name, lines in {"x.csv": ["id,text", "a,b", "c,d"], "x.jsonl": ROWS}.items():
        reader = FileReader(write(name, *lines))
        rows = iter(reader)
        assert next(rows)
        reader.close()
        del rows, reader  # nothing is reported as unclosed


PEAK = """
import resource, sys
from splade_connectors.files.readers import FileReader
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
count = sum(1 for _ in FileReader(sys.argv[1]))
print(count, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""


@pytest.mark.parametrize("name", ["big.jsonl", "big.csv", "big.jsonl.gz"])
def test_a_large_file_is_not_held_in_memory(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    text = "lorem ipsum dolor sit amet " * 37  # 1 KB
    count = 52_000
    with gzip.open(path, "wt", compresslevel=1) if name.endswith(".gz") else path.open("w") as file:
        file.write("id,text\n" if name.endswith(".csv") else "")
        for number in range(count):
            row = (
                f"{number},{text}"
                if name.endswith(".csv")
                else json.dumps({"id": number, "text": text})
            )
            file.write(f"{row}\n")
    done = subprocess.run(
        [sys.executable, "-c", PEAK, str(path)],
        capture_output=True,
        text=True,
        check=True,
        timeout=300,
    )
    read, megabytes = map(int, done.stdout.split())
    assert read == count
    assert megabytes < 15
