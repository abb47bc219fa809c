"""Rows of every format: what they mean, and what would be lost in silence is refused."""

from __future__ import annotations

import base64
import csv
import gzip
import io
import json
import re
import tracemalloc
import uuid
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest
from hypothesis import given
from hypothesis import strategies as st

from splade_connectors import Document
from splade_connectors.documents import Rejected
from splade_connectors.errors import ConfigurationError
from splade_connectors.files import limits
from splade_connectors.files.json_rows import line_rows
from splade_connectors.files.readers import FileReader
from splade_connectors.files.tables import csv_rows, tsv_rows
from splade_connectors.values import stored_payload

CELL = st.text(st.characters(exclude_characters="\t\r\n", exclude_categories=("Cs",)), max_size=8)


def read(path: Path, text: str | bytes, **options: Any) -> list[Any]:
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with FileReader(path, **options) as reader:
        return list(reader)


def test_a_quotation_mark_in_tsv_is_a_character(tmp_path: Path) -> None:
    lines = [
        "id\ttext",
        'a\t"begins',
        'b\tends"',
        'c\t"both"',
        'd\tin "the" middle',
        'e\t"',
        "f\tz",
    ]
    found = read(tmp_path / "x.tsv", "\n".join(lines))
    assert [f"{row.id}\t{row.text}" for row in found] == lines[1:]
    assert [row.line for row in found] == [2, 3, 4, 5, 6, 7]


@given(st.lists(st.tuples(CELL, CELL), max_size=5))
def test_tsv_is_split_at_tabs_and_ends_of_lines_only(cells: list[tuple[str, str]]) -> None:
    data = "".join(f"{line}\n" for line in ["a\tb", *map("\t".join, cells)]).encode()
    found = [row for _, row in tsv_rows(io.BytesIO(data), "x.tsv")]
    assert found == [{"a": first, "b": second} for first, second in cells]


HEADERS = [
    ("x.csv", "id,text,text", "columns 2 and 3 of .* are both named 'text'; rename one"),
    ("x.csv", "text,id,n,text", "columns 1 and 4 of .* are both named 'text'"),
    ("x.tsv", "id\ttext\tid", "columns 1 and 3 of .* are both named 'id'"),
    ("x.csv", ",text,", r"no id field .* also has 2 columns without a name \(1, 3\): '#1' means"),
    (
        "x.csv",
        "id;title|text",
        "is a single column, 'id;title|text': .* by ';'.*; pass --delimiter ';'",
    ),
    ("x.csv", "id\ttext", r"separated by '\\t', not ','; pass --format tsv, or --delimiter tab"),
    ("x.tsv", "id,text", r"separated by ',', not '\\t'; pass --format csv"),
]


@pytest.mark.parametrize(("name", "header", "sentence"), HEADERS)
def test_a_header_that_would_lose_something_is_refused(
    tmp_path: Path, name: str, header: str, sentence: str
) -> None:
    with pytest.raises(ConfigurationError, match=sentence):
        read(tmp_path / name, f"{header}\n{header}\n")


def test_parquet_with_two_columns_of_one_name_is_refused(tmp_path: Path) -> None:
    table = pyarrow.table([["a"], ["one"], ["two"]], names=["id", "text", "text"])
    pyarrow.parquet.write_table(table, tmp_path / "x.parquet")
    with pytest.raises(ConfigurationError, match=r"columns 2 and 3 of .* are both named 'text'"):
        FileReader(tmp_path / "x.parquet")


@pytest.mark.parametrize(
    ("line", "name"),
    [
        ('{"id": "b", "text": "one", "text": "two"}', "'text'"),
        ('{"id": "b", "id": "c", "text": "one"}', "'id'"),
        ('{"id": "b", "text": "one", "meta": {"a": 1, "b": [{"x": 1, "x": 2}]}}', "'x'"),
    ],
)
def test_json_that_names_a_field_twice_is_rejected(tmp_path: Path, line: str, name: str) -> None:
    good, bad, last = read(
        tmp_path / "x.jsonl", f'{{"id": "a", "text": "x"}}\n{line}\n{{"id": "d", "text": "y"}}'
    )
    assert (good.id, last.id) == ("a", "d")
    assert isinstance(bad, Rejected)
    assert (bad.reason, bad.line, bad.final) == (f"line 2 has the field {name} twice", 2, True)


