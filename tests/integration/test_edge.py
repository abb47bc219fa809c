"""`edge:`, the embedded engine: what only it can get wrong, on real shards in real processes."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import qdrant_edge

from splade_connectors import Document, SparseVector, Store, WriteOptions, aconnect, connect
from splade_connectors.errors import (
    ConfigurationError,
    InvalidDocument,
    InvalidVector,
    ManifestMismatch,
    NotFound,
    SchemaConflict,
    StorageFull,
    StoreLocked,
    WouldReplace,
)
from splade_connectors.options import ConnectOptions
from splade_connectors.testing import HashEncoder, assert_same_ranking, exact_scores

ENGLISH = {"must": [{"key": "lang", "match": {"value": "en"}}]}
TEXTS = [
    f"document number {number} about water and {'salt' * (number % 3)}" for number in range(30)
]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "shard"


def opened(path: Path, **options: Any) -> Store:
    return connect(f"edge:{path}", encoder=HashEncoder(), **options)


def documents(**more: Any) -> list[Document]:
    return [Document(id=f"d{number}", text=text, **more) for number, text in enumerate(TEXTS)]


def contents(folder: Path) -> dict[str, bytes]:
    files = (entry for entry in folder.rglob("*") if entry.is_file())
    return {str(entry.relative_to(folder)): entry.read_bytes() for entry in files}


def engine_shard(path: Path, vectors: Any, sparse: Any) -> Any:
    """A shard that somebody else has made."""
    path.mkdir()
    config = qdrant_edge.EdgeConfig(vectors=vectors, sparse_vectors=sparse)
    return qdrant_edge.EdgeShard.create(str(path), config)


def vector_names(path: Path) -> tuple[set[str], set[str]]:
    """Dense and sparse ones in the shard's own configuration."""
    config = json.loads((path / "edge_config.json").read_text())
    return set(config["vectors"]), set(config["sparse_vectors"])


def dense_params(size: int = 4) -> Any:
    return qdrant_edge.EdgeVectorParams(size=size, distance=qdrant_edge.Distance.Dot)


class Child:
    """A process that runs a script; its lines are read one at a time."""

    def __init__(self, script: str, *arguments: object) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-u", "-c", script, *map(str, arguments)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def line(self) -> str:
        assert self._process.stdout
        return self._process.stdout.readline().strip()

    def kill(self) -> None:
        self._process.kill()
        self._process.communicate()

    def finish(self) -> int:
        self._process.communicate("\n", timeout=60)
        return self._process.returncode


HOLD = """
import sys
from splade_connectors import connect, Document
from splade_connectors.testing import HashEncoder
with connect(f"edge:{sys.argv[1]}", encoder=HashEncoder()) as store:
    store.index([Document(id="theirs", text="water")])
    print("open")
    sys.stdin.readline()
"""


def test_a_shard_that_another_process_has_open_is_named(path: Path) -> None:
    child = Child(HOLD, path)
    try:
        assert child.line() == "open"
        with opened(path) as store:
            for verb in (
                lambda: store.index(documents()),
                lambda: store.search("water"),
                lambda: store.inspect(),
            ):
                with pytest.raises(StoreLocked) as caught:
                    verb()
                assert f"edge:{path} is open in another process, or in another store" in str(
                    caught.value
                )
                assert "run a Qdrant server to share it" in str(caught.value)
            assert child.finish() == 0
            # The other one has gone: the same store works, and finds what was written.
            assert [hit.id for hit in store.search("water")] == ["theirs"]
    finally:
        child.kill()


def test_closing_lets_another_process_in(path: Path) -> None:
    with opened(path) as store:
        store.index(documents())
    child = Child(HOLD, path)
    assert child.line() == "open"
    assert child.finish() == 0
    with opened(path) as store:
        assert store.count() == len(TEXTS) + 1


