"""Every type, delimiter, encoding and archive on every store: the same document comes back."""

from __future__ import annotations

import bz2
import codecs
import gzip
import io
import json
import lzma
import sys
from collections.abc import Callable
from datetime import date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import pyarrow
import pyarrow.parquet
import pytest

from splade_connectors import Document, connect
from splade_connectors.files.sources import FilesReader
from splade_connectors.store import Store
from splade_connectors.testing import HashEncoder
from tests.integration.test_filters import ON_SERVERS, index_of_owner, opened

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

STORES = ["memory", "edge", "local", *ON_SERVERS]
PACK: dict[str, Callable[[bytes], bytes]] = {
    "": bytes,
    ".gz": gzip.compress,
    ".bz2": bz2.compress,
    ".xz": lzma.compress,
    ".zst": zstd.compress,
}
TEXT = 'Äpfel; "Brot" | Salz, Zeit'
# What every file holds, and what every store gives back.
FIELDS = {"text": TEXT, "lang": "de", "price": 7.0, "count": 7, "sold": True, "zip": "00501"}
TYPES = {"price": "float", "count": "int", "sold": "bool"}


def cells(id: str, delimiter: str) -> str:
    """As CSV has them; as TSV for the tab."""
    quoted = TEXT if delimiter == "\t" else '"' + TEXT.replace('"', '""') + '"'
    rows = [["id", *FIELDS], [id, quoted, "de", "7", " 7", "yes", "00501"]]
    return "".join(f"{delimiter.join(row)}\r\n" for row in rows)


FORMS: dict[str, tuple[str, Callable[[str], str]]] = {
    "lines": ("jsonl", lambda id: json.dumps({"id": id, **FIELDS}, ensure_ascii=False) + "\n"),
    "array": ("json", lambda id: json.dumps([{"id": id, **FIELDS}], ensure_ascii=False, indent=2)),
    "commas": ("csv", lambda id: cells(id, ",")),
    "semicolons": ("csv", lambda id: cells(id, ";")),
    "bars": ("csv", lambda id: cells(id, "|")),
    "tabs": ("tsv", lambda id: cells(id, "\t")),
}
MARKS = {
    "utf-8": b"",
    "utf-8-sig": b"",
    "utf-16-le": codecs.BOM_UTF16_LE,
    "utf-16-be": b"",
    "utf-32-le": codecs.BOM_UTF32_LE,
}


def made(folder: Path) -> list[str]:
    """Files of every form, packing and encoding; the ids of their documents."""
    ids = []
    for form, (ending, text) in FORMS.items():
        for packing, pack in PACK.items():
            for encoding, mark in MARKS.items():
                if packing and encoding != "utf-8":
                    continue
                ids.append(f"{form}{packing}-{encoding}")
                data = mark + text(ids[-1]).encode(encoding)
                (folder / f"{ids[-1]}.{ending}{packing}").write_bytes(pack(data))
    return ids


def check(store: Store, ids: list[str]) -> None:
    documents = store.get(ids)
    assert [document.id for document in documents] == ids
    for document in documents:
        assert document.payload == FIELDS, document.id
        kinds = {name: type(value) for name, value in document.payload.items()}
        assert kinds == {name: type(value) for name, value in FIELDS.items()}, document.id


