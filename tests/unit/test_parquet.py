"""Parquet: every type of column, and no file that decides how much memory reading takes."""

from __future__ import annotations

import re
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest

from splade_connectors.documents import Document, Rejected
from splade_connectors.errors import ConfigurationError
from splade_connectors.files import limits, pages
from splade_connectors.files.readers import FileReader

NS = 1_704_164_645_000_000_001  # 2024-01-02T03:04:05.000000001


def read(path: Path, **options: Any) -> list[Any]:
    with FileReader(path, **options) as reader:
        return list(reader)


def written(path: Path, columns: dict[str, Any], **options: Any) -> Path:
    length = len(next(iter(columns.values())))
    whole = {"id": list(range(length)), "text": ["a"] * length, **columns}
    pyarrow.parquet.write_table(pyarrow.table(whole), path / "x.parquet", **options)
    return path / "x.parquet"


def payloads(path: Path, columns: dict[str, Any], **options: Any) -> list[Any]:
    rows = read(written(path, columns, **options))
    return [row.payload.get("x", "absent") if isinstance(row, Document) else row for row in rows]


TIMES: list[tuple[Any, list[Any], list[Any]]] = [
    (pyarrow.timestamp("ns"), [NS, NS - 1, None, -1], [
        "2024-01-02T03:04:05.000000001", "2024-01-02T03:04:05", "absent",
        "1969-12-31T23:59:59.999999999",
    ]),
    (pyarrow.timestamp("ns", "UTC"), [NS, NS - 1], [
        "2024-01-02T03:04:05.000000001+00:00", "2024-01-02T03:04:05+00:00",
    ]),
    (pyarrow.timestamp("ns", "Asia/Kolkata"), [NS + 999], [
        "2024-01-02T08:34:05.000001+05:30",
    ]),
    (pyarrow.duration("ns"), [1, -1, 10**9], ["PT0.000000001S", "PT-0.000000001S", "PT1S"]),
    (pyarrow.time64("ns"), [1, 10**9, 1000], ["00:00:00.000000001", "00:00:01", "00:00:00.000001"]),
]  # fmt: skip


@pytest.mark.parametrize(("type", "numbers", "stored"), TIMES)
def test_nanoseconds(tmp_path: Path, type: Any, numbers: list[Any], stored: list[Any]) -> None:
    column = pyarrow.array(numbers, pyarrow.int64()).cast(type)
    assert payloads(tmp_path, {"x": column}) == stored
    lists = pyarrow.array([[n] for n in numbers], pyarrow.list_(pyarrow.int64()))
    nested = payloads(tmp_path, {"x": lists.cast(pyarrow.list_(type))})
    assert nested == [[None if value == "absent" else value] for value in stored]


def test_nested_columns_over_many_batches(tmp_path: Path) -> None:
    stamp = pyarrow.timestamp("ns")
    kind = pyarrow.struct([("when", stamp), ("tags", pyarrow.list_(pyarrow.string()))])
    count = 3000
    made = [
        None if n % 7 == 0 else {"when": n, "tags": None if n % 5 == 0 else [f"t{n}"] * (n % 3)}
        for n in range(count)
    ]
    columns = {
        "x": pyarrow.array(made, kind),
        "m": pyarrow.array(
            [[(f"k{n}", n)] * (n % 2) for n in range(count)],
            pyarrow.map_(pyarrow.string(), pyarrow.int64()),
        ),
        "f": pyarrow.array(
            [None if n % 4 == 0 else [n, n + 0.5] for n in range(count)],
            pyarrow.list_(pyarrow.float32(), 2),
        ),
        "d": pyarrow.array([f"v{n % 10}" for n in range(count)]).dictionary_encode(),
    }
    rows = read(written(tmp_path, columns, row_group_size=1700))
    assert [row.id for row in rows] == list(range(count))
    for n, row in enumerate(rows):
        found = row.payload
        assert found["d"] == f"v{n % 10}"
        assert found["m"] == ({f"k{n}": n} if n % 2 else {})
        assert found.get("f") == (None if n % 4 == 0 else [n, n + 0.5])
        if n % 7 == 0:
            assert "x" not in found
        else:
            assert found["x"]["tags"] == (None if n % 5 == 0 else [f"t{n}"] * (n % 3))
            assert found["x"]["when"].startswith("1970-01-01T00:00:00")


@pytest.mark.parametrize(
    ("type", "number", "sentence"),
    [
        (pyarrow.timestamp("us"), 2**62, r"field 'x' is a timestamp\[us\] that cannot be read"),
        (pyarrow.date64(), 2**60, r"field 'x' is a date32\[day\] that cannot be read"),
        (pyarrow.duration("s"), 2**62, r"field 'x' is a duration\[s\] that cannot be read"),
    ],
)
def test_what_python_cannot_hold_is_one_rejection(
    tmp_path: Path, type: Any, number: int, sentence: str
) -> None:
    column = pyarrow.array([0, number, 0], pyarrow.int64()).cast(type, safe=False)
    first, second, last = read(written(tmp_path, {"x": column}))
    assert isinstance(first, Document)
    assert isinstance(last, Document)
    assert isinstance(second, Rejected)
    assert second.id == 1
    assert re.search(sentence, second.reason), second.reason


