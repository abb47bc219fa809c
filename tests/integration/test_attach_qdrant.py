"""Attaching to a collection that its owner made: embedded, in local mode, over REST and gRPC."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import qdrant_edge as engine
from qdrant_client import QdrantClient, models

from splade_connectors import AttachOptions, EncodeStats, Store, WriteOptions, aconnect, connect
from splade_connectors.errors import AttachRefused, ConfigurationError, NotFound, SchemaConflict
from splade_connectors.options import OnProgress, PruneOptions
from splade_connectors.testing import HashEncoder, assert_same_ranking, exact_scores
from splade_connectors.vectors import SparseBatch
from tests.fronts import Front, QdrantGrpcFront, QdrantRestFront

FIELDS = ("title", "author.bio", "parts.text")
WORDS = ("water", "salt", "flour", "time", "mountain", "apple", "cat", "moon", "bread", "tide")
COUNT = 120
NO_TEXT = 9_000


def payload(number: int) -> dict[str, Any]:
    word, other = WORDS[number % 10], WORDS[number // 10 % 10]
    return {
        "title": f"{word} and {other} {number}",
        "author": {"name": "Ada", "bio": [f"likes {word}", "and the sea"]},
        "parts": [{"text": f"part {other}"}, {"text": "the end"}],
        "price": number / 7,
        "nothing": None,
    }


def text(number: int) -> str:
    found = payload(number)
    return " ".join([found["title"], *found["author"]["bio"], *(p["text"] for p in found["parts"])])


def point_of(number: int) -> int | str:
    return number if number % 2 else str(uuid.UUID(int=number + 1))


Points = dict[str, tuple[Mapping[str, Any], Any]]


@dataclass
class Place:
    """A collection, as its owner sees it."""

    connect: Callable[..., Store]
    points: Callable[[], Points]
    change: Callable[[int | str, dict[str, Any]], None]
    delete: Callable[[int | str], None]
    remove_vectors: Callable[[list[int | str]], None]
    target: str = ""


def _dense(number: int) -> list[float]:
    return [1.0, 0.5 * number, -0.25, 2.0]


@pytest.fixture
def edge(tmp_path: Path) -> Place:
    path = tmp_path / "shard"
    path.mkdir()
    config = engine.EdgeConfig(
        vectors={"dense": engine.EdgeVectorParams(size=4, distance=engine.Distance.Dot)},
        sparse_vectors=None,
    )
    shard = engine.EdgeShard.create(str(path), config)
    points = [
        engine.Point(point_of(number), {"dense": _dense(number)}, payload(number))
        for number in range(COUNT)
    ]
    points.append(engine.Point(NO_TEXT, {"dense": _dense(1)}, {"year": 2024}))
    shard.update(engine.UpdateOperation.upsert_points(points))
    shard.close()
    open_stores: list[Store] = []

    def opened(encoder: HashEncoder | None = None, **more: Any) -> Store:
        open_stores.append(connect(f"edge:{path}", encoder=encoder or HashEncoder(), **more))
        return open_stores[-1]

    def shard_of() -> Any:
        return open_stores[-1]._opened.send.__self__._open()  # type: ignore[union-attr]

    def whole() -> Points:
        request = engine.ScrollRequest(limit=10_000, with_payload=True, with_vector=["dense"])
        records, _ = shard_of().scroll(request)
        return {str(r.id): (_theirs(r.payload), r.vector["dense"]) for r in records}

    def change(id: int | str, values: dict[str, Any]) -> None:
        shard_of().update(engine.UpdateOperation.set_payload([id], values))

    def delete(id: int | str) -> None:
        shard_of().update(engine.UpdateOperation.delete_points([id]))

    def remove_vectors(ids: list[int | str]) -> None:
        shard_of().update(engine.UpdateOperation.delete_vectors(ids, ["splade"]))

    return Place(opened, whole, change, delete, remove_vectors, f"edge:{path}")


def _theirs(given: Any) -> dict[str, Any]:
    return {key: value for key, value in given.items() if not key.startswith("_splade")}


def _filled(client: QdrantClient, unnamed: bool) -> None:
    params = models.VectorParams(size=4, distance=models.Distance.DOT)
    client.create_collection("articles", params if unnamed else {"dense": params})
    vector = (lambda n: _dense(n)) if unnamed else (lambda n: {"dense": _dense(n)})
    points = [
        models.PointStruct(id=point_of(number), vector=vector(number), payload=payload(number))
        for number in range(COUNT)
    ]
    points.append(models.PointStruct(id=NO_TEXT, vector=vector(1), payload={"year": 2024}))
    client.upsert("articles", points)


def _of_client(client: QdrantClient, opened: Callable[..., Store], target: str = "") -> Place:
    def whole() -> Points:
        records, _ = client.scroll("articles", limit=10_000, with_payload=True, with_vectors=True)
        found = {}
        for record in records:
            vector: Any = record.vector
            dense = vector if isinstance(vector, list) else vector.get("dense", vector.get(""))
            found[str(record.id)] = (_theirs(record.payload), dense)
        return found

    def change(id: int | str, values: dict[str, Any]) -> None:
        client.set_payload("articles", values, [id])

    def delete(id: int | str) -> None:
        client.delete("articles", [id])

    def remove_vectors(ids: list[int | str]) -> None:
        client.delete_vectors("articles", ["splade"], ids)

    return Place(opened, whole, change, delete, remove_vectors, target)


@pytest.fixture
def local() -> Place:
    client = QdrantClient(":memory:")
    _filled(client, unnamed=False)

    def opened(encoder: HashEncoder | None = None, **more: Any) -> Store:
        return connect(client, "articles", encoder=encoder or HashEncoder(), **more)

    return _of_client(client, opened)


@pytest.fixture
def front() -> Iterator[QdrantRestFront]:
    with QdrantRestFront() as found:
        yield found


@pytest.fixture
def rest(front: QdrantRestFront) -> Place:
    return _behind(front, "qdrant")


def _behind(front: Front, scheme: str) -> Place:
    """A collection that is reached over the wire."""
    _filled(front.engine.client, unnamed=True)
    target = f"{scheme}://{front.host}/articles"

    def opened(encoder: HashEncoder | None = None, **more: Any) -> Store:
        return connect(target, encoder=encoder or HashEncoder(), **more)

    return _of_client(front.engine.client, opened, target)


@pytest.fixture
def grpc() -> Iterator[Place]:
    with QdrantGrpcFront() as found:
        yield _behind(found, "qdrant+grpc")


@pytest.fixture(params=["edge", "local", "rest", "grpc"])
def place(request: pytest.FixtureRequest) -> Place:
    found: Place = request.getfixturevalue(request.param)
    return found


def assert_attached(store: Store) -> None:
    encoder = HashEncoder()
    vectors = encoder.encode_documents([text(number) for number in range(COUNT)])
    ids = [str(point_of(number)) for number in range(COUNT)]
    for query in ("water and salt", "the moon", "apple bread"):
        exact = exact_scores(encoder.encode_queries([query])[0], vectors)
        hits = store.search(query, limit=50)
        found = [(str(hit.id), hit.score) for hit in hits]
        assert_same_ranking(found, dict(zip(ids, exact.tolist(), strict=True)), limit=50)
        assert not any(key.startswith("_splade") for hit in hits for key in hit.payload)


@pytest.mark.parametrize("mark", [False, True])
def test_every_point_gets_its_vector_and_nothing_else_changes(place: Place, mark: bool) -> None:
    small = WriteOptions(portion_documents=30, chunk_documents=8)
    options = AttachOptions(mark=mark, write=small)
    with place.connect() as store:
        store.inspect()  # opens the shard
        before = place.points()
        report = store.attach(FIELDS, options=options)
        assert (report.attached, report.empty, report.rejected_count) == (COUNT + 1, 1, 0)
        assert report.verification is not None
        assert report.verification.complete
        assert_attached(store)
        again = store.attach(options=options)
        assert (again.attached, again.encoded) == (0, 0)
        assert place.points() == before
        assert store.verify(everything=True, recheck=True).compared == COUNT + 1


@pytest.mark.parametrize("mark", [False, True])
def test_edited_texts_are_found(place: Place, mark: bool) -> None:
    with place.connect() as store:
        store.attach(FIELDS, options=AttachOptions(mark=mark))
        place.change(1, {"title": "cat", "author": {}, "parts": []})
        looked = store.verify(everything=True)
        assert (looked.different, looked.missing) == ([1], 0)
        # A mark tells without encoding; if there is none, all texts are encoded.
        again = store.attach(options=AttachOptions(recheck=not mark))
        assert (again.attached, again.unchanged) == (1, COUNT)
        assert again.encoded == (1 if mark else COUNT)
        assert store.verify(everything=True, recheck=True).complete


@pytest.mark.parametrize("mark", [False, True])
def test_vectors_that_others_removed_come_back(place: Place, mark: bool) -> None:
    lost: list[int | str] = [1, 3, point_of(4), NO_TEXT]
    with place.connect() as store:
        store.attach(FIELDS, options=AttachOptions(mark=mark))
        place.remove_vectors(lost)
        looked = store.verify(everything=True)
        assert (looked.missing, looked.lost, looked.different_count) == (4, 0, 0)
        again = store.attach()
        assert (again.attached, again.unchanged) == (4, COUNT - 3 if mark else 0)
        assert_attached(store)
        assert store.verify(everything=True, recheck=True).complete
        # By reading all vectors, too.
        place.remove_vectors(lost)
        again = store.attach(options=AttachOptions(recheck=True))
        assert (again.attached, again.unchanged) == (4, COUNT - 3)
        assert store.verify(everything=True, recheck=True).complete


class Meddling(HashEncoder):
    """While it encodes documents, somebody else does something."""

    def __init__(self, meddle: Callable[[], None]) -> None:
        super().__init__()
        self._meddle: Callable[[], None] | None = meddle

    def encode_documents(
        self,
        texts: Sequence[str],
        *,
        stats: EncodeStats | None = None,
        on_progress: OnProgress | None = None,
    ) -> SparseBatch:
        meddle, self._meddle = self._meddle, None
        if meddle:
            meddle()
        return super().encode_documents(texts, stats=stats, on_progress=on_progress)


def test_what_others_write_meanwhile_survives(place: Place) -> None:
    def meddle() -> None:
        place.change(1, {"price": -1, "title": "cat"})
        place.change(3, {"price": -3})
        place.delete(5)

    with place.connect(Meddling(meddle)) as store:
        report = store.attach(FIELDS)
        assert (report.conflicts, report.gone) == (1, 1)
        assert report.attached == COUNT
        assert store.verify(everything=True, recheck=True).complete
        found = place.points()
    assert found["1"][0]["title"] == "cat"
    assert (found["1"][0]["price"], found["3"][0]["price"]) == (-1, -3)
    assert "5" not in found


def test_settings_that_changed_are_refused_and_replaced_on_demand(place: Place) -> None:
    with place.connect() as store:
        store.attach(FIELDS)
        before = place.points()
        whole = store.search("water")
    with place.connect(prune=PruneOptions(top_k=3)) as store:
        with pytest.raises(AttachRefused, match=r"prune_top_k.*--replace-model"):
            store.attach()
        assert store.attach(options=AttachOptions(replace_model=True)).switched is True
        assert store.search("water") != whole
        former = store.detach(former=True)
        assert (former.vector, former.cleared) == ("splade", COUNT + 1)
        assert store.verify(everything=True, recheck=True).complete
        assert place.points() == before
        assert store.detach().cleared == COUNT + 1
        found = store.inspect()
        assert (found.capabilities.has_field, found.manifest) == (False, None)
        assert place.points() == before


def test_a_dry_run_says_everything_and_writes_nothing(place: Place) -> None:
    with place.connect() as store:
        plan = store.plan_attach(FIELDS)
        assert (plan.documents, plan.to_do, plan.refusals) == (COUNT + 1, COUNT + 1, ())
        assert set(FIELDS) <= set(plan.present)
        assert any("'splade'" in change for change in plan.changes)
        assert not store.inspect().capabilities.has_field
        (refusal,) = store.plan_attach(["title", "body"]).refusals
        assert "no document has text in 'body'" in refusal
        assert "title" in refusal


def test_a_dense_vector_of_that_name_is_refused(edge: Place) -> None:
    with (
        connect(f"{edge.target}?vector=dense", encoder=HashEncoder()) as store,
        pytest.raises(SchemaConflict, match="dense vector named 'dense'"),
    ):
        store.attach(FIELDS)


@pytest.mark.parametrize("kind", ["rest", "grpc"])
def test_an_unknown_collection_gets_near_names(kind: str, request: pytest.FixtureRequest) -> None:
    place: Place = request.getfixturevalue(kind)
    target = place.target.replace("articles", "article")
    with (
        connect(target, encoder=HashEncoder()) as store,
        pytest.raises(NotFound, match="did you mean 'articles'"),
    ):
        store.attach(FIELDS)


def test_limits_of_strict_mode_are_obeyed(front: QdrantRestFront, rest: Place) -> None:
    limits = {
        "enabled": True,
        "upsert_max_batchsize": 7,
        "max_query_limit": 11,
        "sparse_config": {"splade": {"max_length": 24}},
    }
    front.engine.strict_mode = models.StrictModeConfigOutput.model_validate(limits)
    rest.change(1, {"title": " ".join(f"word{number}" for number in range(40))})
    with rest.connect() as store:
        report = store.attach(FIELDS)
    assert report.attached == COUNT
    (rejected,) = report.rejected
    assert rejected.id == 1
    assert "--prune-top-k 24" in rejected.reason
    writes = [
        found.body
        for found in front.requests
        if found.method == "PUT" and "/points/vectors" in found.path
    ]
    assert max(len(body["points"]) for body in writes) == 7
    reads = [
        found.body["limit"]
        for found in front.requests
        if "/points/scroll" in found.path or "/points/query" in found.path
    ]
    assert reads
    assert max(reads) <= 11


@pytest.mark.parametrize(
    ("kind", "scheme"), [(QdrantRestFront, "qdrant"), (QdrantGrpcFront, "qdrant+grpc")]
)
def test_an_older_server_is_refused_or_copied(kind: type[Front], scheme: str) -> None:
    with kind(version="1.17.0") as front:
        place = _behind(front, scheme)
        before = place.points()
        with place.connect() as store:
            with pytest.raises(AttachRefused, match=r"1\.18 and later can.*--copy-to NEW"):
                store.attach(FIELDS)
            options = AttachOptions(copy_to="articles-2", switch_alias="live")
            report = store.attach(FIELDS, options=options)
            assert report.copy is not None
            assert (report.copy.points, report.copy.equal) == (COUNT + 1, True)
            assert (report.attached, report.alias) == (COUNT + 1, "live")
            # Once more: nothing is left to do.
            again = store.attach(FIELDS, options=options)
            assert again.copy is not None
            assert (again.copy.written, again.attached) == (0, 0)
            with pytest.raises(ConfigurationError, match="not 'articles' itself"):
                store.attach(FIELDS, options=AttachOptions(copy_to="articles"))
        assert place.points() == before
        with connect(f"{scheme}://{front.host}/live", encoder=HashEncoder()) as copied:
            assert_attached(copied)


def test_a_copy_of_cosine_vectors_is_equal_though_they_are_normalized_again() -> None:
    with QdrantRestFront(version="1.17.0") as front:
        client = front.engine.client
        dense = models.VectorParams(size=3, distance=models.Distance.COSINE)
        client.create_collection("articles", dense)
        random = np.random.default_rng(3)
        points = [
            models.PointStruct(id=id, vector=vector, payload={"title": text(id)})
            for id, vector in enumerate(random.normal(size=(200, 3)).tolist())
        ]
        client.upsert("articles", points)
        options = AttachOptions(copy_to="articles-2")
        with connect(f"qdrant://{front.host}/articles", encoder=HashEncoder()) as store:
            first = store.attach(["title"], options=options)
            assert first.copy is not None
            assert (first.copy.written, first.copy.equal) == (200, True)
            # A point of the copy that is another is not a rounding.
            client.upsert("articles-2", [models.PointStruct(id=7, vector=[1, 2, 3], payload={})])
            again = store.attach(["title"], options=options)
            assert again.copy is not None
            assert (again.copy.written, again.copy.equal) == (1, True)


@pytest.mark.parametrize("kind", ["edge", "rest", "grpc"])
async def test_awaited(kind: str, request: pytest.FixtureRequest) -> None:
    place: Place = request.getfixturevalue(kind)
    async with await aconnect(place.target, encoder=HashEncoder()) as store:
        assert (await store.plan_attach(FIELDS)).to_do == COUNT + 1
        assert (await store.attach(FIELDS)).attached == COUNT + 1
        assert (await store.verify(everything=True, recheck=True)).complete
        assert (await store.detach()).cleared == COUNT + 1
