"""BM25 over the text of payloads: made after the points, exact on all rows, and in every fusion."""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, get_args

import httpx
import pytest
import qdrant_edge
from qdrant_client import QdrantClient, models

from splade_connectors import Document, SparseEncoder, Store, connect
from splade_connectors.errors import (
    AttachRefused,
    ConfigurationError,
    NotFound,
    NotSupported,
)
from splade_connectors.fusion import (
    DistributionBased,
    Fusion,
    Rrf,
    SparseLeg,
    TextLeg,
    WeightedSum,
)
from splade_connectors.fusion.legs import DenseLeg, Leg
from splade_connectors.options import AttachOptions, TextTokenizer
from splade_connectors.testing import assert_same_fusion, exact_window
from splade_connectors.testing.bm25 import ELASTICSEARCH, OPENSEARCH, Engine, bm25_scores
from splade_connectors.testing.fusion import ExactWindow
from tests.integration.hybrid_comparison import SAMPLE, Collection, Exact
from tests.integration.hybrid_places import Place
from tests.integration.qdrant_place import FRONTS, SERVERS, place

DIMENSIONS = 16
WINDOW = 100
QUERY = "why does dough rise"
QUERIES = [QUERY, "the history of the Roman empire", "vaccines", "a loaf, a loaf: rye?", "zzz"]
TEXT_INDEX = AttachOptions(text_index=("text",))
FUSIONS: list[Fusion] = [
    Rrf(),
    Rrf(k=10, weights=(1, 2, 3)),
    WeightedSum(weights=(2, 1, 0.5), scale=(20, 1, 8)),
    WeightedSum(normalize="minmax"),
    WeightedSum(normalize="theoretical-minmax", weights=(0, 1, 1)),
    DistributionBased(weights=(0.2, 1, 1)),
]


def engine_tokens(tokenizer: str = "word") -> Callable[[str], list[int]]:
    """The engine's own tokens of a text, as it numbers them, each as often as it is there.

    They are read off the weights that its BM25 gives to sparse vectors: f * 2.2 / (f + 1.2).
    """
    names = {name.lower(): name for name in dir(qdrant_edge.TokenizerType)}
    model = qdrant_edge.Bm25(
        qdrant_edge.Bm25Config(
            k=1.2,
            b=0.0,
            tokenizer=getattr(qdrant_edge.TokenizerType, names[tokenizer]),
            stopwords=qdrant_edge.StopwordsSet(),
            stemmer=qdrant_edge.DisabledStemmer(),
        )
    )

    def tokens(text: str) -> list[int]:
        made = model.embed_document(text)
        counts = [round(1.2 * weight / (2.2 - weight)) for weight in made.values]
        pairs = zip(made.indices, counts, strict=True)
        return [token for token, count in pairs for _ in range(count)]

    return tokens


def assert_bm25(
    store: Store, texts: dict[Any, str], tokens: Callable[[str], Sequence[Any]], leg: TextLeg
) -> None:
    """Every row of every query, none more and none less."""
    documents = [tokens(text) for text in texts.values()]
    for query in QUERIES:
        exact = dict(zip(texts, bm25_scores(documents, tokens(query)), strict=True))
        (found,) = store.windows(query, legs=[leg])
        assert {id: exact[id] for id in found.ids} == pytest.approx(
            dict(zip(found.ids, found.scores.tolist(), strict=True)), abs=1e-4
        )
        assert set(found.ids) == {id for id, score in exact.items() if score > 0}


@pytest.fixture(scope="module")
def collection(encoder: SparseEncoder) -> Collection:
    return Collection.encoded(SAMPLE, encoder, QUERIES, dimensions=DIMENSIONS)


@pytest.fixture
def store(tmp_path: Path, collection: Collection, encoder: SparseEncoder) -> Iterator[Store]:
    with connect(f"edge:{tmp_path / 'shard'}", encoder=encoder) as store:
        store.index(collection.documents)
        yield store


