"""What an index was written with: kept, read back, compared."""

from __future__ import annotations

import dataclasses
import json
import re
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from splade_connectors.backends.metadata import (
    STATE_KEY,
    former_of,
    is_marked,
    vector_of,
    without_vector,
)
from splade_connectors.errors import ConfigurationError, ManifestMismatch
from splade_connectors.files.json_files import read_manifest_file, write_manifest_file
from splade_connectors.manifest import MANIFEST_KEY, IndexManifest, parse_manifest

MINE = IndexManifest(
    model="splade-tiny", revision="abc", tokenizer="def", activation="log1p", max_length=256
)
NAMES = st.text(max_size=20)
MANIFESTS = st.builds(
    IndexManifest,
    model=NAMES,
    revision=NAMES,
    tokenizer=NAMES,
    activation=st.sampled_from(["log1p", "log1p_log1p"]),
    max_length=st.integers(8, 8192),
    long_text=st.sampled_from(["truncate", "passages"]),
    passage_overlap=st.none() | st.integers(0, 100),
    precision=st.sampled_from(["fp32", "int8"]),
    prune_top_k=st.none() | st.integers(1, 1000),
    prune_max_ratio=st.floats(0, 0.999),
    key_style=st.sampled_from(["token", "id"]),
    text_fields=st.lists(NAMES, min_size=1, max_size=3).map(tuple),
)

# Setting -> another value, and whether a query depends on it.
OTHERS: list[tuple[str, Any, bool]] = [
    ("model", "another", True),
    ("revision", "123", True),
    ("tokenizer", "456", True),
    ("activation", "log1p_log1p", True),
    ("key_style", "token", True),
    ("max_length", 128, False),
    ("long_text", "passages", False),
    ("passage_overlap", 16, False),
    ("precision", "int8", False),
    ("prune_top_k", 64, False),
    ("prune_max_ratio", 0.1, False),
    ("text_fields", ("title", "text"), False),
]


def test_the_table_of_settings_is_complete() -> None:
    known = {field.name for field in dataclasses.fields(IndexManifest)}
    assert known == {name for name, _, _ in OTHERS} | {"format", "tuning", "query_side"}


def test_a_tuning_is_no_setting_of_the_vectors() -> None:
    tuned = dataclasses.replace(MINE, tuning={"fusion": "rrf", "later": [1]})
    assert tuned.fingerprint() == MINE.fingerprint()
    tuned.check(MINE, use="write", where="here")
    MINE.check(tuned, use="write", where="here")
    assert IndexManifest.from_json(json.loads(json.dumps(tuned.to_json()))) == tuned
    assert "tuning" not in MINE.to_json()  # manifests without one are what they were


def test_fp32_is_not_written_down() -> None:
    assert "precision" not in MINE.to_json()  # manifests of earlier versions are what they were
    assert dataclasses.replace(MINE, precision="int8").to_json()["precision"] == "int8"


@given(MANIFESTS)
def test_a_manifest_survives_json(manifest: IndexManifest) -> None:
    assert IndexManifest.from_json(json.loads(json.dumps(manifest.to_json()))) == manifest


@given(MANIFESTS, MANIFESTS)
def test_fingerprints_differ_exactly_where_settings_differ(
    left: IndexManifest, right: IndexManifest
) -> None:
    assert (left.fingerprint() == right.fingerprint()) == (left == right)
    assert len(left.fingerprint()) == 8


@pytest.mark.parametrize(("name", "value", "_"), OTHERS)
def test_any_setting_changes_the_fingerprint(name: str, value: Any, _: bool) -> None:
    assert dataclasses.replace(MINE, **{name: value}).fingerprint() != MINE.fingerprint()


@given(MANIFESTS)
def test_the_same_settings_may_write_and_query(manifest: IndexManifest) -> None:
    manifest.check(dataclasses.replace(manifest), use="write", where="here")
    manifest.check(dataclasses.replace(manifest), use="query", where="here")