@pytest.mark.parametrize(
    "files",
    [
        {"notes.txt": "mine"},
        {"wal/open-1": "somebody's"},
        {".hidden": ""},
        {"splade_connectors.json": "{}"},
    ],
)
def test_a_folder_that_is_no_shard_is_refused_and_untouched(
    path: Path, files: dict[str, str]
) -> None:
    for name, text in files.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_text(text)
    before = contents(path)
    with opened(path) as store:
        refusal = r"exists but is not a Qdrant shard \(it has no edge_config.json\)"
        with pytest.raises(SchemaConflict, match=refusal):
            store.index(documents())
        with pytest.raises(SchemaConflict, match=refusal):
            store.search("water")
    assert contents(path) == before


def test_a_payload_too_deep_for_the_engines_log_is_rejected_and_the_store_opens_again(
    path: Path,
) -> None:
    deep: Any = 1
    for _ in range(150):
        deep = {"d": deep}
    with opened(path) as store:
        report = store.index([*documents(), Document(id="deep", text="x", payload={"p": deep})])
        assert (report.written, report.rejected_count) == (len(TEXTS), 1)
        assert "100 levels deep" in report.rejected[0].reason
    with opened(path) as store:
        assert store.count() == len(TEXTS)


def test_a_closed_store_stays_closed(path: Path) -> None:
    with opened(path) as store:
        store.index(documents())
    with pytest.raises(ConfigurationError, match="has been closed; connect again"):
        store.search("water")
    with opened(path) as other:
        assert other.count() == len(TEXTS)


def test_the_same_sentence_for_every_verb_without_a_store(path: Path) -> None:
    with opened(path) as store:
        for verb in (lambda: store.get(["a"]), lambda: store.update("a", text="b"), store.count):
            with pytest.raises(NotFound, match="does not exist; `splade-connectors index`"):
                verb()


def test_a_manifest_file_that_is_not_there_hides_no_manifest(path: Path, tmp_path: Path) -> None:
    with opened(path) as store:
        store.index(documents())
    options = ConnectOptions(manifest_file=str(tmp_path / "none.json"))
    target = f"edge:{path}"
    with (
        connect(target, encoder=HashEncoder(model="other"), options=options) as store,
        pytest.raises(ManifestMismatch, match=r"'hash'.*'other'"),
    ):
        store.search("water")


def test_an_empty_dense_vector_rejects_no_other_document(path: Path) -> None:
    with pytest.raises(InvalidDocument, match="is empty"):
        Document(id="x", text="x", dense=[])
    with opened(path) as store:
        rows = [Document(id=1, text="a", dense=[1.0, 2.0]), Document(id=2, text="b", dense=[1.0])]
        report = store.index(rows)
        assert report.written == 1
        assert "1 dimension, but the collection's has 2" in report.rejected[0].reason


def test_a_file_in_the_way_is_refused_and_untouched(path: Path) -> None:
    path.write_text("mine")
    with opened(path) as store, pytest.raises(SchemaConflict, match="is not a Qdrant shard"):
        store.index(documents())
    assert path.read_text() == "mine"


def test_a_file_in_place_of_a_parent_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    with (
        opened(tmp_path / "file" / "shard") as store,
        pytest.raises(ConfigurationError, match=r"cannot be read or written: .*Not a directory"),
    ):
        store.index(documents())


def test_an_empty_folder_becomes_a_shard(path: Path) -> None:
    path.mkdir()
    with opened(path) as store:
        assert store.index(documents()).written == len(TEXTS)


def test_parents_are_made(tmp_path: Path) -> None:
    with opened(tmp_path / "a" / "b" / "shard") as store:
        assert store.index(documents()).written == len(TEXTS)


def test_searching_where_nothing_is_makes_no_folder(path: Path) -> None:
    with opened(path) as store:
        for verb in (lambda: store.search("x"), store.count, lambda: store.delete(["x"])):
            with pytest.raises(NotFound, match="does not exist"):
                verb()
        assert not store.inspect().capabilities.exists
    assert not path.exists()


def test_the_name_of_a_dense_vector_is_refused(path: Path) -> None:
    engine_shard(
        path, {"splade": dense_params()}, {"other": qdrant_edge.EdgeSparseVectorParams()}
    ).close()
    before = vector_names(path)
    with opened(path) as store:
        for verb in (lambda: store.index(documents()), lambda: store.search("water")):
            with pytest.raises(SchemaConflict) as caught:
                verb()
            assert "has a dense vector named 'splade'; choose another name" in str(caught.value)
            assert "?vector=NAME (its sparse vectors: other)" in str(caught.value)
    assert vector_names(path) == before == ({"splade"}, {"other"})