def whole(collection: Collection) -> TextLeg:
    return TextLeg(candidates=len(collection.documents) + 10)


@pytest.mark.parametrize("tokenizer", get_args(TextTokenizer))
def test_bm25_of_the_engine_is_that_of_its_tokens(
    store: Store, collection: Collection, tokenizer: TextTokenizer
) -> None:
    order = AttachOptions(text_index=("text",), text_tokenizer=tokenizer)
    assert store.attach(options=order).text_index == ("text",)
    texts = {document.id: document.text for document in collection.documents}
    tokens = engine_tokens(tokenizer)
    if tokenizer == "prefix":
        # Prefixes are made of documents only, and the engine's BM25 for vectors makes them of
        # neither: a query finds the beginnings of words.
        (found,) = store.windows("vacc", legs=[whole(collection)])
        begins = re.compile(r"\bvacc", re.IGNORECASE)
        assert set(found.ids) == {id for id, text in texts.items() if begins.search(text)}
        return
    assert_bm25(store, texts, tokens, whole(collection))
    # The index follows what is written, changed and deleted later.
    gone, changed = collection.documents[0].id, collection.documents[1].id
    store.delete([gone])
    store.update(changed, payload={"text": "dough, and nothing but dough"})
    more = {f"more-{number}": f"rising dough, number {number}" for number in range(5)}
    store.index([Document(id=id, text=text) for id, text in more.items()])
    now = {**texts, changed: "dough, and nothing but dough", **more}
    del now[gone]
    assert_bm25(store, now, tokens, whole(collection))


@pytest.mark.parametrize("path", ["auto", "client"])
def test_every_fusion_equals_the_reference(
    store: Store, collection: Collection, encoder: SparseEncoder, path: Any
) -> None:
    store.attach(options=TEXT_INDEX)
    windows = exact_windows(store, collection, encoder)
    legs = three(collection)
    for fusion in FUSIONS:
        hits = store.search(QUERY, legs=legs, fusion=fusion, limit=WINDOW, path=path)
        on_server = path == "auto" and getattr(fusion, "normalize", None) is None
        assert hits.plan.fused_by == ("server" if on_server else "client")
        assert_same_fusion([(hit.id, hit.score) for hit in hits], fusion, windows, WINDOW)
        why = store.explain_hybrid(QUERY, hits[0].id, legs=legs, fusion=fusion)
        assert why.score == pytest.approx(hits[0].score, rel=1e-5)
        assert [part.leg for part in why.legs] == ["sparse", "dense", "text"]


def three(collection: Collection) -> list[Leg]:
    vector = collection.query_vectors[QUERY]
    return [
        SparseLeg(candidates=WINDOW),
        DenseLeg(vector=vector, candidates=WINDOW, exact=True),
        TextLeg(candidates=WINDOW),
    ]


def exact_windows(
    store: Store, collection: Collection, encoder: SparseEncoder
) -> list[ExactWindow]:
    place = Place("edge", store, "", "float32", True, True, (), True, None)
    exact, tokens = Exact(collection, encoder, place), engine_tokens()
    documents = [tokens(document.text) for document in collection.documents]
    scores = bm25_scores(documents, tokens(QUERY))
    ids = [document.id for document in collection.documents]
    return [
        exact.sparse(QUERY, WINDOW),
        exact.dense(QUERY, WINDOW),
        exact_window("text", ids, scores, WINDOW),
    ]


def test_filters_leave_the_statistics_as_they_are(store: Store, collection: Collection) -> None:
    """Rare is what is rare in the collection, not in what a filter leaves."""
    store.attach(options=TEXT_INDEX)
    (every,) = store.windows(QUERY, legs=[whole(collection)])
    odd = {"must": [{"key": "part", "match": {"value": "odd"}}]}
    (some,) = store.windows(QUERY, legs=[whole(collection)], filter=odd)
    exact = dict(zip(every.ids, every.scores.tolist(), strict=True))
    assert 0 < len(some.ids) < len(every.ids)
    assert [exact[id] for id in some.ids] == pytest.approx(some.scores.tolist(), abs=1e-6)