ZONE = datetime(2024, 1, 2, 3, 4, 5, 600, tzinfo=UTC)
UNIQUE = uuid.UUID("6c1d2f0a-0d3b-5c55-9b50-5b1f6a3f9e11")
COLUMNS: list[tuple[Any, Any, Any]] = [
    (date(2024, 1, 2), pyarrow.date32(), "2024-01-02"),
    (date(1, 1, 1), pyarrow.date64(), "0001-01-01"),
    (datetime(2024, 1, 2, 3, 4, 5), pyarrow.timestamp("s"), "2024-01-02T03:04:05"),
    (ZONE, pyarrow.timestamp("us", "UTC"), "2024-01-02T03:04:05.000600+00:00"),
    (time(3, 4, 5), pyarrow.time32("s"), "03:04:05"),
    (timedelta(days=1, seconds=1), pyarrow.duration("us"), "PT86401S"),
    (timedelta(microseconds=-1500), pyarrow.duration("us"), "PT-0.0015S"),
    (Decimal("1.10"), pyarrow.decimal128(9, 2), 1.1),
    (Decimal("7.00"), pyarrow.decimal128(9, 2), 7.0),
    (Decimal(2**70), pyarrow.decimal128(30, 0), str(2**70)),
    (Decimal("0.12345678901234567890"), pyarrow.decimal128(30, 20), "0.12345678901234567890"),
    (b"\x00\xff", pyarrow.binary(), base64.b64encode(b"\x00\xff").decode()),
    ([date(2024, 1, 2), None], pyarrow.list_(pyarrow.date32()), ["2024-01-02", None]),
    ({"d": Decimal("2.5")}, pyarrow.struct([("d", pyarrow.decimal128(5, 1))]), {"d": 2.5}),
    ([0.5, 0.25], pyarrow.list_(pyarrow.float32()), [0.5, 0.25]),
]


@pytest.mark.parametrize(("value", "type", "stored"), COLUMNS)
def test_columns_that_json_does_not_have(
    tmp_path: Path, value: Any, type: Any, stored: Any
) -> None:
    table = pyarrow.table({"id": [1], "text": ["a"], "x": pyarrow.array([value], type)})
    pyarrow.parquet.write_table(table, tmp_path / "x.parquet")
    with FileReader(tmp_path / "x.parquet") as reader:
        (row,) = reader
    assert isinstance(row, Document)
    assert row.payload["x"] == stored
    assert type_of(row.payload["x"]) is type_of(stored)
    assert stored_payload(row.payload) == row.payload


def type_of(value: Any) -> Any:
    return value.__class__


def test_what_pandas_writes_for_a_missing_number_is_no_field(tmp_path: Path) -> None:
    table = pyarrow.table({"id": [1, 2], "text": ["a", "b"], "x": [float("nan"), 1.5]})
    pyarrow.parquet.write_table(table, tmp_path / "x.parquet")
    with FileReader(tmp_path / "x.parquet") as reader:
        assert [row.payload for row in reader if isinstance(row, Document)] == [
            {"text": "a"},
            {"text": "b", "x": 1.5},
        ]


@pytest.mark.parametrize("name", ["x.jsonl.gz", "x.csv.gz", "x.tsv.gz"])
def test_an_archive_of_one_endless_line_is_a_sentence(tmp_path: Path, name: str) -> None:
    header = "" if "json" in name else "id,text\n" if "csv" in name else "id\ttext\n"
    with gzip.open(tmp_path / name, "wb", compresslevel=1) as file:
        file.write(header.encode() + b'a,"')
        for _ in range(24):
            file.write(b"0" * 10_000_000)
    assert (tmp_path / name).stat().st_size < 2_000_000
    tracemalloc.start()
    with pytest.raises(ConfigurationError, match=r"longer than 100,000,000|field larger than"):
        FileReader(tmp_path / name)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 450_000_000


def test_a_line_that_is_too_long_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "LONGEST_LINE", 1000)
    data = b'{"id": 1}\n' + b"x" * 5_000_000 + b'\n{"id": 2}\n' + b" " * 999 + b"\n" + b"y" * 2000
    found = list(line_rows(io.BytesIO(data)))
    assert [line for line, _ in found] == [1, 2, 3, 5]
    assert [isinstance(row, Rejected) for _, row in found] == [False, True, False, True]


def test_a_cell_that_is_never_closed_is_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = csv.field_size_limit(2000)
    monkeypatch.setattr(limits, "LONGEST_LINE", 2000)
    try:
        with pytest.raises(
            ConfigurationError, match=r"not readable: line 2 .* quotation mark is never closed"
        ):
            read(tmp_path / "x.csv", 'id,text\na,"' + "line\n" * 1000)
    finally:
        csv.field_size_limit(before)


