"""Packed files and encodings: the same rows from each, and nothing that unpacks without end."""

from __future__ import annotations

import bz2
import codecs
import gzip
import io
import json
import lzma
import sys
import tracemalloc
import zlib
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from splade_connectors.errors import ConfigurationError, MissingDependency
from splade_connectors.files import archives, limits
from splade_connectors.files.readers import FileReader, NoRows

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

PACK: dict[str, Callable[[bytes], bytes]] = {
    "": bytes,
    ".gz": gzip.compress,
    ".bz2": bz2.compress,
    ".xz": lzma.compress,
    ".zst": zstd.compress,
}
ROWS = [{"id": "a", "text": "Äpfel, 🍎"}, {"id": "b", "text": "Brot"}]
JSONL = "".join(f"{json.dumps(row, ensure_ascii=False)}\n" for row in ROWS)
FORMS = {
    "jsonl": JSONL,
    "json": json.dumps(ROWS, ensure_ascii=False, indent=1),
    "csv": 'id,text\r\na,"Äpfel, 🍎"\r\nb,Brot\r\n',
    "tsv": "id\ttext\na\tÄpfel, 🍎\nb\tBrot\n",
}


def documents(path: Path | str, **options: Any) -> list[tuple[Any, str]]:
    with FileReader(path, **options) as reader:
        return [(row.id, row.text) for row in reader]  # type: ignore[union-attr]


EXPECTED = [(row["id"], row["text"]) for row in ROWS]


@pytest.mark.parametrize("packing", PACK)
@pytest.mark.parametrize("form", FORMS)
def test_every_form_in_every_archive(tmp_path: Path, form: str, packing: str) -> None:
    path = tmp_path / f"rows.{form}{packing}"
    path.write_bytes(PACK[packing](FORMS[form].encode()))
    assert documents(path) == EXPECTED


@pytest.mark.parametrize("packing", PACK)
@pytest.mark.parametrize("form", ["json", "jsonl", "csv"])
def test_the_standard_input_says_how_it_is_packed(
    monkeypatch: pytest.MonkeyPatch, form: str, packing: str
) -> None:
    data = PACK[packing](FORMS[form].encode())
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BufferedReader(io.BytesIO(data))))
    assert documents("-", **({"format": "csv"} if form == "csv" else {})) == EXPECTED


@pytest.mark.parametrize("packing", [".gz", ".bz2", ".xz", ".zst"])
def test_archives_of_several_streams(tmp_path: Path, packing: str) -> None:
    lines = JSONL.encode().splitlines(keepends=True)
    path = tmp_path / f"x.jsonl{packing}"
    path.write_bytes(b"".join(map(PACK[packing], [*lines[:1], b"", *lines[1:]])))
    assert documents(path) == EXPECTED
    path.write_bytes(PACK[packing](JSONL.encode()) + b"\x00" * 8)
    if packing in (".gz", ".xz"):  # which may be padded
        assert documents(path) == EXPECTED


@pytest.mark.parametrize("packing", [".gz", ".bz2", ".xz", ".zst"])
def test_archives_that_are_cut_or_none(tmp_path: Path, packing: str) -> None:
    rows = "".join(json.dumps({"id": n, "text": f"{n * 7919}"}) + "\n" for n in range(20_000))
    path = tmp_path / f"x.jsonl{packing}"
    path.write_bytes(PACK[packing](rows.encode())[:-100])
    with pytest.raises(ConfigurationError, match=f"cannot read .*{path.name} to the end"):
        documents(path)
    path.write_bytes(rows.encode())
    with pytest.raises(ConfigurationError, match=f"cannot read .*{path.name} to the end"):
        FileReader(path)
    path.write_bytes(b"")
    with pytest.raises(NoRows, match="it is empty"):
        FileReader(path)


