"""Columns: renamed, typed, chosen; delimiters; markup taken out of texts."""

from __future__ import annotations

import json
import shlex
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from splade_connectors.documents import Document, Rejected
from splade_connectors.errors import ConfigurationError
from splade_connectors.files.html_text import text_of_html
from splade_connectors.files.readers import FileReader
from splade_connectors.options import ReadOptions


def read(path: Path, text: str | list[Any], **options: Any) -> list[Any]:
    if isinstance(text, list):
        text = "".join(f"{json.dumps(row)}\n" for row in text)
    path.write_text(text, encoding="utf-8")
    with FileReader(path, **options) as reader:
        return list(reader)


def payload(row: Any) -> dict[str, Any]:
    assert isinstance(row, Document), row
    return dict(row.payload)


CSV = (
    "id,text,price,count,sold,meta,zip\n"
    'a,one,9.90,3,true,"{""x"": [1]}",00501\n'
    "b,two,7,,no,,10115\n"
    "c,three,NaN, 4 ,0,null,1e5\n"
)
TYPES = {"price": "float", "count": "int", "sold": "bool", "meta": "json"}


def test_types_make_values_of_cells(tmp_path: Path) -> None:
    rows = read(tmp_path / "x.csv", CSV, types=TYPES)
    assert [payload(row) for row in rows] == [
        {
            "text": "one", "price": 9.9, "count": 3, "sold": True, "meta": {"x": [1]},
            "zip": "00501",
        },
        {"text": "two", "price": 7.0, "sold": False, "zip": "10115"},
        {"text": "three", "count": 4, "sold": False, "zip": "1e5"},
    ]  # fmt: skip
    assert repr(payload(rows[1])["price"]) == "7.0"


def test_types_of_json_and_of_the_id(tmp_path: Path) -> None:
    rows: list[Any] = [
        {"id": "7", "text": "a", "zip": 10115, "n": "5", "x": 1.0, "o": {"a": 1}},
        {"id": "8", "text": "b", "zip": "00501", "n": 5.0, "x": "2.5"},
    ]
    types = {"id": "int", "zip": "text", "n": "int", "x": "float", "o": "text"}
    found = read(tmp_path / "x.jsonl", rows, types=types)
    assert [row.id for row in found] == [7, 8]
    assert payload(found[0]) == {"text": "a", "zip": "10115", "n": 5, "x": 1.0, "o": '{"a": 1}'}
    assert payload(found[1]) == {"text": "b", "zip": "00501", "n": 5, "x": 2.5}


@pytest.mark.parametrize(
    ("kind", "cells"),
    [
        ("int", ["1.5", "1.5 NA", "x", "1_000", "٣", "0x10", "1e3"]),
        ("float", ["1,5", "x", "1_000", "inf", "0x10", "1.2.3"]),
        ("bool", ["2", "y", "ja", "NaN"]),
        ("json", ["{", "x"]),
    ],
)
def test_a_cell_of_another_type_is_one_rejection(
    tmp_path: Path, kind: str, cells: list[str]
) -> None:
    lines = "".join(f"{n};a;{cell}\n" for n, cell in enumerate(cells))
    rows = read(tmp_path / "x.csv", f"id;text;n\n{lines}9;b;\n", types={"n": kind})
    reasons = {row.reason for row in rows[:-1]}
    assert reasons == {f"the field 'n' is not of type {kind}; --type n=text keeps it as is"}
    assert [row.id for row in rows[:-1]] == [str(n) for n in range(len(cells))]
    assert [row.detail for row in rows[:-1]] == [f"the field 'n' is {cell!r}" for cell in cells]
    assert payload(rows[-1]) == {"text": "b"}


@pytest.mark.parametrize("kind", ["int", "float", "bool"])
@pytest.mark.parametrize("word", ["NA", "n/a", "null", "None", "-", "#N/A", "?"])
def test_words_for_no_value_are_missing_where_that_is_said(
    tmp_path: Path, kind: str, word: str
) -> None:
    text = f"id;text;n\n1;a;1\n2;b; {word} \n3;c;{word}\n4;d;\n"
    rows = read(tmp_path / "x.csv", text, types={"n": kind})
    assert [payload(rows[at]) for at in (0, 3)] == [{"text": "a", "n": 1}, {"text": "d"}]
    (reason,) = {row.reason for row in rows[1:3]}
    assert reason == (
        f"the field 'n' is {word!r}, which is not of type {kind}; to treat it as missing, pass "
        f"--null {shlex.quote(word)}"
    )
    assert [(row.id, row.line) for row in rows[1:3]] == [("2", 3), ("3", 4)]
    rows = read(tmp_path / "x.csv", text, types={"n": kind}, null_words=("x", word))
    assert [payload(row) for row in rows[1:]] == [{"text": "b"}, {"text": "c"}, {"text": "d"}]