def test_a_map_with_a_key_twice_is_one_rejection(tmp_path: Path) -> None:
    kind = pyarrow.map_(pyarrow.int32(), pyarrow.string())
    column = pyarrow.array([[(1, "a"), (2, "b")], [(1, "a"), (1, "b")]], kind)
    first, second = payloads(tmp_path, {"x": column})
    assert first == {"1": "a", "2": "b"}
    assert second.reason == "the payload's field 'x' is a map with a duplicate key"


def test_dates_of_spark_that_nanoseconds_cannot_hold(tmp_path: Path) -> None:
    column = pyarrow.array([datetime(9999, 12, 31)], pyarrow.timestamp("us"))
    path = written(tmp_path, {"x": column}, use_deprecated_int96_timestamps=True)
    assert read(path)[0].payload["x"] == "9999-12-31T00:00:00"


def test_ids_of_any_type(tmp_path: Path) -> None:
    when = pyarrow.array([datetime(2024, 1, 2, tzinfo=UTC)], pyarrow.timestamp("us", "UTC"))
    (row,) = read(written(tmp_path, {"when": when}), id_field="when")
    assert row.id == "2024-01-02T00:00:00+00:00"


PEAK = """
import resource, sys
from splade_connectors.files.readers import FileReader
resource.setrlimit(resource.RLIMIT_AS, (4 << 30, 4 << 30))
import pyarrow.parquet
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
count = sum(len(row.text) for row in FileReader(sys.argv[1]))
print(count, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""


def peak_of(path: Path) -> list[int]:
    done = subprocess.run(
        [sys.executable, "-c", PEAK, str(path)],
        capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return [int(word) for word in done.stdout.split()]


def test_a_value_that_stands_in_a_dictionary_is_held_once(tmp_path: Path) -> None:
    text = "x" * 10_000_000
    texts = pyarrow.DictionaryArray.from_arrays(pyarrow.array([0] * 3000, "int32"), [text])
    path = tmp_path / "x.parquet"
    table = pyarrow.table({"id": list(range(3000)), "text": texts})
    pyarrow.parquet.write_table(table, path, compression="zstd", store_schema=False)
    assert path.stat().st_size < 20_000
    characters, megabytes = peak_of(path)
    assert characters == 30_000_000_000
    assert megabytes < 200


def test_batches_are_as_small_as_rows_are_large(tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    columns = {"id": list(range(200)), "text": ["y" * 1_000_000] * 200}
    pyarrow.parquet.write_table(
        pyarrow.table(columns), path, compression="zstd", use_dictionary=False, write_batch_size=8
    )
    characters, megabytes = peak_of(path)
    assert characters == 200_000_000
    assert megabytes < 120


def test_a_page_that_is_too_large_is_refused_before_it_is_unpacked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pages, "LARGEST_PAGE", 1_000_000)
    path = written(tmp_path, {"x": ["y" * 100_000] * 30}, use_dictionary=False)
    sentence = "row group 0 of .* has a page of 3,000,1.. bytes in 'x', but the limit is 1,000,000"
    with pytest.raises(ConfigurationError, match=sentence):
        read(path)


def test_a_row_of_countless_nulls_is_refused(tmp_path: Path) -> None:
    count = 60_000_000
    lists = pyarrow.LargeListArray.from_arrays(
        pyarrow.array(np.array([0, count], np.int64)), pyarrow.nulls(count, pyarrow.int8())
    )
    path = written(tmp_path, {"x": lists}, compression="zstd")
    assert path.stat().st_size < 100_000
    with pytest.raises(
        ConfigurationError, match=r"has 60,000,000 values per row in 'x.list.element"
    ):
        read(path)


def test_a_row_that_is_too_long_is_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "LONGEST_LINE", 1000)
    column = [["a" * 400] * 2, ["a" * 400] * 3, ["a"]]
    first, second, last = payloads(tmp_path, {"x": column})
    assert (first, last) == (column[0], column[2])
    assert second.reason == "row 2 is longer than 1,000 bytes"


@pytest.mark.parametrize("version", ["1.0", "2.0"])
@pytest.mark.parametrize("packing", ["none", "snappy", "zstd"])
def test_pages_are_what_the_footer_says(tmp_path: Path, version: str, packing: str) -> None:
    columns = {
        "x": [f"{n}" * (n % 100) for n in range(20_000)],
        "y": [[n] * 2 for n in range(20_000)],
    }
    path = written(
        tmp_path, columns, compression=packing, data_page_version=version, data_page_size=10_000
    )
    with path.open("rb") as file:
        metadata = pyarrow.parquet.read_metadata(path)
        for at in range(metadata.num_columns):
            column = metadata.row_group(0).column(at)
            found = pages.pages_of(file, column)
            assert sum(page.values for page in found) == column.num_values
            assert sum(page.size for page in found) <= column.total_uncompressed_size


def test_parquet_on_the_standard_input_is_a_sentence() -> None:
    done = subprocess.run(
        [sys.executable, "-c", "from splade_connectors.files.readers import FileReader\n"
         "try: FileReader('-', format='parquet')\nexcept Exception as error: print(error)"],
        input="PAR1", capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout == (
        "Parquet cannot be read from stdin, because its metadata is at the end; name a file\n"
    )