def test_a_text_leg_alone_needs_neither_model_nor_vectors(tmp_path: Path) -> None:
    owners_shard(tmp_path / "shard")
    with connect(f"edge:{tmp_path / 'shard'}") as store:
        store._session.encoder = refusing
        with pytest.raises(
            ConfigurationError, match=r"attach edge:\S+ --text-index body creates one"
        ):
            store.search("dough", legs=[TextLeg(fields=("body",))])
        store.attach(options=AttachOptions(text_index=("body", "author.bio")))
        hits = store.search("dough", legs=[TextLeg(fields=("body",))])
        assert [hit.id for hit in hits] == [3, 1]
        both = [
            TextLeg(fields=("body",)),
            TextLeg(fields=("author.bio",), text="3", name="author"),
        ]
        found = store.search("dough", legs=both, with_legs=True)
        assert found[0].id == 3
        assert set(found[0].legs) == {"text", "author"}
        with pytest.raises(
            ConfigurationError,
            match=r"on Qdrant a text leg searches one field, not 2 \('body', 'x'\)",
        ):
            store.search("dough", legs=[TextLeg(fields=("body", "x"))])


def refusing() -> Any:
    raise AssertionError("no model is needed")


def owners_shard(path: Path, **indexes: Any) -> None:
    """A shard of somebody else, with indexes of theirs."""
    path.mkdir()
    params = qdrant_edge.EdgeVectorParams(size=2, distance=qdrant_edge.Distance.Dot)
    shard = qdrant_edge.EdgeShard.create(
        str(path), qdrant_edge.EdgeConfig(vectors={"dense": params})
    )
    bodies = {1: "Dough rises", 2: "Cats sleep", 3: "Dough, dough and time"}
    points = [
        qdrant_edge.Point(
            id,
            {"dense": [1.0, 2.0]},
            {"body": body, "kind": "x", "author": {"bio": f"bakes, number {id}"}},
        )
        for id, body in bodies.items()
    ]
    operations = qdrant_edge.UpdateOperation
    shard.update(operations.upsert_points(points))
    for field, index in indexes.items():
        shard.update(operations.create_field_index(field, index))
    shard.close()


def shards_index(path: Path, field: str) -> str:
    shard = qdrant_edge.EdgeShard.load(str(path))
    found = shard.info().payload_schema.get(field)
    shard.close()
    return re.sub(r", points=\d+", "", repr(shard_index(found)))


def shard_index(found: Any) -> Any:
    from splade_qdrant.edge.payload_index import index_json

    return None if found is None else index_json(found)


def test_an_index_of_the_owners_is_built_anew_on_demand_and_becomes_what_it_was(
    tmp_path: Path,
) -> None:
    theirs = qdrant_edge.TextIndexParams(
        tokenizer=qdrant_edge.TokenizerType.Whitespace,
        lowercase=False,
        min_token_len=2,
        stopwords=qdrant_edge.StopwordsSet(
            languages={qdrant_edge.Language.English}, custom={"cats"}
        ),
        stemmer=qdrant_edge.SnowballParams(qdrant_edge.SnowballLanguage.English),
        memory=qdrant_edge.Memory.Cold,
    )
    path = tmp_path / "shard"
    owners_shard(path, body=theirs)
    before = shards_index(path, "body")
    with connect(f"edge:{path}") as store:
        with pytest.raises(
            AttachRefused, match=r"tokenizer whitespace\) was not created by splade-connectors"
        ):
            store.attach(options=AttachOptions(text_index=("body",)))
        with pytest.raises(ConfigurationError, match=r"does not score; .* --rebuild-text-index"):
            store.search("dough", legs=[TextLeg(fields=("body",))])
        order = AttachOptions(text_index=("body",), rebuild_text_index=True)
        (change,) = store.plan_attach(options=order).changes
        assert change.endswith(
            "rebuilt for BM25 (tokenizer whitespace) and keeps its other settings"
        )
        assert store.attach(options=order).text_index == ("body",)
        hits = store.search("rise", legs=[TextLeg(fields=("body",))])
        assert [hit.id for hit in hits] == [1]  # their stemmer
    scoring = shards_index(path, "body")
    assert scoring != before
    assert scoring.replace(", 'scoring': {'type': 'bm25'}", "") == before
    with connect(f"edge:{path}") as store:
        assert store.attach(options=order).text_index == ()
        (removed,) = store.detach(text_index=["body"]).removes
        assert removed == "the text index of 'body' (restoring the one it replaced)"
        with pytest.raises(NotFound, match="it created: none"):
            store.detach(text_index=["body"])
    assert shards_index(path, "body") == before