def test_words_for_no_value_are_no_reason_to_guess_numbers(tmp_path: Path) -> None:
    text = "id,text,n,t,f\n1,a,1,x,NaN\n2,NA,NA,NA,2\n"
    first, second = map(payload, read(tmp_path / "x.csv", text, infer_types=True))
    assert (first["n"], second["n"], "f" in first, second["f"]) == ("1", "NA", False, 2)
    first, second = map(
        payload, read(tmp_path / "x.csv", text, infer_types=True, null_words=("NA",))
    )
    assert (first["n"], "n" in second, second["t"], second["text"]) == (1, False, "NA", "NA")


def test_types_are_found_out_on_request(tmp_path: Path) -> None:
    text = (
        "id,text,title,price,count,sold,zip,phone,mixed,none,big\n"
        "1,1984,7,9.90,3,true,00501,+49,1,,12345678901234567890\n"
        "2,1985,8,7,,FALSE,10115,110,x,NaN,1\n"
    )
    first, second = map(payload, read(tmp_path / "x.csv", text, infer_types=True))
    assert first == {
        "text": "1984", "title": "7", "price": 9.9, "count": 3, "sold": True, "zip": "00501",
        "phone": "+49", "mixed": "1", "none": "", "big": "12345678901234567890",
    }  # fmt: skip
    assert second == {
        "text": "1985", "title": "8", "price": 7.0, "sold": False, "zip": "10115",
        "phone": "110", "mixed": "x", "none": "NaN", "big": "1",
    }  # fmt: skip
    assert repr(second["price"]) == "7.0"  # a column has one type


def test_a_later_cell_of_another_type_is_one_rejection(tmp_path: Path) -> None:
    lines = [f"{n},a,{n}" for n in range(2000)]
    lines[1500] = "x,a,1.5"
    rows = read(tmp_path / "x.csv", "id,text,n\n" + "\n".join(lines), infer_types=True)
    (bad,) = [row for row in rows if isinstance(row, Rejected)]
    assert (bad.line, bad.id) == (1502, "x")
    assert bad.reason == "the field 'n' is not of type int; --type n=text keeps it as is"
    types = {"n": "float"}
    rows = read(tmp_path / "x.csv", "id,text,n\n" + "\n".join(lines), infer_types=True, types=types)
    assert payload(rows[1500])["n"] == 1.5
    assert payload(rows[3])["n"] == 3.0


@pytest.mark.parametrize("delimiter", [";", "|"])
def test_a_delimiter_that_is_certain_is_found_out(tmp_path: Path, delimiter: str) -> None:
    lines = ["id,text,n", 'a,"one; two | ""three""",1']
    text = "\n".join(line.replace(",", delimiter) for line in lines)
    (row,) = read(tmp_path / "x.csv", text)
    assert (row.id, row.text) == ("a", 'one; two | "three"')


@pytest.mark.parametrize("delimiter", ["~", " ", "\x01", "tab", "\t", "§"])
def test_a_delimiter_may_be_named(tmp_path: Path, delimiter: str) -> None:
    used = "\t" if delimiter == "tab" else delimiter
    text = used.join(["id", "text"]) + "\n" + used.join(["a", '"one, two"'])
    (row,) = read(tmp_path / "x.csv", text, delimiter=delimiter)
    assert (row.id, row.text) == ("a", "one, two")


RENAMED = [{"key": 1, "body": "a", "n": 1, "secret": "s"}, {"key": 2, "body": "b", "lang": "en"}]


