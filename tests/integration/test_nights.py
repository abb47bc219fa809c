"""A job that runs every night: what changed is sent, what is gone is deleted, the rest is left."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from splade_connectors import Document, Store, StoredDocument, WriteOptions, connect
from splade_connectors.testing.requests import counted
from splade_connectors.testing.unchanged_contract import CountingEncoder
from tests.integration.command_line import ROWS, Run, jsonl, one_document, refusal, target

NIGHTLY = WriteOptions(skip_unchanged=True, delete_missing=True)
COUNT = 400


@pytest.fixture
def encoder() -> CountingEncoder:
    return CountingEncoder()


@pytest.fixture(params=["edge", "elasticsearch", "rank_features", "opensearch"])
def store(
    request: pytest.FixtureRequest, tmp_path: Path, encoder: CountingEncoder
) -> Iterator[Store]:
    name = f"splade-test-{uuid.uuid4().hex}"
    if request.param == "edge":
        place = target(tmp_path)
    else:
        url = request.getfixturevalue(f"{request.param}_url")
        scheme = "opensearch" if request.param == "opensearch" else "elasticsearch"
        place = f"{scheme}://{url.removeprefix('http://').rstrip('/')}/{name}"
    with connect(place, encoder=encoder) as store:
        yield store
        store.delete([document.id for document in store.export()])


def source() -> list[Document]:
    return [
        Document(id=f"d{n}", text=f"Document {n} of the night, on tides.", payload={"n": n})
        for n in range(COUNT)
    ]


def test_ten_changed_five_gone_one_payload_changed(store: Store, encoder: CountingEncoder) -> None:
    first = store.index(source(), options=NIGHTLY)
    assert (first.written, first.encoded, first.missing) == (COUNT, COUNT, 0)
    encoder.texts.clear()
    documents = source()
    for n in range(0, 100, 10):
        documents[n] = replace(documents[n], text=f"Document {n} is another one now.")
    documents[200] = replace(documents[200], payload={"n": -200})
    tonight = documents[:-5]
    report = store.index(tonight, options=NIGHTLY)
    assert (report.encoded, report.written, report.deleted) == (10, 11, 5)
    assert report.unchanged == COUNT - 16
    assert len(encoder.texts) == 10
    stored = {document.id: document.payload for document in store.export()}
    assert stored == {
        document.id: {**document.payload, "text": document.text} for document in tonight
    }
    exact = encoder.encode_documents([document.text for document in tonight])
    vectors = {document.id: document.vector for document in store.export(with_vectors=True)}
    for document, vector in zip(tonight, exact, strict=True):
        found = vectors[document.id]
        assert found is not None
        assert found.indices.tolist() == vector.indices.tolist()


def test_an_unchanged_night_sends_nothing(store: Store, encoder: CountingEncoder) -> None:
    store.index(source(), options=NIGHTLY)
    encoder.texts.clear()
    with counted(store) as sent:
        report = store.index(source(), options=NIGHTLY)
    assert (report.unchanged, report.written, report.missing) == (COUNT, 0, 0)
    assert sent.writes == []
    assert encoder.texts == []


def test_a_limit_is_for_what_is_sent(store: Store) -> None:
    long = replace(source()[0], text="tides " * 1000)
    store.index([long], options=NIGHTLY)
    small = replace(NIGHTLY, max_request_bytes=2_000)
    report = store.index([long], options=small)
    assert (report.unchanged, report.rejected_count) == (1, 0)
    report = store.index([replace(long, payload={"n": 1})], options=small)
    assert (report.unchanged, report.written, report.rejected_count) == (0, 0, 1)
    assert "takes 0.0 MB in a request" in report.rejected[0].reason


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.chdir(tmp_path)
    return target(tmp_path)


def nightly(run: Run, rows: list[Any], place: str, *more: str) -> Any:
    file = jsonl(Path("corpus.jsonl"), rows)
    return run("index", file, place, "--skip-unchanged", "--delete-missing", *more)


def test_a_nightly_job_is_one_line(run: Run, place: str) -> None:
    assert nightly(run, ROWS, place, "--json").json["written"] == 4
    changed = [{**ROWS[0], "lang": "fr"}, {**ROWS[1], "text": "Blood."}, *ROWS[2:]]
    report = nightly(run, changed, place, "--json").json
    numbers = ("written", "encoded", "unchanged", "missing", "deleted")
    assert [report[name] for name in numbers] == [2, 1, 2, 0, 0]
    done = nightly(run, changed[:3], place, "--most-deleted", "0.25")
    assert done.code == 0
    assert "3 unchanged: neither encoded nor sent" in done.out
    assert "1 deleted: no longer in the source" in done.out
    assert "deleting 1 document no longer in the source" in done.err


def test_too_many_missing_documents_are_refused_after_the_rest(run: Run, place: str) -> None:
    nightly(run, ROWS, place)
    done = nightly(run, [{**ROWS[0], "lang": "fr"}], place)
    assert done.code == 2
    assert "1 document written" in done.out
    assert "3 of 4 documents (75%) are not in the source" in done.err
    assert "--most-deleted 1" in done.err
    report = nightly(run, ROWS[:1], place, "--json")
    assert (report.code, report.json["missing"], report.json["deleted"]) == (2, 3, 0)
    done = nightly(run, ROWS[:1], place, "--most-deleted", "1", "--log-json", "--json")
    assert (done.code, done.json["deleted"]) == (0, 3)
    events = [json.loads(line) for line in done.err.splitlines()]
    assert {"deleting", "report"} <= {event["event"] for event in events}


def test_dead_letters_are_no_whole_source(run: Run, place: str) -> None:
    done = nightly(run, ROWS, place, "--from-dead-letters")
    assert (done.code, "only part of the source" in done.err) == (2, True)


def test_deleting_by_id(run: Run, place: str, tmp_path: Path) -> None:
    run("index", jsonl(tmp_path / "corpus.jsonl", ROWS), place)
    done = run("delete", place, "1", "4", "nobody")
    assert (done.code, done.err) == (0, "")
    assert "2 documents deleted" in done.out
    assert "1 not found: 'nobody'" in done.out
    file = tmp_path / "gone.txt"
    file.write_text('2\n{"_id": "3"}\n\n"4"\n', encoding="utf-8")
    assert one_document(run("delete", place, "--file", file, "--json").out) == {
        "deleted": 2,
        "absent": ["4"],
    }
    assert run("inspect", place, "--json").json["documents"] == 0


def test_a_number_that_names_two_documents_is_asked_about(run: Run, place: str) -> None:
    rows = [{"_id": 7, "text": "Salt."}, {"_id": "7", "text": "Water."}]
    run("index", jsonl(Path("corpus.jsonl"), rows), place)
    done = run("delete", place, "7")
    assert (done.code, "'7' and 7 are different documents" in done.err) == (2, True)
    Path("one.txt").write_text('{"id": 7}\n', encoding="utf-8")
    assert "1 document deleted" in run("delete", place, "--file", "one.txt").out
    assert [json.loads(line)["_id"] for line in run("export", place).out.splitlines()] == ["7"]


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ([], "give either ids or --file FILE"),
        (["1", "--file", "x"], "give either ids or --file FILE"),
        (["--file", "nowhere.txt"], "cannot read nowhere.txt"),
        (["--file", "bad.txt"], "line 1 has no id"),
    ],
)
def test_what_is_no_list_of_ids_is_refused(
    run: Run, place: str, arguments: list[str], reason: str
) -> None:
    Path("bad.txt").write_text('{"name": 7}\n', encoding="utf-8")
    done = run("delete", place, *arguments)
    assert (done.code, reason in done.err) == (2, True), done.err


def test_what_is_exported_is_indexed_again(run: Run, place: str) -> None:
    run("index", jsonl(Path("corpus.jsonl"), ROWS), place)
    assert run("export", place, "--output", "copy.jsonl").code == 0
    copied = [json.loads(line) for line in Path("copy.jsonl").read_text().splitlines()]
    assert sorted(copied, key=str) == sorted(ROWS, key=str)
    assert run("index", "copy.jsonl", f"{place}-copy").code == 0
    query = ["--json", "vaccines and bread"]
    assert run("search", f"{place}-copy", *query).json == run("search", place, *query).json


def test_vectors_are_exported_as_encode_writes_them(run: Run, place: str) -> None:
    file = jsonl(Path("corpus.jsonl"), ROWS)
    run("index", file, place)
    encoded = [json.loads(line) for line in run("encode", file).out.splitlines()]
    exported = run("export", place, "--vectors", "--json").json
    written = {row["id"]: (row["terms"], row["made_by"]) for row in exported}
    assert written == {row["id"]: (row["terms"], row["made_by"]) for row in encoded}


def test_an_export_never_writes_over_a_field(run: Run, place: str) -> None:
    names = ("id", "terms", "dense", "made_by", "payload")
    rows = [{**ROWS[0], **{name: ["a"] for name in names}}]
    run("index", jsonl(Path("corpus.jsonl"), rows), place)
    assert run("export", place).code == 0
    sentence = refusal(run("export", place, "--id-field", "id"))
    assert "already has a field 'id'" in sentence
    assert "choose another one (--id-field)" in sentence
    assert "omit --id-field" in refusal(run("export", place, "--vectors", "--id-field", "key"))
    (row,) = run("export", place, "--vectors", "--json").json
    assert row["payload"] == {name: value for name, value in rows[0].items() if name != "_id"}


@pytest.fixture
def places(request: pytest.FixtureRequest, place: str, kind: str) -> Iterator[tuple[str, str]]:
    """Two targets of one kind."""
    if kind == "edge":
        yield place, f"{place}-copy"
        return
    url = request.getfixturevalue(f"{kind}_url")
    scheme = kind if kind in ("opensearch", "qdrant") else "elasticsearch"
    name = f"splade-test-{uuid.uuid4().hex}"
    where = f"{scheme}://{url.removeprefix('http://').rstrip('/')}/{name}"
    yield where, f"{where}-copy"
    if scheme != "qdrant":
        with httpx.Client() as client:
            for end in ("", "-copy"):
                client.delete(f"{url.rstrip('/')}/{name}{end}")


def dense_of(kind: str, n: int) -> dict[str, Any]:
    vectors = {"unnamed": [n + 0.1, 0.3], "named": {"up": [n + 0.1, 0.3]}}
    return {"d": vectors[kind]} if kind in vectors else {}


@pytest.mark.parametrize(
    ("kind", "dense"),
    [
        ("edge", "unnamed"),
        ("edge", "named"),
        ("qdrant", "named"),
        ("elasticsearch", "unnamed"),
        ("opensearch", "named"),
        ("rank_features", "without"),  # has no place for dense vectors
    ],
)
def test_exported_vectors_are_stored_again_as_they_were(
    run: Run, places: tuple[str, str], dense: str
) -> None:
    """A round trip needs no option, encodes nothing, and adds nothing to a payload."""
    given = [{**row, "terms": ["a"], **dense_of(dense, n)} for n, row in enumerate(ROWS)]
    file = jsonl(Path("dense.jsonl"), given)
    options = [] if dense == "without" else ["--dense-field", "d"]
    options += ["--prune-top-k", "12", "--max-length", "64", "--long-text", "passages"]
    done = run("index", file, places[0], *options, "--json")
    assert (done.code, done.json["written"]) == (0, 4), done.err
    assert run("export", places[0], "--vectors", "-o", "copy.jsonl").code == 0
    done = run("index", "copy.jsonl", places[1], "--json")
    assert (done.code, done.json["written"], done.json["tokens"]) == (0, 4, 0), done.err
    before, after = (stored_in(place) for place in places)
    assert after == before
    assert 5 < len(before["1"].vector or ()) <= 12
    assert len(before["1"].dense) == (dense != "without")
    assert before["1"].payload.keys() == {"title", "text", "lang", "terms"}
    query = ["--json", "vaccines and bread"]
    assert run("search", places[1], *query).json == run("search", places[0], *query).json
    assert run("verify", places[1]).code == 0


def stored_in(place: str) -> dict[str, StoredDocument]:
    with connect(place) as store:
        return {str(document.id): document for document in store.export(with_vectors=True)}


def test_a_document_without_vector_is_encoded_by_index(run: Run, place: str) -> None:
    """An attached index may have documents that were never encoded."""
    run("index", jsonl(Path("corpus.jsonl"), ROWS), place)
    rows = run("export", place, "--vectors", "--json").json
    never = [{**row, "terms": None} if row["id"] == "1" else row for row in rows]
    for file in (never, sorted(never, key=lambda row: row["id"] != "1")):
        done = run("index", jsonl(Path("copy.jsonl"), file), f"{place}-copy", "--json")
        assert (done.json["written"], done.json["encoded"]) == (4, 1)
        assert stored_in(f"{place}-copy") == stored_in(place)


def test_vectors_of_an_unknown_model_are_exported_with_a_warning(run: Run, place: str) -> None:
    run("index", jsonl(Path("corpus.jsonl"), ROWS), place)
    (Path(place.removeprefix("edge:")) / "splade_connectors.json").unlink()
    done = run("export", place, "--vectors", "--json")
    assert done.err.count("has no manifest that says which model made its vectors") == 1
    assert all("made_by" not in row and row["terms"] for row in done.json)


class StandIn:
    """In place of a model of sentence-transformers: counts the batches that it is given."""

    def __init__(self) -> None:
        self.batches: list[int] = []

    def encode(self, texts: list[str], batch_size: int, show_progress_bar: bool) -> Any:
        assert not show_progress_bar
        self.batches.append(len(texts))
        return np.array([[len(text), text.count(" ") + 1] for text in texts], np.float32)


@pytest.mark.parametrize("nothing", ["", "id,text\n"])
def test_an_empty_file_among_several_deletes_nothing(run: Run, place: str, nothing: str) -> None:
    """An export that failed leaves such a file, and its share may be smaller than a fifth."""
    rows = [{"id": n, "text": f"number {n}"} for n in range(20)]
    jsonl(Path("a.jsonl"), rows)
    Path("b.csv").write_text("id,text\nb1,one\nb2,two\n", encoding="utf-8")
    nightly = ["index", "a.jsonl", "b.csv", place, "--skip-unchanged", "--delete-missing"]
    assert run(*nightly, "--json").json["written"] == 22
    Path("b.csv").write_text(nothing, encoding="utf-8")
    done = run(*nightly, "--json")
    assert (done.code, done.json["missing"], done.json["deleted"]) == (2, 2, 0)
    warning, error = done.err.splitlines()
    assert warning == "warning: skipped, because there are no rows: 'b.csv'"
    assert "there are no rows in 'b.csv', so it is unknown which documents are missing" in error
    assert "none of the 2 candidates were deleted" in error
    done = run(*nightly, "--json", "--most-deleted", "1")
    assert (done.code, done.json["deleted"]) == (0, 2)
    # With nothing to delete, the file is only named.
    done = run(*nightly)
    assert (done.code, done.err) == (0, f"{warning}\n")


def test_dense_vectors_are_made_while_indexing(
    run: Run, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = StandIn()
    monkeypatch.setattr("splade_connectors.encoders.dense.load_model", lambda folder: model)
    Path("model").mkdir()
    Path("model/modules.json").write_text("[]", encoding="utf-8")
    dense = ["--dense-model", "model", "--json"]
    assert nightly(run, ROWS, place, *dense).json["written"] == 4
    # The size of the vectors and their place are found out with one text each.
    assert model.batches == [1, 1, 4]
    model.batches.clear()
    assert nightly(run, ROWS, place, *dense).json["unchanged"] == 4
    assert model.batches == []
    (vectors,) = {len(row["dense"]) for row in run("export", place, "--vectors", "--json").json}
    assert vectors == 2
    sentence = refusal(nightly(run, ROWS, place))
    assert "4 of the next 4 documents were stored with the vector of a dense model" in sentence
    assert "--dense-model" in sentence
    hits = run("search", place, "bread", "--dense-model", "model", "--json")
    assert (hits.code, len(hits.json)) == (0, 4)
    assert nightly(run, ROWS, place, "--drop-dense", "--json").json["written"] == 4
    assert not any("dense" in row for row in run("export", place, "--vectors", "--json").json)
    run("index", "corpus.jsonl", f"{place}-bare")
    done = run("index", "corpus.jsonl", f"{place}-bare", "--dense-model", "model")
    assert (done.code, "cannot store the vectors of the dense model" in done.err) == (2, True)