def test_what_cannot_be_indexed_is_refused_with_what_to_run(tmp_path: Path) -> None:
    path = tmp_path / "shard"
    keyword = qdrant_edge.PayloadSchemaType.Keyword
    scoring = qdrant_edge.TextIndexParams(tokenizer=qdrant_edge.TokenizerType.Prefix, scoring=True)
    owners_shard(path, kind=keyword, body=scoring)
    with connect(f"edge:{path}") as store:

        def refused(**order: Any) -> str:
            with pytest.raises(AttachRefused) as found:
                store.attach(options=AttachOptions(**order))
            return str(found.value)

        text = "index of type keyword, and Qdrant keeps one index per field: copy the text"
        assert text in refused(text_index=("kind",))
        assert text in refused(text_index=("kind",), rebuild_text_index=True)
        assert "no point has a payload field 'nope'" in refused(text_index=("nope",))
        store.update(next(store.export()).id, payload={"year": 1999})
        assert "'year' holds no text, but values such as 1999" in refused(text_index=("year",))
        assert (
            "has the tokenizer 'prefix', not 'word': omit --text-tokenizer to search it as "
            "it is, or add --rebuild-text-index"
        ) in refused(text_index=("body",), text_tokenizer="word")
        plan = store.plan_attach(options=AttachOptions(text_index=("body",)))
        assert plan.notes == (
            "the text index of 'body' (tokenizer prefix) stays as it is: BM25 can search it",
        )
        assert [hit.id for hit in store.search("ri", legs=[TextLeg(fields=("body",))])] == [1]
        with pytest.raises(NotFound, match=r"no text index on 'body' that attach created \(it"):
            store.detach(text_index=["body"])
        with pytest.raises(ConfigurationError, match="index of type keyword"):
            store.search("x", legs=[TextLeg(fields=("kind",))])


@pytest.mark.parametrize(
    ("order", "sentence"),
    [
        ({"text_index": "body"}, r"names, such as \('body',\), not 'body'"),
        ({"text_index": ("body",), "text_tokenizer": "words"}, "one of word, .* not 'words'"),
        ({"text_tokenizer": "word"}, "require text_index"),
        ({"rebuild_text_index": True}, "require text_index"),
        ({"text_index": ("body",), "copy_to": "b"}, "a run of its own"),
        ({"text_index": ("",)}, "text field"),
    ],
)
def test_orders_that_make_no_sense(order: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ConfigurationError, match=sentence):
        AttachOptions(**order)


# Servers: REST and gRPC, blocking and awaited, over sockets; a real one by $QDRANT_URL.