def test_columns_are_renamed_and_chosen(tmp_path: Path) -> None:
    rename = {"key": "id", "body": "text", "n": "number"}
    rows = read(tmp_path / "x.jsonl", RENAMED, rename=rename, exclude=("secret",))
    assert [(row.id, payload(row)) for row in rows] == [
        (1, {"text": "a", "number": 1}),
        (2, {"text": "b", "lang": "en"}),
    ]
    rows = read(tmp_path / "x.jsonl", RENAMED, rename=rename, include=("number",))
    assert [payload(row) for row in rows] == [{"text": "a", "number": 1}, {"text": "b"}]
    assert rows[0].text == "a"


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"exclude": ("text",)}, r"'text' is the id or a text .*cannot be excluded \(--exclude\)"),
        ({"exclude": ("id",)}, "'id' is the id or a text field"),
        ({"include": ("nothing",)}, r"has no column 'nothing' \(--include\); it has 'id', 'text'"),
        ({"exclude": ("nothing",)}, r"no column 'nothing' \(--exclude\)"),
        ({"types": {"nothing": "int"}}, r"no column 'nothing' \(--type\)"),
        ({"rename": {"nothing": "x"}}, r"no column 'x' \(--rename\)"),
        (
            {"rename": {"n": "text"}},
            r"the row has both 'n' and 'text' \(--rename\), so one of them",
        ),
        ({"rename": {"n": "a", "text": "a"}}, "gives two fields the same name"),
        (
            {"types": {"n": "number"}},
            "unknown type 'number' of 'n' .*choose one of text, int, float",
        ),
        (
            {"delimiter": ";;"},
            r"delimiter \(--delimiter\) must be one character or 'tab', not ';;'",
        ),
        ({"delimiter": '"'}, "must be one character or 'tab'"),
    ],
)
def test_options_that_cannot_be_meant(
    tmp_path: Path, options: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(ConfigurationError, match=sentence):
        read(tmp_path / "x.csv", "id,text,n\na,b,1\n", **options)


@pytest.mark.parametrize("options", [{"delimiter": ";"}, {"infer_types": True}])
def test_options_for_tables_only(tmp_path: Path, options: dict[str, Any]) -> None:
    with pytest.raises(
        ConfigurationError, match=r"applies only to CSV and TSV, but .* is read as jsonl"
    ):
        read(tmp_path / "x.jsonl", RENAMED, **options)


def test_a_field_that_no_row_of_json_has_is_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    read(tmp_path / "x.jsonl", RENAMED, id_field="key", text_fields=("body",), exclude=("secrets",))
    assert "x.jsonl has the field 'secrets' (--exclude)" in caplog.text


def test_a_dense_vector_in_a_cell(tmp_path: Path) -> None:
    text = 'id,text,v\na,one,"[0.5, 1]"\n'
    (row,) = read(tmp_path / "x.csv", text, dense_field="v", types={"v": "json"})
    assert (row.dense, payload(row)) == ([0.5, 1], {"text": "one"})


def test_markup_is_taken_out_of_texts_as_stored(tmp_path: Path) -> None:
    row = {"id": 1, "text": "<p>Rye &amp; <b>wheat</b></p>", "html": "<p>", "o": {"t": "<i>x</i>y"}}
    (found,) = read(tmp_path / "x.jsonl", [row], strip_html=True, text_fields=("text", "o.t"))
    assert found.text == "Rye & wheat xy"
    assert payload(found) == {"text": "Rye & wheat", "html": "<p>", "o": {"t": "xy"}}


@pytest.mark.parametrize(
    ("html", "text"),
    [
        ("plain", "plain"),
        ("a < b && c > d", "a < b && c > d"),
        ("wo<b>r</b>d<br>next<br/>line", "word\nnext\nline"),
        ("<ul><li>one<li>two</ul>", "one\ntwo"),
        ("<a title=\"x > y\" href='>'>link</a>", "link"),
        ("a<!-- <b> -- > -->b", "ab"),
        ("a<!DOCTYPE html><?xml version='1'?>b", "ab"),
        ("a<script>if (a<b) '</p>'</SCRIPT>b<style>p{}</style>c", "a\nb\nc"),
        ("<head><title>t</title></head><body>b</body>", "b"),
        ("a<script>never closed", "a"),
        ("a<!-- never closed", "a"),
        ("a<b never closed", "a"),
        ("&lt;b&gt; &#228;&nbsp;&euro;", "<b> ä €"),
        ("a \t  b\r\n\r\n  c", "a \t  b\r\n\r\n  c"),
        ("<p>a \t  b\r\n\r\n  c</p>", "a b\nc"),
        ("a<svg/>b", "a\nb"),
        ("5<6", "5<6"),
    ],
)
def test_the_text_of_html(html: str, text: str) -> None:
    assert text_of_html(html) == text


@given(st.text(st.sampled_from("<>/!-\"'= abp&;\n")))
def test_any_markup_ends_as_text(html: str) -> None:
    assert isinstance(text_of_html(html), str)


@pytest.mark.parametrize("part", ["<", "<a ", '<a ="', "<!--", "<script>", "</", "<a '>", "&"])
def test_hostile_markup_takes_time_that_grows_with_its_length(part: str) -> None:
    html = part * 100_000
    began = time.process_time()
    text_of_html(html)
    assert time.process_time() - began < 10


def test_options_are_told_apart() -> None:
    assert ReadOptions() == ReadOptions()
    with pytest.raises(
        ConfigurationError, match="unknown format 'xml'; choose one of jsonl, csv, tsv"
    ):
        ReadOptions(format="xml")  # type: ignore[arg-type]