@pytest.mark.parametrize("depth", [300, 970, 5000])
def test_a_text_in_nested_lists_is_a_document_or_a_rejection(tmp_path: Path, depth: int) -> None:
    deep = "[" * depth + '"word"' + "]" * depth
    first, second, last = read(
        tmp_path / "x.jsonl",
        f'{{"id": 1, "text": "a"}}\n{{"id": 2, "text": {deep}}}\n{{"id": 3, "text": "b"}}',
    )
    assert (first.id, last.id) == (1, 3)
    assert isinstance(second, Rejected) or second.text == "word"


def test_a_row_of_many_fields_is_named_in_a_line(tmp_path: Path) -> None:
    row = {f"field {number} {'x' * 500}": number for number in range(5000)}
    with pytest.raises(ConfigurationError, match="and 4,980 more") as found:
        read(tmp_path / "x.jsonl", json.dumps(row))
    assert len(str(found.value)) < 4000


def csv_of(path: Path, *lines: str, **options: Any) -> tuple[list[Any], list[tuple[int, str]]]:
    """The ids that were read, and line and reason of each rejection."""
    found = read(path, "".join(f"{line}\n" for line in lines), **options)
    good = [row.id for row in found if isinstance(row, Document)]
    return good, [(row.line, row.reason) for row in found if isinstance(row, Rejected)]


FOLLOWS = 'text follows a closing quotation mark; inside a quoted cell, write "" for "'
NEVER = "a quotation mark is never closed"
H = "id,text,n,lang"


def plain(*numbers: int) -> list[str]:
    return [f"d{number},text {number},3,en" for number in numbers]


def malformed(*lines: int) -> str:
    where = f"line {lines[0]}" if len(lines) == 1 else f"lines {lines[0]} to {lines[1]}"
    return f"{where} cannot be read as CSV: "


# Lines, the ids that are read, and the rejections.
BAD_QUOTES: dict[str, tuple[list[str], list[str], list[tuple[int, str]]]] = {
    "text after the end": (
        [H, *plain(1), 'd2,"abc"def,3,en', *plain(3)],
        ["d1", "d3"],
        [(3, malformed(3) + FOLLOWS)],
    ),
    "the first row": ([H, 'd1,"abc"def,3,en', *plain(2)], ["d2"], [(2, malformed(2) + FOLLOWS)]),
    "never closed, no other quote": (
        [H, 'd1,"abc,3,en', *plain(2, 3, 4)],
        ["d2", "d3", "d4"],
        [(2, malformed(2) + NEVER)],
    ),
    "never closed, the next row is quoted": (
        [H, 'd1,"abc,3,en', *plain(2), 'd3,"x, y",3,en', *plain(4)],
        ["d2", "d3", "d4"],
        [(2, malformed(2) + FOLLOWS)],
    ),
    "never closed, every cell is quoted": (
        ['"id","text"', '"d1","abc', '"d2","x"', '"d3","y, z"'],
        ["d2", "d3"],
        [(2, malformed(2) + FOLLOWS)],
    ),
    "three quotes on a line": (
        [H, 'd1,"5" pipe",3,en', *plain(2, 3), 'd4,5" pipe,3,en', *plain(5)],
        ["d2", "d3", "d4", "d5"],
        [(2, malformed(2) + FOLLOWS)],
    ),
    "a sentence over three lines, two columns": (
        ["id,text", 'd1,"First line,', 'He said "no", and left', 'third, line"', "d2,x"],
        ["d2"],
        [(2, malformed(2, 4) + FOLLOWS)],
    ),
    "a cell whose closing quote has a line of its own": (
        ["id,text", 'd1,"a "b" c', "two, words", '"', "d2,x"],
        ["d2"],
        [(2, malformed(2, 4) + FOLLOWS)],
    ),
    "the last row": ([H, *plain(1), 'd2,"abc'], ["d1"], [(3, malformed(3) + NEVER)]),
    "two in a row": (
        [H, 'd1,"a"b,3,en', 'd2,"a,3,en', *plain(3)],
        ["d3"],
        [(2, malformed(2) + FOLLOWS), (3, malformed(3) + NEVER)],
    ),
}