@pytest.mark.parametrize(("name", "value", "for_queries"), OTHERS)
def test_writing_with_another_setting_is_refused_with_both_values(
    name: str, value: Any, for_queries: bool
) -> None:
    theirs = dataclasses.replace(MINE, **{name: value})
    with pytest.raises(ManifestMismatch) as caught:
        theirs.check(MINE, use="write", where="edge:index")
    mine = getattr(MINE, name)
    assert f"{name}: the index has {value!r}, you have {mine!r}" in str(caught.value)
    assert "edge:index" in str(caught.value)
    assert "override_manifest=True (--override-manifest)" in str(caught.value)
    assert caught.value.differences == {name: (value, mine)}


@pytest.mark.parametrize(("name", "value", "for_queries"), OTHERS)
def test_a_query_is_refused_only_where_it_depends_on_the_setting(
    name: str, value: Any, for_queries: bool
) -> None:
    theirs = dataclasses.replace(MINE, **{name: value})
    if not for_queries:
        theirs.check(MINE, use="query", where="here")
        return
    with pytest.raises(ManifestMismatch, match=name) as caught:
        theirs.check(MINE, use="query", where="here")
    assert caught.value.differences == {name: (value, getattr(MINE, name))}


def test_other_text_fields_are_answered_with_the_option_that_goes_on() -> None:
    theirs = dataclasses.replace(MINE, text_fields=("title", "body"))
    sentence = re.escape("WriteOptions(text_fields=('title', 'body',)) (--text, once per field)")
    with pytest.raises(ManifestMismatch, match=sentence):
        theirs.check(dataclasses.replace(MINE, text_fields=("text",)), use="write", where="here")


def test_all_differences_are_named_at_once() -> None:
    theirs = dataclasses.replace(MINE, model="another", max_length=128)
    with pytest.raises(ManifestMismatch) as caught:
        theirs.check(MINE, use="write", where="here")
    assert set(caught.value.differences) == {"model", "max_length"}
    with pytest.raises(ManifestMismatch) as caught:
        theirs.check(MINE, use="query", where="here")
    assert set(caught.value.differences) == {"model"}


def test_a_later_format_is_refused_with_the_way_out() -> None:
    with pytest.raises(
        ManifestMismatch, match=r"format 3, but this .* format 2: pip install -U spl"
    ):
        IndexManifest.from_json(MINE.to_json() | {"format": 3})


@pytest.mark.parametrize("version", ["2", None, 2.5, True, [2], {}, 0, -1])
def test_a_format_that_is_no_version_is_refused(version: Any) -> None:
    with pytest.raises(
        ManifestMismatch, match=r"manifest of format .*this version reads only up to format 2"
    ):
        IndexManifest.from_json(MINE.to_json() | {"format": version})


@pytest.mark.parametrize("said", [{}, {"format": 1}])
@pytest.mark.parametrize("use", ["write", "query", "verify"])
def test_an_index_of_the_first_format_is_recognized_with_what_to_type(said: Any, use: Any) -> None:
    raw = MINE.to_json() | {"long_text": "windows", "window_overlap": 16}
    del raw["format"]
    old = IndexManifest.from_json(raw | said)
    assert (old.outdated, old.format) == (True, 1)
    assert (old.long_text, old.passage_overlap) == ("passages", 16)
    with pytest.raises(
        ManifestMismatch, match=r"^edge:index has an outdated manifest \(format 1, "
    ) as caught:
        old.check(MINE, use=use, where="edge:index")
    assert "splade-connectors attach TARGET --override-manifest" in str(caught.value)
    assert caught.value.differences == {}
    assert not MINE.outdated


def test_entries_of_later_versions_are_ignored() -> None:
    assert IndexManifest.from_json(MINE.to_json() | {"later": [1]}) == MINE


def test_what_has_a_default_may_be_absent() -> None:
    required = {"model", "revision", "tokenizer", "activation", "max_length", "format"}
    raw = {name: value for name, value in MINE.to_json().items() if name in required}
    assert IndexManifest.from_json(raw) == MINE


