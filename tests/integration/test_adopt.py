"""Vectors that others wrote, by hand as LangChain, Haystack and the like write them."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
import qdrant_edge
from qdrant_client import AsyncQdrantClient, QdrantClient, models

from splade_connectors import Document, SparseEncoder, Store, aconnect, connect, load_encoder
from splade_connectors.errors import AttachRefused
from splade_connectors.options import Progress, PruneOptions, WriteOptions
from splade_connectors.testing import HashEncoder
from splade_connectors.vectors import SparseVector
from tests.integration.command_line import Run
from tests.integration.qdrant_place import FRONTS, Place, place

WORDS = [f"word{number}" for number in range(500)]
TEXTS = {
    number: " ".join(WORDS[(number * 61 + at * 17) % 500] for at in range(6 + number % 20))
    for number in range(1, 121)
}
ENCODER = HashEncoder()
PRUNED = PruneOptions(top_k=24)
HAYSTACK_ES = {
    "elasticsearch": ("elasticsearch_url", "sparse_vector"),
    "elasticsearch-7.17": ("rank_features_url", "rank_features"),
    "opensearch": ("opensearch_url", "rank_features"),
}


def vectors(
    texts: Mapping[int, str] = TEXTS,
    prune: PruneOptions | None = None,
    encoder: SparseEncoder = ENCODER,
) -> dict[int, SparseVector]:
    made = encoder.encode_documents(list(texts.values())).prune(prune or PruneOptions())
    return dict(zip(texts, made, strict=True))


def langchain(number: int, text: str) -> tuple[Any, dict[str, Any]]:
    """Id and payload of langchain-qdrant."""
    id = str(uuid.UUID(int=number))
    return id, {"page_content": text, "metadata": {"source": f"{number}.txt"}}


def haystack(number: int, text: str) -> tuple[Any, dict[str, Any]]:
    """Id and payload of qdrant-haystack."""
    name = f"doc{number}"
    payload = {"id": name, "content": text, "blob": None, "meta": {"n": number}, "score": None}
    return uuid.uuid5(uuid.UUID(int=1), name).hex, payload


LAYOUTS = {
    "langchain": (langchain, "langchain-sparse", "page_content"),
    "haystack": (haystack, "text-sparse", "content"),
}


@pytest.fixture(params=list(LAYOUTS))
def layout(request: pytest.FixtureRequest) -> Any:
    return LAYOUTS[request.param]


def collection(
    layout: Any,
    prune: PruneOptions | None = None,
    client: QdrantClient | None = None,
    named: str = "theirs",
) -> QdrantClient:
    """In local mode, unless a client is given."""
    shape, name, _ = layout
    client = client or QdrantClient(":memory:")
    client.create_collection(
        named,
        {"": models.VectorParams(size=2, distance=models.Distance.COSINE)},
        {name: models.SparseVectorParams(index=models.SparseIndexParams(on_disk=False))},
    )
    points = []
    for number, vector in vectors(TEXTS, prune).items():
        id, payload = shape(number, TEXTS[number])
        sparse = models.SparseVector(indices=vector.indices.tolist(), values=vector.values.tolist())
        points.append(
            models.PointStruct(id=id, vector={"": [0.6, 0.8], name: sparse}, payload=payload)
        )
    client.upsert(named, points)
    return client


def content(client: QdrantClient) -> Any:
    points, _ = client.scroll("theirs", limit=1000, with_payload=True, with_vectors=True)
    return {str(point.id): (point.payload, repr(point.vector)) for point in points}


def taken_over(store: Store, count: int = len(TEXTS)) -> None:
    """No verb makes the vectors again."""
    attached = store.attach()
    assert (attached.attached, attached.encoded) == (0, 0)
    assert store.verify(sample=30).compared == 30
    checked = store.verify(everything=True, recheck=True)
    assert checked.complete
    assert checked.compared == count


def test_qdrant_gets_a_manifest_and_nothing_else(layout: Any) -> None:
    client = collection(layout, prune=PRUNED)
    before = content(client)
    _, name, field = layout
    with connect(client, "theirs", encoder=ENCODER, vector=name) as store:
        hits = store.search(TEXTS[7], limit=20)
        planned = store.adopt([field], dry_run=True)
        assert store.inspect().manifest is None
        report = store.adopt([field])
        assert planned.manifest == report.manifest
        assert report.manifest is not None
        assert (report.manifest.prune_top_k, report.manifest.text_fields) == (24, (field,))
        assert (report.done, report.marked, report.compared) == (True, 0, 100)
        assert content(client) == before
        assert store.search(TEXTS[7], limit=20) == hits
        taken_over(store)
        # What comes later is pruned so, too, and a tuning has a place to be kept.
        late = Document(id=str(uuid.UUID(int=900)), text=TEXTS[19], payload={field: TEXTS[19]})
        store.index([late], options=WriteOptions(text_fields=(field,)))
        (kept,) = store.get([late.id], with_vectors=True)
        assert kept.vector == vectors({1: TEXTS[19]}, PRUNED)[1]
        store.update(late.id, payload={field: TEXTS[18]})
        assert store.verify(everything=True, recheck=True).complete
        store.save_tuning(None)
    # Another encoder is refused from now on, and this one goes on with the pruning.
    with (
        connect(client, "theirs", encoder=HashEncoder("other"), vector=name) as other,
        pytest.raises(Exception, match="was written with other settings"),
    ):
        other.search("word1")


def test_qdrant_marks_points_where_that_is_asked_for(layout: Any) -> None:
    client = collection(layout)
    _, name, field = layout
    with connect(client, "theirs", encoder=ENCODER, vector=name) as store:
        assert store.adopt([field], mark=True).marked == len(TEXTS)
        key = f"_splade_marker_{name}"
        assert all(key in payload for payload, _ in content(client).values())
        taken_over(store)
        id = next(iter(content(client)))
        client.set_payload("theirs", {field: "edited since"}, [id])
        assert store.attach().attached == 1


def test_qdrant_with_another_model_is_refused_and_nothing_is_written(layout: Any) -> None:
    _, name, field = layout
    client = collection(layout)
    for point in client.scroll("theirs", limit=1000)[0]:
        client.set_payload("theirs", {field: f"else {point.id}"}, [point.id])
    before = content(client)
    with connect(client, "theirs", encoder=ENCODER, vector=name) as store:
        with pytest.raises(AttachRefused, match="in 100 of 100 sampled documents, the vector"):
            store.adopt([field])
        with pytest.raises(AttachRefused, match=rf"no sparse vectors 'x'; .*it has: {name}\)"):
            connect(client, "theirs", encoder=ENCODER, vector="x").adopt([field])
        assert store.inspect().manifest is None
    assert content(client) == before


def test_vectors_without_payload_as_sentence_transformers_writes_them() -> None:
    """`semantic_search_qdrant` keeps no text: its owner has to give the points theirs first."""
    client = QdrantClient(":memory:")
    client.create_collection("theirs", {}, {"text": models.SparseVectorParams()})
    made = [
        {"text": models.SparseVector(indices=v.indices.tolist(), values=v.values.tolist())}
        for v in vectors().values()
    ]
    client.upload_collection("theirs", vectors=made, ids=range(len(made)))
    with connect(client, "theirs", encoder=ENCODER, vector="text") as store:
        with pytest.raises(AttachRefused, match=r"no document has text in 'body'; .* are: none"):
            store.adopt(["body"])
        for at, text in enumerate(TEXTS.values()):
            client.set_payload("theirs", {"body": text}, [at])
        assert store.adopt(["body"]).done
        taken_over(store)


def test_awaited_over_qdrant(layout: Any) -> None:
    client = collection(layout)
    _, name, field = layout

    async def adopted() -> None:
        awaited: Any = AsyncQdrantClient(":memory:")
        mine: Any = client
        awaited._client.collections = mine._client.collections
        store = await aconnect(awaited, "theirs", encoder=ENCODER, vector=name)
        assert (await store.adopt([field])).done

    asyncio.run(adopted())


@pytest.mark.parametrize("mark", [False, True])
@pytest.mark.parametrize("way", list(FRONTS))
def test_over_the_wire(way: str, mark: bool) -> None:
    layout = LAYOUTS["langchain"]

    async def adopted(found: Place) -> None:
        async with found.opened("?vector=langchain-sparse", encoder=ENCODER) as store:
            report = await store.adopt(["page_content"], mark=mark)
            assert (report.done, report.marked) == (True, mark * len(TEXTS))
            assert (await store.attach()).encoded == 0
            assert (await store.verify(everything=True, recheck=True)).complete

    with place(way) as found:
        collection(layout, client=found.owner, named=found.name)
        asyncio.run(adopted(found))


def shard(path: Path, layout: Any, texts: Mapping[int, str], encoder: SparseEncoder) -> None:
    """On disk, of the embedded engine."""
    shape, name, _ = layout
    config = qdrant_edge.EdgeConfig(
        vectors=None, sparse_vectors={name: qdrant_edge.EdgeSparseVectorParams()}
    )
    path.mkdir()
    made = qdrant_edge.EdgeShard.create(str(path), config)
    points = []
    for number, vector in vectors(texts, None, encoder).items():
        id, payload = shape(number, texts[number])
        sparse = qdrant_edge.SparseVector(vector.indices.tolist(), vector.values.tolist())
        points.append(qdrant_edge.Point(str(uuid.UUID(id)), {name: sparse}, payload))
    made.update(qdrant_edge.UpdateOperation.upsert_points(points))
    made.close()


def test_edge(tmp_path: Path, layout: Any) -> None:
    _, name, field = layout
    shard(tmp_path / "shard", layout, TEXTS, ENCODER)
    with connect(f"edge:{tmp_path / 'shard'}?vector={name}", encoder=ENCODER) as store:
        assert store.adopt([field]).done
        taken_over(store)
    with connect(f"edge:{tmp_path / 'shard'}?vector={name}", encoder=ENCODER) as store:
        assert store.inspect().manifest is not None


def test_the_command(tmp_path: Path, run: Run) -> None:
    layout = LAYOUTS["langchain"]
    texts = {n: f"bread number {n} is dearer than salt and {WORDS[n]}" for n in range(12)}
    shard(tmp_path / "shard", layout, texts, load_encoder())
    target = f"edge:{tmp_path / 'shard'}?vector=langchain-sparse"
    asked = run("adopt", target)
    assert asked.code == 2
    assert "were encoded from with --text FIELD" in asked.err
    assert "fields with text are: page_content, metadata.source" in asked.err
    dry = run("adopt", target, "--text", "page_content", "--dry-run")
    assert dry.code == 0
    assert "12, of which 12 match the model" in dry.out
    assert "Nothing was written" in dry.out
    wrong = run("adopt", target, "--text", "metadata.source", "--dry-run", "--json")
    assert wrong.code == 2
    assert "12 of 12 sampled documents" in json.loads(wrong.out)["refusals"][0]
    done = run("adopt", target, "--text", "page_content")
    assert done.code == 0
    assert "Vectors adopted" in done.out
    assert run("verify", target, "--all").code == 0
    attached = run("attach", target, "--json")
    assert json.loads(attached.out)["encoded"] == 0
    again = run("adopt", target, "--text", "page_content")
    assert again.code == 2
    assert "has a manifest for 'langchain-sparse'" in again.err


@dataclass(frozen=True)
class Index:
    """As elasticsearch-haystack makes it: terms are ids, `meta` is flat, no `index_options`."""

    client: httpx.Client
    name: str
    target: str
    kind: str

    def fill(
        self, texts: Mapping[int, str] = TEXTS, prune: PruneOptions | None = None, **meta: Any
    ) -> None:
        properties = {"sparse": {"type": self.kind}, "content": {"type": "text"}}
        body = {"mappings": {"_meta": {"team": "search"}, "properties": properties}}
        self.client.put(f"/{self.name}", json=body).raise_for_status()
        lines: list[Any] = []
        for number, vector in vectors(texts, prune).items():
            terms = zip(vector.indices.tolist(), vector.values.tolist(), strict=True)
            source = {
                "id": f"doc{number}",
                "content": texts[number],
                "sparse": {str(at): weight for at, weight in terms},
                "year": number,
                **meta,
            }
            lines += [{"index": {"_id": f"doc{number}"}}, source]
        self.bulk(lines)

    def bulk(self, lines: Sequence[Any]) -> None:
        headers = {"content-type": "application/x-ndjson"}
        path = f"/{self.name}/_bulk?refresh=true"
        body = "".join(f"{json.dumps(line)}\n" for line in lines)
        answer = self.client.post(path, content=body, headers=headers)
        assert answer.json()["errors"] is False, answer.text[:500]

    def sources(self) -> dict[str, Any]:
        self.client.post(f"/{self.name}/_refresh").raise_for_status()
        body: dict[str, Any] = {"size": 1000}
        if self.kind == "sparse_vector":
            body["_source"] = {"exclude_vectors": False}
        answer = self.client.post(f"/{self.name}/_search", json=body).json()
        return {hit["_id"]: hit["_source"] for hit in answer["hits"]["hits"]}

    def open(self, encoder: SparseEncoder = ENCODER, **more: Any) -> Store:
        return connect(f"{self.target}?field=sparse", encoder=encoder, **more)


@pytest.fixture(params=list(HAYSTACK_ES))
def index(request: pytest.FixtureRequest) -> Iterator[Index]:
    fixture, kind = HAYSTACK_ES[request.param]
    url = request.getfixturevalue(fixture).rstrip("/")
    scheme = request.param.partition("-")[0]
    name = f"splade-test-{uuid.uuid4().hex}"
    with httpx.Client(base_url=url, trust_env=False, timeout=60) as client:
        yield Index(client, name, f"{url.replace('http', scheme, 1)}/{name}", kind)
        client.delete(f"/{name}")


def without_markers(sources: Mapping[str, Any]) -> dict[str, Any]:
    """The vectors as they are searched: an update may leave them in a list of one."""
    return {
        id: {key: value for key, value in found.items() if key != "sparse_marker"}
        for id, found in sources.items()
    }


@pytest.mark.servers
def test_an_index_is_marked_and_nothing_else_changes(index: Index) -> None:
    index.fill(prune=PRUNED)
    before = index.sources()
    with index.open() as store:
        hits = store.search(TEXTS[7], limit=20)
        assert hits
        assert store.adopt(["content"], dry_run=True).manifest
        assert index.sources() == before
        report = store.adopt(["content"])
        assert (report.done, report.marked, report.left) == (True, len(TEXTS), 0)
        assert report.manifest is not None
        assert (report.manifest.key_style, report.manifest.prune_top_k) == ("id", 24)
        assert without_markers(index.sources()) == before
        assert store.search(TEXTS[7], limit=20) == hits
        taken_over(store)
        late = {"id": "late", "content": TEXTS[7], "year": 0}
        index.bulk([{"index": {"_id": "late"}}, late])
        assert store.attach().attached == 1
        now = index.sources()["late"]["sparse"]
        terms = now[0] if isinstance(now, list) else now
        assert terms.keys() == index.sources()["doc7"]["sparse"].keys()


@pytest.mark.servers
def test_an_index_that_is_half_marked_is_gone_on_with(
    index: Index, monkeypatch: pytest.MonkeyPatch
) -> None:
    index.fill()
    small = partial(WriteOptions, portion_documents=20, chunk_documents=10)
    monkeypatch.setattr("splade_connectors.operations.attach.adopt.WriteOptions", small)

    def stop(progress: Progress) -> None:
        if progress.done >= 40:
            raise RuntimeError("enough")

    with index.open() as store, pytest.raises(RuntimeError, match="enough"):
        store.adopt(["content"], on_progress=stop)
    marked = sum("sparse_marker" in found for found in index.sources().values())
    assert 0 < marked < len(TEXTS)
    with index.open() as store:
        assert store.inspect().manifest is None
        report = store.adopt(["content"])
        assert report.done
        assert (report.unchanged, report.marked) == (marked, len(TEXTS) - marked)
        taken_over(store)


@pytest.mark.servers
def test_an_index_of_another_model_or_with_a_manifest_is_refused(index: Index) -> None:
    index.fill({n: f"other {text}" for n, text in TEXTS.items()})
    index.client.post(
        f"/{index.name}/_doc/doc1?refresh=true",
        json={"content": TEXTS[1], "sparse": {"9999999": 1.0}},
    ).raise_for_status()
    before = index.sources()
    foreign = pytest.raises(AttachRefused, match="'sparse' contains terms that 'hash' does not")
    with index.open(HashEncoder(vocabulary=500)) as store, foreign:
        store.adopt(["content"])
    assert index.sources() == before
    mapping = index.client.get(f"/{index.name}").json()[index.name]["mappings"]
    assert mapping["_meta"] == {"team": "search"}
    assert "sparse_marker" not in mapping["properties"]


@pytest.mark.servers
def test_documents_without_vectors_are_left_to_attach(index: Index) -> None:
    index.fill()
    more = {f"more{n}": {"content": f"word{n} more", "year": n} for n in range(7)}
    index.bulk([line for id, doc in more.items() for line in ({"index": {"_id": id}}, doc)])
    with index.open() as store:
        assert store.adopt(["content"], sample=500).marked == len(TEXTS)
        report = store.attach()
        assert (report.attached, report.encoded) == (7, 7)
        assert store.verify(everything=True, recheck=True).complete