@pytest.mark.parametrize("way", [*FRONTS, *SERVERS])
async def test_a_server_searches_payload_text(
    way: str, collection: Collection, encoder: SparseEncoder
) -> None:
    documents = collection.documents[:120]
    texts = {document.id: document.text for document in documents}
    tokens = engine_tokens()
    rows = [tokens(text) for text in texts.values()]
    with place(way, version="1.20.0") as somewhere:
        async with somewhere.opened(encoder=encoder) as store:
            await store.index(documents)
            with pytest.raises(ConfigurationError, match=r"attach qdrant\S* --text-index text"):
                await store.search(QUERY, legs=[TextLeg()])
            report = await store.attach(options=TEXT_INDEX)
            assert report.text_index == ("text",)
            for query in QUERIES:
                (found,) = await store.windows(query, legs=[TextLeg(candidates=200)])
                exact = dict(zip(texts, bm25_scores(rows, tokens(query)), strict=True))
                assert set(found.ids) == {id for id, score in exact.items() if score > 0}
                assert [exact[id] for id in found.ids] == pytest.approx(
                    found.scores.tolist(), abs=1e-4
                )
            legs = [SparseLeg(candidates=WINDOW), TextLeg(candidates=WINDOW)]
            for fusion in (Rrf(weights=(1, 2)), WeightedSum(scale=(20, 8)), DistributionBased()):
                windows = await store.windows(QUERY, legs=legs)
                exact_ones = [
                    exact_window(found.name, list(found.ids), found.scores, WINDOW)
                    for found in windows
                ]
                hits = await store.search(QUERY, legs=legs, fusion=fusion, limit=50)
                assert hits.plan.fused_by == "server"
                found_pairs = [(hit.id, hit.score) for hit in hits]
                assert_same_fusion(found_pairs, fusion, exact_ones, 50)
            await store.detach(text_index=["text"])
            with pytest.raises(ConfigurationError, match="no text index"):
                await store.search(QUERY, legs=[TextLeg()])


@pytest.mark.parametrize("way", ["rest-sync", "grpc-sync"])
async def test_older_servers_keep_the_sparse_form(way: str, encoder: SparseEncoder) -> None:
    with place(way, version="1.19.1") as somewhere:
        async with somewhere.opened(encoder=encoder) as store:
            await store.index([Document(id=1, text="dough")])
            with pytest.raises(
                AttachRefused, match=r"needs Qdrant 1\.20, but the server is 1\.19\.1"
            ):
                await store.attach(options=TEXT_INDEX)
            with pytest.raises(
                ConfigurationError,
                match=r"1\.20, but the server is 1\.19\.1; sparse vectors with the",
            ):
                await store.search("dough", legs=[TextLeg()])
        # What the stand-in refuses, as a server does that knows no BM25.
        asked = models.TextQuery(text="dough")
        with pytest.raises(Exception, match="did not match any variant"):
            somewhere.owner.query_points(somewhere.name, query=asked, using="text")


@pytest.mark.parametrize("way", ["rest-sync", "grpc-sync"])
def test_the_stand_in_refuses_what_the_engine_refuses(way: str) -> None:
    with place(way, version="1.20.0") as somewhere:
        owner, name = somewhere.owner, somewhere.name
        owner.create_collection(name, {})
        owner.upsert(name, [models.PointStruct(id=1, vector={}, payload={"body": "dough"})])
        asked = models.TextQuery(text="dough")

        def refused(field: str) -> str:
            with pytest.raises(Exception) as found:
                owner.query_points(name, query=asked, using=field)
            return str(found.value)

        assert "BM25 requires a text index on field body, which has none" in refused("body")
        owner.create_payload_index(name, "body", models.PayloadSchemaType.KEYWORD)
        assert "on field body, which is indexed as Keyword" in refused("body")
        owner.create_payload_index(name, "body", models.TextIndexParams(type="text"))
        assert "The text index on `body` does not score" in refused("body")
        owner.create_payload_index(name, "body", models.TextIndexParams(type="text", scoring=True))
        assert owner.query_points(name, query=asked, using="body").points[0].id == 1


def test_local_mode_searches_payload_text(encoder: SparseEncoder) -> None:
    client = QdrantClient(":memory:")
    with connect(client, "articles", encoder=encoder) as store:
        store.index([Document(id=1, text="dough rises"), Document(id=2, text="cats sleep")])
        assert store.attach(options=TEXT_INDEX).text_index == ("text",)
        assert store.inspect().capabilities.details["text_fields"] == ["text"]
        hits = store.search("dough", legs=[SparseLeg(), TextLeg()])
        assert hits[0].id == 1
        assert hits.plan.fused_by == "server"
    client.close()