@pytest.mark.parametrize(("lines", "ids", "reasons"), BAD_QUOTES.values(), ids=BAD_QUOTES)
def test_a_malformed_quote_rejects_its_row_and_no_other(
    tmp_path: Path, lines: list[str], ids: list[str], reasons: list[tuple[int, str]]
) -> None:
    assert csv_of(tmp_path / "x.csv", *lines) == (ids, reasons)


def test_a_malformed_quote_among_many_rows_costs_one(tmp_path: Path) -> None:
    rows = plain(*range(300))
    rows[250] = 'd250,"abc"def,3,en'
    ids, reasons = csv_of(tmp_path / "x.csv", H, *rows, infer_types=True)
    assert len(ids) == 299
    assert reasons == [(252, malformed(252) + FOLLOWS)]


def test_a_line_of_csv_that_is_too_long_is_skipped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "LONGEST_LINE", 1000)
    ids, reasons = csv_of(tmp_path / "x.csv", H, *plain(1), f"d2,{'x' * 5000},3,en", *plain(3))
    assert ids == ["d1", "d3"]
    assert reasons == [(3, malformed(3) + "longer than 1,000 characters")]


def test_a_quote_that_is_never_closed_costs_one_row_of_a_long_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "LONGEST_LINE", 1000)
    ids, reasons = csv_of(tmp_path / "x.csv", H, 'd1,"abc,3,en', *plain(*range(2, 500)))
    assert len(ids) == 498
    assert reasons == [(2, malformed(2) + NEVER + ", or a cell is too long")]