def test_a_sparse_vector_with_the_idf_modifier_is_refused(path: Path) -> None:
    idf = qdrant_edge.EdgeSparseVectorParams(modifier=qdrant_edge.Modifier.Idf)
    engine_shard(path, None, {"splade": idf}).close()
    with opened(path) as store:
        for verb in (lambda: store.index(documents()), lambda: store.search("water")):
            with pytest.raises(SchemaConflict) as caught:
                verb()
            assert "has the modifier 'idf'" in str(caught.value)
            assert "inverse document frequencies" in str(caught.value)
            assert "?vector=NAME" in str(caught.value)
    with opened(path, vector="mine") as store:
        assert store.index(documents()).written == len(TEXTS)


def filled_by_somebody(path: Path, vectors: Any) -> tuple[dict[int, Any], dict[int, Any]]:
    """A shard with 20 points of dense vectors and payload; what it holds."""
    shard = engine_shard(path, vectors, None)
    rng = np.random.default_rng(7)
    values = {id: [float(value) for value in rng.normal(size=4)] for id in range(20)}
    payloads = {id: {"n": id, "nested": {"list": [id, None, "é"]}} for id in values}
    name = next(iter(vectors))
    points = [
        qdrant_edge.Point(id, {name: values[id]} if name else values[id], payloads[id])
        for id in values
    ]
    shard.update(qdrant_edge.UpdateOperation.upsert_points(points))
    shard.close()
    return read_points(path, list(values))


def read_points(path: Path, ids: list[int]) -> tuple[dict[int, Any], dict[int, Any]]:
    shard = qdrant_edge.EdgeShard.load(str(path))
    records = {record.id: record for record in shard.retrieve(ids, True, True)}
    shard.close()
    vectors = {id: record.vector for id, record in records.items()}
    return {id: record.payload for id, record in records.items()}, vectors


@pytest.mark.parametrize("name", ["", "text"])
def test_a_shard_of_somebody_gets_the_vector_and_keeps_its_points_exactly(
    path: Path, name: str
) -> None:
    payloads, vectors = filled_by_somebody(path, {name: dense_params()})
    ids = list(payloads)
    assert len(ids) == 20
    with opened(path) as store:
        with pytest.raises(NotFound, match="has no sparse vectors under this name; it has none"):
            store.search("water")
        report = store.index(documents())
        assert report.written == len(TEXTS)
        assert store.count() == len(TEXTS)
        inspection = store.inspect()
        assert inspection.documents == len(TEXTS) + 20
        assert inspection.capabilities.details["sparse_fields"] == ["splade"]
        assert inspection.capabilities.details["dense_fields"] == {name: 4}
        assert {hit.id for hit in store.search("water", limit=100)} == {
            doc.id for doc in documents()
        }
    assert read_points(path, ids) == (payloads, vectors)


def test_two_sparse_vectors_live_side_by_side(path: Path) -> None:
    with opened(path) as store:
        store.index(documents())
    with opened(path, vector="second") as store:
        store.index([Document(id="other", text="salt")])
        assert [hit.id for hit in store.search("salt")] == ["other"]
        assert store.inspect().capabilities.details["sparse_fields"] == ["second", "splade"]
    with opened(path) as store:
        assert store.count() == len(TEXTS)
    kept = json.loads((path / "splade_connectors.json").read_text())
    assert set(kept["splade_connectors"]) == {"splade", "second"}


def test_the_manifest_lies_beside_the_shard(path: Path) -> None:
    with opened(path) as store:
        store.index(documents())
        manifest = store.inspect().manifest
    assert manifest
    kept = json.loads((path / "splade_connectors.json").read_text(encoding="utf-8"))
    assert kept == {
        "splade_connectors": {"splade": manifest.to_json()},
        "splade_connectors_state": {"/collection": {"created": True}},
    }
    assert not [entry.name for entry in path.iterdir() if entry.name.startswith(".")]