@pytest.mark.parametrize("name", STORES)
def test_every_file_gives_the_same_document(
    name: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    folder = tmp_path / "rows"
    folder.mkdir()
    ids = made(folder)
    assert len(ids) == 54
    with opened(name, request) as store:
        with FilesReader([folder], types=TYPES) as reader:
            report = store.index(reader)
        assert (report.written, report.rejected) == (len(ids), [])
        check(store, ids)
        if name != "memory":
            assert len(store.search("Brot", limit=100)) == len(ids)


@pytest.mark.parametrize("name", STORES)
def test_what_is_named_gives_it_too(
    name: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    named: dict[str, dict[str, Any]] = {
        "windows": {"encoding": "windows-1252"},
        "tilde": {"delimiter": "~"},
        "tab": {"delimiter": "tab"},
        "renamed": {"rename": {"key": "id", "body": "text"}, "exclude": ("internal",)},
        "inferred": {"infer_types": True, "types": {"price": "float", "sold": "bool"}},
    }
    rows = {
        "windows": cells("windows", ",").encode("windows-1252"),
        "tilde": cells("tilde", "~").encode(),
        "tab": cells("tab", ",").replace(",Zeit", " Zeit").encode(),
        "renamed": cells("renamed", ",").replace("id,text", "key,body").encode(),
        "inferred": cells("inferred", ",").encode(),
    }
    rows["tab"] = "\t".join(["id", *FIELDS]).encode() + b"\r\n" + "\t".join(
        ["tab", '"' + TEXT.replace('"', '""') + '"', "de", "7", "7", "yes", "00501"]
    ).encode()  # fmt: skip
    rows["renamed"] = b"\r\n".join(
        line + (b",internal" if number == 0 else b",x")
        for number, line in enumerate(rows["renamed"].splitlines())
    )
    with opened(name, request) as store:
        for id, options in named.items():
            (tmp_path / f"{id}.csv").write_bytes(rows[id])
            with FilesReader([tmp_path / f"{id}.csv"], **{"types": TYPES, **options}) as reader:
                assert store.index(reader).rejected == [], id
        check(store, list(named))


NANOSECONDS = 1_704_164_645_000_000_001
COLUMNS: dict[str, tuple[Any, Any]] = {
    "day": (pyarrow.array([date(2024, 1, 2)]), "2024-01-02"),
    "when": (
        pyarrow.array([datetime(2024, 1, 2, 3, 4, 5)], pyarrow.timestamp("us", "Asia/Kolkata")),
        "2024-01-02T08:34:05+05:30",
    ),
    "exactly": (
        pyarrow.array([NANOSECONDS]).cast(pyarrow.timestamp("ns")),
        "2024-01-02T03:04:05.000000001",
    ),
    "took": (pyarrow.array([timedelta(seconds=90.5)]), "PT90.5S"),
    "price": (pyarrow.array([Decimal("7.00")]), 7.0),
    "exact": (pyarrow.array([Decimal("0.12345678901234567890")]), "0.12345678901234567890"),
    "large": (pyarrow.array([2**64 - 1], pyarrow.uint64()), "18446744073709551615"),
    "data": (pyarrow.array([b"\x00\xff"]), "AP8="),
    "single": (pyarrow.array([0.1], pyarrow.float32()), 0.10000000149011612),
    "double": (pyarrow.array([0.1]), 0.1),
    "tags": (pyarrow.array([["a", None]]), ["a", None]),
    "map": (
        pyarrow.array([[("k", 1)]], pyarrow.map_(pyarrow.string(), pyarrow.int64())),
        {"k": 1},
    ),
    "struct": (pyarrow.array([{"on": date(2024, 1, 2), "n": 1}]), {"on": "2024-01-02", "n": 1}),
}


@pytest.mark.parametrize("name", STORES)
def test_every_type_of_parquet_comes_back_as_documented(
    name: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    columns = {column: array for column, (array, _) in COLUMNS.items()}
    missing = {"nan": [float("nan")], "none": pyarrow.nulls(1, pyarrow.int64())}
    table = pyarrow.table({"id": ["p"], "text": ["water"], **columns, **missing})
    pyarrow.parquet.write_table(table, tmp_path / "x.parquet")
    with opened(name, request) as store:
        with FilesReader([tmp_path / "x.parquet"]) as reader:
            assert store.index(reader).rejected == []
        found = dict(store.get(["p"])[0].payload)
        expected = {column: value for column, (_, value) in COLUMNS.items()} | {"text": "water"}
        assert found == expected
        assert type(found["price"]) is float


@pytest.mark.servers
def test_elasticsearch_maps_numbers_as_numbers(tmp_path: Path, elasticsearch_url: str) -> None:
    """What a new field becomes goes by its type here; the owner's mapping stays."""
    url = elasticsearch_url.rstrip("/")
    (tmp_path / "x.csv").write_text(cells("m", ","))
    mapping = {"properties": {"count": {"type": "keyword"}}}
    for given, expected in ((None, "long"), (mapping, "keyword")):
        with index_of_owner(url, "elasticsearch", given) as there:
            file = FilesReader([tmp_path / "x.csv"], types=TYPES)
            with connect(there, encoder=HashEncoder()) as store, file as reader:
                assert store.index(reader).written == 1
            index = there.rpartition("/")[2]
            found = httpx.get(f"{url}/{index}/_mapping", trust_env=False).json()[index]
        properties = found["mappings"]["properties"]
        assert properties["count"]["type"] == expected
        assert properties["price"]["type"] in ("float", "double")
        assert properties["sold"]["type"] == "boolean"
        assert properties["zip"]["type"] == "text"


def test_the_standard_input_gives_it_too(monkeypatch: pytest.MonkeyPatch) -> None:
    class Input:
        buffer: Any = None

    for packing, pack in PACK.items():
        for form in ("lines", "array"):
            data = pack(FORMS[form][1](f"{form}{packing}").encode())
            Input.buffer = io.BufferedReader(io.BytesIO(data))
            monkeypatch.setattr(sys, "stdin", Input)
            with FilesReader(["-"], types=TYPES) as reader:
                (document,) = reader
            assert isinstance(document, Document)
            assert document.payload == FIELDS