def test_an_old_client_says_so(encoder: SparseEncoder, monkeypatch: pytest.MonkeyPatch) -> None:
    client = QdrantClient(":memory:")
    with connect(client, "articles", encoder=encoder) as store:
        store.index([Document(id=1, text="dough rises")])
        store.attach(options=TEXT_INDEX)
        monkeypatch.delattr(models, "TextQuery")
        with pytest.raises(NotSupported, match=r"qdrant-client>=1\.20"):
            store.search("dough", legs=[TextLeg()])
    client.close()


class Lucene:
    """An index of one shard, and the tokens of its field "text".

    Args:
        url: of the server.
    """

    def __init__(self, url: str) -> None:
        self.name = f"splade-bm25-{uuid.uuid4().hex}"
        address = f"{url.rstrip('/')}/{self.name}"
        self._client = httpx.Client(trust_env=False, timeout=120)
        self._address = address
        mappings = {"properties": {"text": {"type": "text"}}}
        body = {"settings": {"number_of_shards": 1}, "mappings": mappings}
        self._client.put(address, json=body).raise_for_status()

    def settle(self) -> None:
        """Documents that were replaced are counted until their segments are merged."""
        self._client.post(f"{self._address}/_forcemerge?max_num_segments=1").raise_for_status()
        self._client.post(f"{self._address}/_refresh").raise_for_status()

    def words(self, text: str) -> list[str]:
        """The tokens of a query."""
        answer = self._client.post(
            f"{self._address}/_analyze", json={"field": "text", "text": text}
        )
        return [token["token"] for token in answer.json()["tokens"]]

    def tokens(self, ids: Sequence[Any]) -> list[list[str]]:
        """The tokens of documents, as they are indexed."""
        asked = {"ids": list(ids), "parameters": {"fields": ["text"], "positions": False}}
        answer = self._client.post(f"{self._address}/_mtermvectors", json=asked).json()
        # They come in an order of their own.
        found = {item["_id"]: item["term_vectors"]["text"]["terms"] for item in answer["docs"]}
        return [
            [word for word, seen in found[id].items() for _ in range(seen["term_freq"])]
            for id in ids
        ]

    def delete(self) -> None:
        self._client.delete(self._address)
        self._client.close()


@pytest.mark.servers
@pytest.mark.parametrize(
    ("scheme", "engine"),
    [("elasticsearch", ELASTICSEARCH), ("opensearch", OPENSEARCH)],
    ids=["elasticsearch", "opensearch"],
)
def test_bm25_of_lucene_is_that_of_its_tokens(
    scheme: str,
    engine: Engine,
    request: pytest.FixtureRequest,
    collection: Collection,
    encoder: SparseEncoder,
) -> None:
    url = str(request.getfixturevalue(f"{scheme}_url"))
    index = Lucene(url)
    documents = [
        Document(id=document.id, text=document.text, vector=document.vector)
        for document in collection.documents
    ]
    target = f"{scheme}://{url.partition('://')[2].rstrip('/')}/{index.name}"
    try:
        with connect(target, encoder=encoder) as store:
            store.index(documents)
            index.settle()
            ids = [document.id for document in documents]
            rows = index.tokens(ids)
            for query in QUERIES:
                (found,) = store.windows(query, legs=[TextLeg(candidates=1000)])
                scores = bm25_scores(rows, index.words(query), engine)
                exact = dict(zip(ids, scores.tolist(), strict=True))
                assert set(found.ids) == {id for id, score in exact.items() if score > 0}
                assert [exact[id] for id in found.ids] == pytest.approx(
                    found.scores.tolist(), abs=1e-4
                )
    finally:
        index.delete()