def test_the_manifest_may_lie_elsewhere(path: Path, tmp_path: Path) -> None:
    file = tmp_path / "manifest.json"
    options = ConnectOptions(manifest_file=str(file))
    with opened(path, options=options) as store:
        store.index(documents())
        assert store.search("water").plan.warnings == ()
    assert not (path / "splade_connectors.json").exists()
    assert json.loads(file.read_text())["splade"]["model"] == "hash"


def test_a_shard_without_manifest_is_not_added_to_and_searched_with_a_warning(path: Path) -> None:
    with opened(path) as store:
        store.index(documents())
    (path / "splade_connectors.json").unlink()
    with opened(path) as store:
        hits = store.search("water")
        assert len(hits) == 10
        assert any("no manifest" in warning for warning in hits.plan.warnings)
        with pytest.raises(
            ManifestMismatch, match=r"30 sparse vectors but no manifest .*--override"
        ):
            store.index([Document(id="another", text="water")])
    with opened(path, override_manifest=True) as store:
        # Nothing says any more that the documents are ours.
        with pytest.raises(WouldReplace, match="was not created by this package"):
            store.index(documents())
        replacing = WriteOptions(replace=True)
        assert store.index(documents(), options=replacing).written == len(TEXTS)


@pytest.mark.parametrize("text", ["{", "[]", '{"splade_connectors": {"splade": {"model": 1}}}'])
def test_a_damaged_manifest_is_named(path: Path, text: str) -> None:
    with opened(path) as store:
        store.index(documents())
    (path / "splade_connectors.json").write_text(text)
    with (
        opened(path) as store,
        pytest.raises((ConfigurationError, ManifestMismatch), match=r"JSON|unreadable manifest"),
    ):
        store.search("water")


INDEX = """
import sys, time
from splade_connectors import connect, Document, WriteOptions
from splade_connectors.testing import HashEncoder
def rows():
    for number in range(2000):
        yield Document(id=f"d{number}", text=f"water and word{number} " * 20, payload={"n": number})
with connect(f"edge:{sys.argv[1]}", encoder=HashEncoder()) as store:
    print("begin")
    options = WriteOptions(portion_documents=100, chunk_documents=50)
    report = store.index(rows(), options=options, on_progress=lambda step: print(step.done))
    print("written", report.written)
"""


def complete(path: Path) -> None:
    """The same command again, and everything is there."""
    child = Child(INDEX, path)
    lines = iter(child.line, "")
    assert list(lines)[-1] == "written 2000"
    assert child.finish() == 0
    with opened(path) as store:
        assert store.count() == 2000
        assert store.get(["d1999"])[0].payload["n"] == 1999
        assert "d777" in {hit.id for hit in store.search("word777", limit=5)}
    assert not [entry.name for entry in path.iterdir() if entry.name.startswith(".splade")]


@pytest.mark.parametrize("moment", ["100", "500", "1900"])
def test_a_process_killed_while_it_indexes_loses_nothing_acknowledged(
    path: Path, moment: str
) -> None:
    child = Child(INDEX, path)
    while (line := child.line()) != moment:
        assert line
    child.kill()
    with opened(path) as store:
        # Told of in windows of 100 before they are written, and up to 4 chunks of 50 are in flight.
        acknowledged = max(0, int(moment) - 300)
        assert store.count() >= acknowledged
        assert len(store.known([f"d{number}" for number in range(acknowledged)])) == acknowledged
    complete(path)


@pytest.mark.parametrize("delay_ms", [0, 3, 6, 12, 24])
def test_a_process_killed_while_it_makes_the_shard_is_no_obstacle(
    path: Path, delay_ms: int
) -> None:
    child = Child(INDEX, path)
    assert child.line() == "begin"
    time.sleep(delay_ms / 1000)
    child.kill()
    complete(path)