@pytest.mark.parametrize("packing", [".bz2", ".xz", ".zst"])
@pytest.mark.parametrize("form", ["jsonl", "json", "csv"])
def test_an_archive_of_one_endless_row_is_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, packing: str, form: str
) -> None:
    monkeypatch.setattr(limits, "LONGEST_LINE", 1_000_000)
    begin = {"jsonl": b'{"id": "a", "text": "', "json": b'[{"id": "a", "text": "'}
    path = tmp_path / f"x.{form}{packing}"
    path.write_bytes(PACK[packing](begin.get(form, b'id,text\na,"') + b"0" * 30_000_000))
    assert path.stat().st_size < 100_000
    tracemalloc.start()
    sentence = r"longer than 1,000,000|field larger than|its JSON array is not closed"
    with pytest.raises(ConfigurationError, match=sentence):
        documents(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 20_000_000  # of 30 MB; the dictionary of xz takes 8


def test_archives_that_want_to_look_back_too_far(tmp_path: Path) -> None:
    (tmp_path / "x.jsonl.xz").write_bytes(
        _with_dictionary(lzma.compress(JSONL.encode(), filters=[{"id": lzma.FILTER_LZMA2}]))
    )
    options = {
        zstd.CompressionParameter.window_log: 29,
        zstd.CompressionParameter.enable_long_distance_matching: 1,
    }
    compressor = zstd.ZstdCompressor(options=options)
    packed = compressor.compress(JSONL.encode()) + compressor.flush()
    (tmp_path / "x.jsonl.zst").write_bytes(packed)
    for name in ("x.jsonl.xz", "x.jsonl.zst"):
        with pytest.raises(ConfigurationError, match=r"to the end: .*[Mm]emory"):
            FileReader(tmp_path / name)


def _with_dictionary(packed: bytes) -> bytes:
    """An xz whose block asks for a dictionary of 4 GiB, as its header can say in a byte."""
    block = bytearray(packed)
    at = 12  # after the stream's header: size, flags, id of LZMA2, size of its properties
    assert block[at + 2 : at + 4] == b"\x21\x01"
    block[at + 4] = 40
    size = (block[at] + 1) * 4
    block[at + size - 4 : at + size] = zlib.crc32(block[at : at + size - 4]).to_bytes(4, "little")
    return bytes(block)


def test_zstandard_that_is_missing_is_named_with_its_pip_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "x.jsonl.zst").write_bytes(PACK[".zst"](JSONL.encode()))
    monkeypatch.setitem(sys.modules, "backports.zstd", None)
    monkeypatch.setitem(sys.modules, "compression.zstd", None)
    with pytest.raises(MissingDependency, match=r"pip install 'splade-connectors\[zstd\]'"):
        FileReader(tmp_path / "x.jsonl.zst")


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    ("encoding", "mark"),
    [
        ("utf-8", codecs.BOM_UTF8),
        ("utf-16-le", codecs.BOM_UTF16_LE),
        ("utf-16-be", codecs.BOM_UTF16_BE),
        ("utf-32-le", codecs.BOM_UTF32_LE),
        ("utf-16-le", b""),
        ("utf-16-be", b""),
    ],
)
def test_encodings_that_are_certain(tmp_path: Path, form: str, encoding: str, mark: bytes) -> None:
    path = tmp_path / f"x.{form}"
    path.write_bytes(mark + FORMS[form].encode(encoding))
    assert documents(path) == EXPECTED


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("encoding", ["windows-1252", "shift_jis", "utf-8"])
def test_encodings_that_are_named(tmp_path: Path, form: str, encoding: str) -> None:
    text = "Äpfel" if encoding != "shift_jis" else "りんご"
    path = tmp_path / f"x.{form}.gz"
    path.write_bytes(gzip.compress(FORMS[form].replace("Äpfel, 🍎", text).encode(encoding)))
    assert documents(path, encoding=encoding) == [("a", text), ("b", "Brot")]


def test_a_wrong_encoding_is_named_with_the_way_out(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_bytes("id,text\na,Äpfel\n".encode("windows-1252"))
    with pytest.raises(ConfigurationError, match=r"is not valid UTF-8 .*--encoding windows-1252"):
        documents(path)
    with pytest.raises(ConfigurationError, match=r"x\.csv is not valid ascii .*such as --encoding"):
        documents(path, encoding="ascii")
    for name in ("klingon", "rot13", "zip", "base64"):
        with pytest.raises(ConfigurationError, match=f"unknown encoding '{name}' "):
            documents(path, encoding=name)


def test_a_stream_that_gives_little_at_a_time_is_read_whole() -> None:
    class Slow(io.BytesIO):
        def read1(self, size: int | None = -1) -> bytes:
            return super().read1(min(size or 1, 3))

    rest = Slow(b"0123456789")
    stream = io.BufferedReader(archives.Beginning(b"ab", rest))
    assert stream.read() == b"ab0123456789"
    stream.close()
    assert not rest.closed