def test_a_quote_that_is_never_closed_is_given_up_after_a_million_lines(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text(f'{H}\nd1,"abc,3,en\n' + "d2,a,3,en\n" * 2_500_000)
    tracemalloc.start()
    with FileReader(tmp_path / "x.csv") as reader:
        found = list(islice(reader, 3))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert [row.id for row in found] == [None, "d2", "d2"]
    assert found[0].reason == malformed(2) + NEVER + ", or a cell is too long"
    assert peak < 200_000_000


@given(
    st.lists(
        st.tuples(st.sampled_from(["a", "b,c", 'say "so"', "two\nlines", 'x"\n,"y', ""]), CELL),
        max_size=6,
    )
)
def test_what_the_csv_module_writes_is_read(cells: list[tuple[str, str]]) -> None:
    written = io.StringIO(newline="")
    csv.writer(written).writerows([("a", "b"), *cells])
    found = [row for _, row in csv_rows(io.BytesIO(written.getvalue().encode()), "x.csv")]
    assert found == [{"a": first, "b": second} for first, second in cells]


NAMELESS = [
    # pandas' index, Excel's trailing comma, both, and TSV.
    ("x.csv", [",id,text", "0,a,one", "1,b,two"], {}, "1 column without a name (1)"),
    ("x.csv", ["id,text,", "a,one,", "b,two,"], {}, "1 column without a name (3)"),
    ("x.csv", [",id,text,", "0,a,one,", "1,b,two,"], {}, "2 columns without a name (1, 4)"),
    ("x.tsv", ["\tid\ttext", "0\ta\tone", "1\tb\ttwo"], {}, "1 column without a name (1)"),
    ("x.csv", ["id,text" + "," * 7, "a,one", "b,two"], {}, "(3, 4, 5, 6, 7, …)"),
    ("x.csv", [",id,text,", "0,a,one,", "1,b,two,"], {"exclude": ("#1",)}, "a name (4)"),
    ("x.csv", [",id,text", "0,a,one", "1,b,two"], {"exclude": ("#1",)}, ""),
    ("x.csv", [",text", "a,one", "b,two"], {"id_field": "#1"}, ""),
    ("x.csv", [",text", "a,one", "b,two"], {"rename": {"#1": "id"}}, ""),
    ("x.csv", ["id,,", "a,one,", "b,two,"], {"text_fields": ("#2",)}, "a name (3)"),
]


@pytest.mark.parametrize(("name", "lines", "options", "warning"), NAMELESS)
def test_columns_without_a_name_are_dropped_with_a_warning(
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    name: str,
    lines: list[str],
    options: dict[str, Any],
    warning: str,
) -> None:
    found = read(tmp_path / name, "\n".join(lines), **options)
    assert [(row.id, row.text) for row in found] == [("a", "one"), ("b", "two")]
    assert all(len(row.payload) == 1 for row in found)
    messages = [record.getMessage() for record in caplog.records]
    assert len(messages) == (1 if warning else 0)
    assert warning in "".join(messages)


def test_a_column_without_a_name_is_kept_if_an_option_names_it(tmp_path: Path) -> None:
    lines = ",id,text\n7,a,one\n"
    options = {"rename": {"#1": "row"}, "types": {"row": "int"}}
    (row,) = read(tmp_path / "x.csv", lines, **options)
    assert row.payload == {"row": 7, "text": "one"}
    with pytest.raises(ConfigurationError, match=r"has no column '#2' \(--exclude\)"):
        read(tmp_path / "x.csv", lines, exclude=("#2",))


def test_a_row_with_more_cells_than_the_header_counts_nameless_columns(tmp_path: Path) -> None:
    ids, reasons = csv_of(tmp_path / "x.csv", "id,text,", "a,one,", "b,two,,x")
    assert (ids, reasons) == (["a"], [(3, "line 3 has 1 more cell than the header")])


def test_a_column_of_parquet_without_a_name_is_dropped(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    table = pyarrow.table([[1], ["a"], ["one"]], names=["", "id", "text"])
    pyarrow.parquet.write_table(table, tmp_path / "x.parquet")
    with FileReader(tmp_path / "x.parquet") as reader:
        (row,) = reader
    assert row.payload == {"text": "one"}
    assert "1 column without a name (1)" in caplog.text
    with FileReader(tmp_path / "x.parquet", id_field="#1", exclude=("id",)) as reader:
        assert [row.id for row in reader] == [1]


@pytest.mark.parametrize("field", ["id", "_id", "key"])
def test_whole_floats_as_ids_are_rejected_with_their_cure(tmp_path: Path, field: str) -> None:
    table = pyarrow.table([[1.0, 2.0, None], ["a", "b", "c"]], names=[field, "text"])
    pyarrow.parquet.write_table(table, tmp_path / "x.parquet")
    options: dict[str, Any] = {"id_field": field}
    with FileReader(tmp_path / "x.parquet", **options) as reader:
        reasons = [row.reason for row in reader]
    assert reasons[0] == reasons[1]
    assert reasons[0].endswith(f"not a float; --type {field}=int reads whole floats as integers")
    with FileReader(tmp_path / "x.parquet", types={field: "int"}, **options) as reader:
        assert [row.id for row in reader] == [1, 2, None]
    (row,) = read(tmp_path / "x.jsonl", f'{{"{field}": 3.0, "text": "a"}}\n', **options)
    assert row.reason == reasons[0]


def test_a_float_with_decimals_is_no_id(tmp_path: Path) -> None:
    (row,) = read(tmp_path / "x.jsonl", '{"id": 1.5, "text": "a"}\n')
    assert row.reason == "a document id must be a string, an integer or a UUID, not 1.5"


CELLS = st.sampled_from(["plain", "b, c", 'say "so"', "two\nlines", "one, two\nthree, four", ""])
BROKEN = st.sampled_from(['"abc"def', '"abc', '"5" pipe"', '"a "b" c', 'x"', '5" pipe'])


@given(
    st.lists(st.tuples(CELLS, st.sampled_from(["", "x", "y, z"])), min_size=1, max_size=12),
    st.integers(0, 11),
    BROKEN,
)
def test_no_row_beside_a_malformed_one_is_lost_in_silence_or_invented(
    cells: list[tuple[str, str]], at: int, broken: str
) -> None:
    at = min(at, len(cells))
    written, starts = [H], {}
    for number, (text, more) in enumerate(cells):
        row = io.StringIO(newline="")
        csv.writer(row, lineterminator="\n").writerow([f"d{number}", text, more, "en"])
        if number == at:
            written.append(f"bad,{broken},3,en")
        starts[f"d{number}"] = sum(line.count("\n") + 1 for line in written) + 1
        written.append(row.getvalue()[:-1])
    data = "".join(f"{line}\n" for line in written).encode()
    ids, skipped, whole = set(), set(), dict(zip(starts, cells, strict=True))
    for _, row in csv_rows(io.BytesIO(data), "x.csv"):
        if isinstance(row, Rejected):
            first, last = re.search(r"lines? (\d+)(?: to (\d+))?", row.reason).groups()  # type: ignore[union-attr]
            skipped |= set(range(int(first), int(last or first) + 1))
        elif row["id"] != "bad":
            assert (row["text"], row["n"]) == whole[row["id"]]
            ids.add(row["id"])
    assert all(id in ids or start in skipped for id, start in starts.items())