@pytest.mark.parametrize("left", [[], ["wal"], ["wal", "segments/x", ".atomicwriteABC"]])
def test_what_a_killed_creation_leaves_is_made_anew(path: Path, left: list[str]) -> None:
    path.mkdir()
    (path / ".splade_connectors.unfinished").touch()
    for name in left:
        if name.startswith("."):
            (path / name).write_text("{")
        else:
            (path / name).mkdir(parents=True)
    with opened(path) as store:
        assert not store.inspect().capabilities.exists
        assert store.index(documents()).written == len(TEXTS)
    with opened(path) as store:
        assert store.count() == len(TEXTS)
    assert not (path / ".splade_connectors.unfinished").exists()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 200 MB."""
    if os.name != "posix" or os.geteuid() != 0 or not shutil.which("mount"):
        pytest.skip("mounting a small file system needs root")
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=200m", "tmpfs", str(folder)]
    if subprocess.run(mount, capture_output=True, check=False).returncode != 0:
        pytest.skip("mounting is not allowed here, not even for root")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_full_disk_is_named_and_what_was_acknowledged_is_kept(small_disk: Path) -> None:
    path, filler = small_disk / "shard", small_disk / "filler"
    with opened(path) as store:
        store.index(documents())
        filler.write_bytes(b"\0" * (100 * 2**20))
        options = WriteOptions(portion_documents=200, chunk_documents=100)
        large = (
            Document(id=number, text=" ".join(f"w{number}x{at}" for at in range(400)))
            for number in range(100_000)
        )
        with pytest.raises(StorageFull) as caught:
            store.index(large, options=options)
        assert f"the disk of edge:{path} is full" in str(caught.value)
        assert "Acknowledged documents are safe; free some space and run the same command" in str(
            caught.value
        )
        (note,) = caught.value.__notes__
        written = int(note.partition(" ")[0].replace(",", ""))
        assert written >= 100
        assert note.endswith("to complete the index without duplicates")
        assert store.count() == len(TEXTS) + written
        with pytest.raises(StorageFull):
            store.update("d1", payload={"n": 1})
        assert {hit.id for hit in store.search("water", limit=1000)} >= {"d0", "d29"}
    filler.unlink()
    with opened(path) as store:
        assert store.count() == len(TEXTS) + written
        assert store.get(["d3"])[0].payload["text"] == TEXTS[3]
        assert store.get([written - 1])[0].id == written - 1
        store.index([Document(id="more", text="water")])
        assert {hit.id for hit in store.search("water", limit=1000)} >= {"d0", "d29", "more"}


def test_a_disk_without_room_gets_no_shard(small_disk: Path) -> None:
    (small_disk / "filler").write_bytes(b"\0" * (180 * 2**20))
    with opened(small_disk / "shard") as store:
        with pytest.raises(StorageFull, match="MB are free, but the embedded engine needs 64 MB"):
            store.index(documents())
        assert not store.inspect().capabilities.exists
        (small_disk / "filler").unlink()
        assert store.index(documents()).written == len(TEXTS)


@pytest.mark.parametrize(
    ("indices", "values"),
    [([1], [np.nan]), ([1], [np.inf]), ([1], [-1.0]), ([1], [0.0]), ([1, 1], [1.0, 2.0])],
)
def test_a_vector_that_the_engine_would_take_in_silence_never_reaches_it(
    path: Path, indices: list[int], values: list[float]
) -> None:
    def rows() -> Iterator[Document]:
        yield Document(id="fine", text="water")
        yield Document(id="bad", vector=SparseVector(np.array(indices), np.array(values)))

    with opened(path) as store:
        with pytest.raises(InvalidVector, match=r"is invalid|strictly ascending and unique"):
            store.index(rows())
        with pytest.raises(InvalidVector):
            store.search(SparseVector(np.array(indices), np.array(values)))
        with pytest.raises(NotFound):
            store.count()


def test_weights_that_others_wrote_do_not_break_reading(path: Path) -> None:
    with opened(path) as store:
        store.index(documents())
    shard = qdrant_edge.EdgeShard.load(str(path))
    vector = {"splade": qdrant_edge.SparseVector([5, 9], [-1.0, 0.5])}
    point = qdrant_edge.Point(77, vector, {})
    shard.update(qdrant_edge.UpdateOperation.upsert_points([point]))
    shard.close()
    with opened(path) as store:
        (document,) = store.get([77], with_vectors=True)
        assert document.vector == SparseVector.from_pairs({9: 0.5})[0]


def test_scores_are_exact_for_real_vectors_at_the_edges(path: Path) -> None:
    rng = np.random.default_rng(3)
    vectors = [
        SparseVector.from_pairs(
            {
                int(index): float(weight)
                for index, weight in zip(
                    rng.choice(2**32, 40, replace=False), rng.gamma(1, 2, 40) + 1e-6, strict=True
                )
            }
            | {0: 1.5, 2**32 - 1: float(weight)}
        )[0]
        for weight in rng.gamma(2, 1, 200) + 1e-6
    ]
    with opened(path) as store:
        store.index(Document(id=n, vector=vector) for n, vector in enumerate(vectors))
        for query in vectors[:20]:
            from splade_connectors import SparseBatch

            exact = exact_scores(query, SparseBatch.from_vectors(vectors))
            hits = [(hit.id, hit.score) for hit in store.search(query, limit=150)]
            assert_same_ranking(hits, dict(enumerate(exact.tolist())), limit=150)
        assert store.get([7], with_vectors=True)[0].vector == vectors[7]


def test_dense_vectors_are_stored_beside_the_sparse_one(path: Path) -> None:
    dense = {"title": [0.6, 0.8], "body": [0.0, 1.0, 0.0]}
    with opened(path) as store:
        store.index(documents(dense=dense))
        bad = store.index(
            [
                Document(id="size", text="x", dense={"title": [1.0]}),
                Document(id="name", text="x", dense={"other": [1.0]}),
                Document(id="none", text="x", dense=[1.0, 2.0]),
                Document(id="fine", text="x"),
            ]
        )
        assert bad.written == 1
        reasons = {item.id: item.reason for item in bad.rejected}
        assert reasons == {
            "size": "the dense vector 'title' has 1 dimension, but the collection's has 2",
            "name": "the collection has no dense vector 'other'; it has 'body', 'title'",
            "none": "the collection has no dense vector without a name; it has 'body', 'title'",
        }
        before = store.inspect().capabilities.details["dense_fields"]
        store.update("d1", text="changed", payload={"n": 1})
    assert before == {"title": 2, "body": 3}
    shard = qdrant_edge.EdgeShard.load(str(path))
    from splade_qdrant.documents import point_id

    (record,) = shard.retrieve([point_id("d1")], True, True)
    shard.close()
    assert record.vector["title"] == pytest.approx(dense["title"])
    assert record.vector["body"] == pytest.approx(dense["body"])
    assert record.payload["text"] == "changed"


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        ({"n": float("inf")}, "the payload's field 'n' is infinite"),
        ({"n": object()}, "the payload's field 'n' has type object"),
        ({"n": "\ud800"}, "the payload's field 'n' is not valid Unicode"),
        (
            {"n": [{"m": 2**2000}]},
            "the payload's field 'n.m' is an integer with more than 1024 bits",
        ),
        ({"_splade_id": 1}, "the payload key '_splade_id' is reserved by splade-connectors"),
    ],
)
def test_payload_that_would_be_changed_or_lost_is_reported(
    path: Path, payload: dict[str, Any], reason: str
) -> None:
    with opened(path) as store:
        report = store.index([Document(id=1, text="x", payload=payload), Document(id=2, text="y")])
        assert report.written == 1
        assert reason in report.rejected[0].reason


@pytest.mark.parametrize(
    "id", [2**64 - 1, 2**64, 2**200, -1, -(2**63), -(2**63) - 1, "5", "é" * 900]
)
def test_any_id_comes_back_as_it_was(path: Path, id: Any) -> None:
    with opened(path) as store:
        store.index([Document(id=id, text="water"), Document(id=5, text="salt")])
        (hit,) = store.search("water")
        assert hit.id == id
        assert type(hit.id) is type(id)
        assert hit.payload == {"text": "water"}
        assert store.get([id])[0].id == id
        assert store.search("water", with_payload=False)[0].id == id


async def test_the_awaiting_store_does_the_same(path: Path) -> None:
    store = await aconnect(f"edge:{path}", encoder=HashEncoder())
    async with store:
        with pytest.raises(NotFound):
            await store.search("water")
        report = await store.index(documents(payload={"lang": "en"}))
        assert report.written == len(TEXTS) == await store.count()
        hits = await store.search("water salt", limit=5, filter=ENGLISH)
        await store.update("d1", text="cats")
        assert [hit.id for hit in await store.search("cats")] == ["d1"]
        unchanged = next(hit.id for hit in hits if hit.id != "d1")  # equal scores: any order
        explanation = await store.explain("water", unchanged)
        assert explanation.terms
        await store.delete(["d1"])
        assert await store.known(["d0", "d1"]) == ["d0"]
        assert (await store.get(["d0"]))[0].payload["lang"] == "en"
        assert (await store.plan("water")).path == "sparse query"
        assert (await store.inspect()).capabilities.backend == "qdrant-edge"
    with opened(path) as blocking:
        assert blocking.count() == len(TEXTS) - 1


SPELLINGS = [
    "5d41402abc4b2a76b9719d911017c592",
    "5D41402ABC4B2A76B9719D911017C592",
    "5D41402A-BC4B-2A76-B971-9D911017C592",
    "{5d41402a-bc4b-2a76-b971-9d911017c592}",
    "urn:uuid:5d41402a-bc4b-2a76-b971-9d911017c592",
]


@pytest.mark.parametrize("id", SPELLINGS)
def test_a_point_of_its_owner_is_found_by_any_spelling(path: Path, id: str) -> None:
    spelled = "5d41402a-bc4b-2a76-b971-9d911017c592"  # as the engine gives it back
    shard = engine_shard(path, None, {"splade": qdrant_edge.EdgeSparseVectorParams()})
    point = qdrant_edge.Point(id, {}, {"text": "mine"})
    shard.update(qdrant_edge.UpdateOperation.upsert_points([point]))
    shard.close()
    with opened(path, override_manifest=True) as store:
        assert [found.id for found in store.get([id])] == [spelled]
        assert store.known([id, "other"]) == [id]
        report = store.index(
            [Document(id=id, text="water"), Document(id=spelled, text="salt")],
            options=WriteOptions(override_manifest=True, replace=True),
        )
        assert [item.id for item in report.rejected] == [spelled]
        assert "was already used by an earlier document of this run" in report.rejected[0].reason
        assert store.count() == 1
        (hit,) = store.search("water")
        assert (hit.id, hit.payload) == (id, {"text": "water"})
        store.delete([spelled])
        assert store.count() == 0


async def test_many_awaited_searches_at_once_are_right(path: Path) -> None:
    import asyncio

    async with await aconnect(f"edge:{path}", encoder=HashEncoder()) as store:
        await store.index(documents())
        queries = [f"number {number}" for number in range(len(TEXTS))]
        found = await asyncio.gather(*(store.search(query, limit=1) for query in queries))
        assert [hits[0].id for hits in found] == [f"d{number}" for number in range(len(TEXTS))]


def test_a_client_object_is_no_embedded_store(path: Path) -> None:
    shard = engine_shard(path, None, {"splade": qdrant_edge.EdgeSparseVectorParams()})
    with pytest.raises(
        ConfigurationError, match=r"cannot connect with a .*EdgeShard: pass a target"
    ):
        connect(shard, "x")
    shard.close()


def test_a_payload_is_updated_without_an_encoder_of_documents(tmp_path: Path) -> None:
    """As an application backend has it: queries only."""
    target = f"edge:{tmp_path / 'shard'}"
    with connect(target) as store:
        store.index([Document(id="a", text="salt water")])
        before = store.get(["a"], with_vectors=True)[0].vector
    with connect(target, encoder=QueriesOnly()) as backend:
        backend.update("a", payload={"colour": "red"})
        found = backend.get(["a"], with_vectors=True)[0]
        assert (found.payload["colour"], found.vector) == ("red", before)
        with pytest.raises(ConfigurationError, match="queries only"):
            backend.update("a", text="bread")


class QueriesOnly(HashEncoder):
    """Refuses documents, as `load_encoder(…, queries_only=True)` does."""

    def check_documents(self) -> None:
        raise ConfigurationError("this encoder is for queries only")