@pytest.mark.parametrize(
    ("raw", "sentence"),
    [
        ({}, "unreadable manifest: it lacks 'model', 'revision', 'tokenizer'"),
        ({"model": "x"}, "unreadable manifest: it lacks 'revision', 'tokenizer'"),
        (MINE.to_json() | {"model": 5}, "unreadable manifest: model is 5"),
        (MINE.to_json() | {"max_length": "256"}, "max_length is '256'"),
        (MINE.to_json() | {"max_length": True}, "max_length is True"),
        (MINE.to_json() | {"prune_top_k": [1]}, r"prune_top_k is \[1\]"),
        (MINE.to_json() | {"long_text": "cut"}, "long_text is 'cut'"),
        (MINE.to_json() | {"key_style": []}, r"key_style is \[\]"),
        (MINE.to_json() | {"text_fields": ["a", 5]}, "text_fields is"),
        (MINE.to_json() | {"tuning": 5}, "tuning is 5"),
        (MINE.to_json() | {"tuning": {"x" * 60_000: 5}, "model": {}}, "model is {}"),
        (MINE.to_json() | {"text_fields": 3}, "unreadable manifest"),
        (MINE.to_json() | {"text_fields": "text"}, "unreadable manifest: text_fields"),
        ("x", "not a JSON object: 'x'"),
        ([1], r"not a JSON object: \[1\]"),
        (MINE.to_json() | {"format": 99}, "format 99"),
    ],
)
def test_what_is_no_manifest_is_refused_naming_the_index(raw: Any, sentence: str) -> None:
    with pytest.raises(ManifestMismatch, match=f"edge:index.*{sentence}"):
        parse_manifest(raw, "edge:index")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(), inner, max_size=2),
    max_leaves=4,
)


@given(
    st.fixed_dictionaries({}, optional=dict.fromkeys(MINE.to_json() | {"tuning": None}, JSON)), JSON
)
def test_whatever_is_stored_is_a_manifest_or_a_sentence(changes: Any, other: Any) -> None:
    for raw in (MINE.to_json() | changes, other):
        try:
            found = parse_manifest(raw, "here")
        except ManifestMismatch:
            continue
        if found is not None:  # then it can be used like any other
            assert found.fingerprint()
            assert IndexManifest.from_json(found.to_json()) == found
            with suppress(ManifestMismatch):
                found.check(MINE, use="write", where="here")


@given(st.dictionaries(st.sampled_from([MANIFEST_KEY, STATE_KEY]), JSON), st.text(max_size=3))
def test_whatever_is_kept_beside_it_is_that_or_a_sentence(metadata: Any, name: str) -> None:
    """No other exception, whatever is there."""
    for look in (vector_of, former_of, is_marked, without_vector):
        with suppress(ManifestMismatch):
            look(metadata, name)


def test_no_manifest_is_none() -> None:
    assert parse_manifest(None, "here") is None


def test_a_file_keeps_one_manifest_for_each_field(tmp_path: Path) -> None:
    path = tmp_path / "manifest.json"
    assert read_manifest_file(path, "a") is None
    write_manifest_file(path, "a", MINE)
    other = dataclasses.replace(MINE, model="another")
    write_manifest_file(path, "b", other)
    assert read_manifest_file(path, "a") == MINE
    assert read_manifest_file(path, "b") == other
    assert read_manifest_file(path, "c") is None
    assert [entry.name for entry in tmp_path.iterdir()] == ["manifest.json"]


@pytest.mark.parametrize("content", [b"{", b"\xff", b"[1]", b""])
def test_a_file_that_is_no_json_object_is_refused_and_kept(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "manifest.json"
    path.write_bytes(content)
    with pytest.raises(
        ConfigurationError, match=r"(cannot read .*manifest\.json as|does not contain a) JSON"
    ):
        read_manifest_file(path, "a")
    with pytest.raises(ConfigurationError, match="JSON"):
        write_manifest_file(path, "a", MINE)
    assert path.read_bytes() == content


def test_a_folder_that_does_not_exist_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"cannot write .*nowhere.manifest\.json: No such"):
        write_manifest_file(tmp_path / "nowhere" / "manifest.json", "a", MINE)
