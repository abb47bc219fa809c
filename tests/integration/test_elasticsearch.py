"""Indices of one's own Elasticsearch: clients, mappings that are already there, documents."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest

from splade_connectors import (
    Document,
    SparseVector,
    Store,
    WriteOptions,
    aconnect,
    connect,
)
from splade_connectors.backends.rounding import as_stored
from splade_connectors.documents import Rejected
from splade_connectors.errors import (
    ConfigurationError,
    InvalidDocument,
    ManifestMismatch,
    NotFound,
    NotSupported,
    SchemaConflict,
)
from splade_connectors.testing import HashEncoder
from tests.integration.elasticsearch_server import FIXTURES, Server, document, server_of
from tests.servers import client_for

pytestmark = pytest.mark.servers

DOCUMENTS = [
    document("a", "Water and salt.", lang="en", n=1),
    document("b", "Salt and flour.", lang="en", n=2),
    document("c", "Wasser und Salz.", lang="de", n=3),
]


@pytest.fixture(params=list(FIXTURES))
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    with server_of(request.param, request) as server:
        yield server


@pytest.fixture
def filled(server: Server) -> Iterator[Store]:
    with server.store(server.new_name()) as store:
        assert store.index(DOCUMENTS).written == len(DOCUMENTS)
        yield store


def ids(hits: Any) -> set[str]:
    return {str(hit.id) for hit in hits}


# Clients


def test_a_client_of_the_user_stays_open(server: Server) -> None:
    name = server.new_name()
    with client_for(server.url, server.major) as client:
        store = connect(client, name, encoder=HashEncoder())
        store.index(DOCUMENTS)
        store.close()
        assert client.count(index=name)["count"] == len(DOCUMENTS)


def test_a_store_that_was_opened_by_url_is_closed_with_it(server: Server) -> None:
    store = connect(server.target("x"), encoder=HashEncoder())
    store.close()
    store.close()
    with pytest.raises(ConfigurationError, match="has been closed"):
        store.count()


async def test_clients_go_with_their_own_way_to_connect(server: Server) -> None:
    with (
        client_for(server.url, server.major) as client,
        pytest.raises(ConfigurationError, match=r"^your Elasticsearch needs connect\(…\)$"),
    ):
        await aconnect(client, "articles")
    async with client_for(server.url, server.major, async_=True) as client:
        with pytest.raises(ConfigurationError, match=r"AsyncElasticsearch needs await"):
            connect(client, "articles")


def test_a_client_needs_the_name_of_an_index(server: Server) -> None:
    with (
        client_for(server.url, server.major) as client,
        pytest.raises(ConfigurationError, match=r"your Elasticsearch needs a collection name"),
    ):
        connect(client)


@pytest.mark.parametrize("by_client", [True, False], ids=["client", "url"])
async def test_every_verb_awaited(server: Server, by_client: bool) -> None:
    if server.major == 8 and not by_client:
        pytest.skip("the client installed here is too new for a URL of 8.x")
    async with server.astore(server.new_name(), by_client=by_client) as store:
        with pytest.raises(NotFound, match="does not exist"):
            await store.search("salt")
        assert (await store.index(DOCUMENTS)).written == 3
        assert ids(await store.search("salt", filter={"term": {"lang": "en"}})) == {"a", "b"}
        assert (await store.plan("salt")).url_path.endswith("/_search")
        (found,) = await store.get(["a"], with_vectors=True)
        assert found.vector == stored_vector("Water and salt.")
        await store.update("a", text="Bread and wine.", payload={"n": 10})
        (found,) = await store.get(["a"])
        assert found.payload == {"lang": "en", "n": 10, "text": "Bread and wine."}
        assert (await store.explain("wine", "a")).score > 0
        await store.delete(["b"])
        assert await store.known(["a", "b"]) == ["a"]
        assert await store.count() == 2
        assert (await store.inspect()).manifest is not None


def stored_vector(text: str) -> SparseVector:
    return as_stored(HashEncoder().encode_documents([text])[0], "lucene")


# Indices that are already there


OWN_META = {"owner": "search team", "versions": [1, 2, {"deep": None}], "splade": "not ours"}
OWN_DOCUMENTS = {
    "1": {"title": "Coffee", "published": "2024-05-01", "tags": ["a", "b"], "price": 1.5},
    "2": {"title": "Tea", "author": {"name": "Ada", "born": 1815}},
}


def own_mapping(server: Server) -> dict[str, Any]:
    properties: dict[str, Any] = {
        "title": {"type": "text", "fields": {"raw": {"type": "keyword"}}},
        "published": {"type": "date"},
        "price": {"type": "double"},
        "author": {"properties": {"name": {"type": "keyword"}, "born": {"type": "long"}}},
        "tags": {"type": "keyword"},
    }
    if server.has_dense_vectors:
        properties["embedding"] = {"type": "dense_vector", "dims": 3}
    return {"_meta": OWN_META, "properties": properties}


def own_index(server: Server) -> str:
    name = server.new_name()
    server.call("PUT", f"/{name}", {"mappings": own_mapping(server)})
    dense = {"embedding": [0.5, 0.25, 1.0]} if server.has_dense_vectors else {}
    server.put(name, {id: {**source, **dense} for id, source in OWN_DOCUMENTS.items()})
    return name


def test_an_index_of_the_owner_gets_a_field_and_keeps_the_rest(server: Server) -> None:
    name = own_index(server)
    mapping, sources = server.mapping(name), server.sources(name)
    with server.store(name) as store:
        with pytest.raises(NotFound, match=r"no sparse vectors .*; it has none at all"):
            store.search("salt")
        assert store.index(DOCUMENTS).written == 3
        assert ids(store.search("salt")) == {"a", "b"}
        assert store.count() == 3
    after = server.mapping(name)
    ours = after["_meta"].pop("splade_connectors")
    assert after["_meta"] == mapping["_meta"] == OWN_META
    assert ours["splade"]["model"] == "hash"
    added = {"splade", "splade_marker", "text", "lang", "n"}
    kept = {name: entry for name, entry in after["properties"].items() if name not in added}
    assert kept == mapping["properties"]
    assert after["properties"]["splade"]["type"] == server.kind
    found = server.sources(name)
    assert {id: found[id] for id in OWN_DOCUMENTS} == sources


def test_two_sparse_fields_have_two_manifests(server: Server) -> None:
    name = server.new_name()
    with (
        server.store(name, HashEncoder("first"), field="a") as first,
        server.store(name, HashEncoder("second"), field="b") as second,
    ):
        first.index([document("1", "salt", n=1)])
        second.index([document("2", "salt", n=2)])
        manifests = [store.inspect().manifest for store in (first, second)]
        assert [manifest.model for manifest in manifests if manifest] == ["first", "second"]
        assert [ids(first.search("salt")), ids(second.search("salt"))] == [{"1"}, {"2"}]
        assert (first.count(), second.count()) == (1, 1)
        # Neither shows the other's vectors and marker as payload.
        assert first.get(["2"])[0].payload == {"n": 2, "text": "salt"}
        assert second.get(["1"], with_vectors=True)[0].payload == {"n": 1, "text": "salt"}
    with (
        server.store(name, HashEncoder("second"), field="a") as mixed,
        pytest.raises(ManifestMismatch, match=r"the index has 'first', you have 'second'"),
    ):
        mixed.search("salt")


def test_an_alias_of_one_index(server: Server) -> None:
    alias = server.new_name()
    with server.store(server.new_name()) as store:
        store.index(DOCUMENTS)
    name = server.names[-1]
    server.call("PUT", f"/{name}/_alias/{alias}")
    with server.store(alias) as store:
        store.index([document("d", "Salt.")])
        assert ids(store.search("salt")) == {"a", "b", "d"}
        assert store.inspect().capabilities.details["index"] == name
    server.names.remove(alias)


def test_nothing_is_written_to_an_alias_of_two_indices(server: Server) -> None:
    first, second = sorted([server.new_name(), server.new_name()])
    alias = f"{first}-alias"
    for name in (first, second):
        server.call("PUT", f"/{name}")
        server.call("PUT", f"/{name}/_alias/{alias}")
    wanted = (
        rf"{alias} is an alias of several indices \({first}, {second}\), which can only be searched"
    )
    with server.store(alias) as store, pytest.raises(SchemaConflict, match=wanted):
        store.index(DOCUMENTS)


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("Articles", r"index names must be lowercase: write 'articles' instead of 'Articles'"),
        ("a b", r"the index name 'a b' is refused: ' ' is not allowed"),
        ("a#b", r"the index name 'a#b' is refused: '#' is not allowed"),
        ("articles-*", r"the index name 'articles-\*' is refused: '\*' is not allowed"),
        ("a,b", r"the index name 'a,b' is refused: ',' is not allowed"),
        ("_all", r"the index name '_all' is refused: it must not start with -, _ or \+"),
        ("é" * 128, r"may have at most 255 bytes"),
    ],
)
def test_names_that_no_index_can_have(server: Server, name: str, sentence: str) -> None:
    with (
        client_for(server.url, server.major) as client,
        pytest.raises(ConfigurationError, match=sentence),
    ):
        connect(client, name)


@pytest.mark.parametrize("field", ["a.b", "_id", "a*", "a,b", ""])
def test_names_that_no_sparse_field_can_have(server: Server, field: str) -> None:
    with (
        client_for(server.url, server.major) as client,
        pytest.raises(ConfigurationError, match=r"the field name '.*' is refused: use a top-level"),
    ):
        connect(client, "articles", field=field)


def test_a_field_of_another_type_is_in_the_way(server: Server) -> None:
    name = server.new_name()
    properties = {"splade": {"type": "text"}, "other": {"type": server.kind}}
    server.call("PUT", f"/{name}", {"mappings": {"properties": properties}})
    wanted = (
        r"the field 'splade' of .* is text, not rank_features or sparse_vector; choose "
        r"another field: \?field=NAME \(its sparse fields: other\)"
    )
    with server.store(name) as store:
        with pytest.raises(SchemaConflict, match=wanted):
            store.index(DOCUMENTS)
        with pytest.raises(SchemaConflict, match=wanted):
            store.search("salt")


def test_a_kind_that_is_not_the_one_of_the_field(server: Server, filled: Store) -> None:
    other = "rank_features" if server.kind == "sparse_vector" else "sparse_vector"
    with server.store(server.names[-1], kind=other) as store:
        for verb in (lambda: store.index(DOCUMENTS), lambda: store.search("salt")):
            with pytest.raises(SchemaConflict, match=rf"'splade' .* is {server.kind}, not {other}"):
                verb()


def test_a_kind_that_the_server_does_not_have(server: Server) -> None:
    name = server.new_name()
    if server.kind == "rank_features":
        other, sentence = "sparse_vector", r"need Elasticsearch 8\.15, but the server is 7\.17"
    else:
        other, sentence = "rank_features", r"has no rank_features fields .*try kind=sparse_vector"
        if server.has_rank_features:
            pytest.skip("this server has both kinds")
    with (
        server.store(name, kind=other) as store,
        pytest.raises(NotSupported, match=sentence),
    ):
        store.index(DOCUMENTS)
    with pytest.raises(ConfigurationError, match=r"kind must be one of rank_features, sparse_vec"):
        connect(f"elasticsearch://nowhere/{name}?kind=text")


def test_vectors_of_an_unknown_model_are_not_added_to(server: Server) -> None:
    name = server.new_name()
    server.call("PUT", f"/{name}", {"mappings": {"properties": {"splade": {"type": server.kind}}}})
    server.put(name, {"old": {"splade": {"%2E1": 1.5}}})
    with server.store(name) as store:
        with pytest.raises(ManifestMismatch, match=r"contains 1 sparse vector but no manifest"):
            store.index(DOCUMENTS)
        # Without our marker: documents with the field, or all where no query can tell them.
        assert store.count() == 1
    server.put(name, {"plain": {"text": "no vector"}})
    with server.store(name, override_manifest=True) as store:
        assert store.count() == (2 if server.kind == "rank_features" else 1)
        hits = store.search("salt")
        assert hits.plan.warnings == (
            "the index has no manifest, so it is unknown which model wrote it",
        )
        store.index(DOCUMENTS)
        assert store.count() == 3  # with our marker


# Documents that are refused


def rejected(
    store: Store, documents: list[Document], options: WriteOptions | None = None
) -> list[Rejected]:
    report = store.index(documents, options=options)
    assert report.written + report.rejected_count == len(documents)
    assert report.rejected_count == len(report.rejected)
    return report.rejected


def test_a_document_that_does_not_fit_the_mapping(server: Server) -> None:
    name = own_index(server)
    documents = [
        Document(id=str(n), text="salt", payload={"published": day}, line=100 + n)
        for n, day in enumerate(["2024-01-01", "yesterday", "2024-01-02", "2024-01-03"])
    ]
    with server.store(name) as store:
        (refused,) = rejected(store, documents, WriteOptions(replace=True))
        assert (refused.id, refused.line) == ("1", 101)
        assert "failed to parse field [published] of type [date]" in refused.reason
        assert "yesterday" not in refused.reason
        assert "failed to parse date field [yesterday]" in refused.detail
        assert ids(store.search("salt")) == {"0", "2", "3"}


def test_documents_that_are_refused_before_they_are_sent(server: Server, filled: Store) -> None:
    documents = [
        Document(id="fine", text="salt"),
        document("field", "salt", splade={"x": 1}),
        document("marker", "salt", splade_marker="x"),
        document("path", "salt", **{"splade.x": 1.0}),
        document("no JSON", "salt", n={1, 2}),
        document("é" * 257, "salt"),
        Document(id="unknown", text="salt", dense={"nobody": [1.0]}),
        Document(id="dense", text="salt", dense=[1.0]),
        document("b" * 512, "salt"),
    ]
    reasons = {item.id: item.reason for item in rejected(filled, documents)}
    assert reasons == {
        "field": "the payload field 'splade' is reserved for vectors; rename it",
        "path": "the payload field 'splade.x' is reserved for vectors; rename it",
        "marker": "the payload field 'splade_marker' is reserved for vectors; rename it",
        "no JSON": "the payload's field 'n' has type set, which cannot be stored",
        "é" * 257: "the id is longer than 512 bytes",
        "unknown": "the index has no dense_vector field 'nobody'; it has none",
        "dense": "the index has no dense_vector field 'dense'; it has none",
    }
    assert ids(filled.search("salt")) == {"a", "b", "fine", "b" * 512}


def test_numbers_that_json_does_not_have(server: Server, filled: Store) -> None:
    documents = [
        document("infinite", "salt", deep=[{"n": math.inf}]),
        document("fine", "salt", n=math.nan),
    ]
    (refused,) = rejected(filled, documents)
    assert refused.id == "infinite"
    assert refused.reason == "the payload's field 'deep.n' is infinite, which JSON cannot represent"


def test_what_only_the_server_refuses(server: Server, filled: Store) -> None:
    documents = [
        document("metadata", "salt", _id="x"),
        document("fine", "salt"),
    ]
    details = {item.id: item.detail for item in rejected(filled, documents)}
    assert set(details) == {"metadata"}
    assert "is a metadata field and cannot be added inside a document" in details["metadata"]


def test_an_update_of_vectors_by_hand_is_refused(server: Server, filled: Store) -> None:
    for name in ("splade", "splade_marker", "splade.x"):
        with pytest.raises(InvalidDocument, match=rf"the field '{name}' is reserved for vectors"):
            filled.update("a", payload={name: {"x": 1}})
    assert filled.get(["a"], with_vectors=True)[0].vector == stored_vector("Water and salt.")


def test_no_update_where_source_lacks_fields(server: Server) -> None:
    name = server.new_name()
    server.call("PUT", f"/{name}", {"mappings": {"_source": {"excludes": ["secret"]}}})
    with server.store(name) as store:
        store.index([document("1", "salt", secret="x")])
        with pytest.raises(NotSupported, match=r"omits fields from _source, which an update"):
            store.update("1", payload={"n": 1})
        assert ids(store.search("salt", filter={"exists": {"field": "secret"}})) == {"1"}


# Dense vectors


@pytest.fixture
def dense_server(server: Server) -> Server:
    if not server.has_dense_vectors:
        pytest.skip("this build has no dense_vector")
    return server


def test_dense_vectors_are_stored_and_kept(dense_server: Server) -> None:
    server, name = dense_server, dense_server.new_name()
    values = {"title": [0.6, 0.8], "dense": [1.0, 0.5, 0.25]}
    documents = [
        Document(id="1", text="salt", dense={"title": values["title"], "": values["dense"]}),
        Document(id="2", text="salt", dense=values["dense"], payload={"n": 1}),
    ]
    with server.store(name) as store:
        assert rejected(store, documents) == []
        before = server.sources(name)
        assert before["1"]["title"] == pytest.approx(values["title"])
        assert before["2"]["dense"] == pytest.approx(values["dense"])
        store.update("1", text="pepper", payload={"n": 2})
        after = server.sources(name)
        for dense in ("title", "dense"):
            assert after["1"][dense] == pytest.approx(values[dense], abs=1e-6)
        assert after["2"] == before["2"]
        # Vectors are no payload.
        assert store.get(["1"], with_vectors=True)[0].payload == {"text": "pepper", "n": 2}
        assert store.search("pepper")[0].payload == {"text": "pepper", "n": 2}
        found = store.inspect().capabilities.details["dense_fields"]
        assert found == {"title": 2, "dense": 3}


def test_dense_vectors_that_do_not_fit(dense_server: Server) -> None:
    name = own_index(dense_server)
    documents = [
        Document(id="short", text="salt", dense=[1.0]),
        Document(id="fine", text="salt", dense={"embedding": [1.0, 2.0, 3.0]}),
        Document(id="unknown", text="salt", dense={"other": [1.0, 2.0, 3.0]}),
        Document(id="twice", text="x", dense=[1.0, 2.0, 3.0], payload={"embedding": [1, 2, 3]}),
    ]
    with dense_server.store(name, dense="embedding") as store:
        assert {item.id: item.reason for item in rejected(store, documents)} == {
            "short": "the dense vector 'embedding' has 1 dimension, but the index's field has 3",
            "unknown": "the index has no dense_vector field 'other'; it has 'embedding'",
            "twice": "the payload field 'embedding' is reserved for vectors; rename it",
        }


def test_dense_vectors_on_a_server_without_them(server: Server) -> None:
    if server.has_dense_vectors:
        pytest.skip("this build has dense_vector")
    with (
        server.store(server.new_name()) as store,
        pytest.raises(NotSupported, match=r"has no dense_vector fields"),
    ):
        store.index([Document(id="1", text="salt", dense=[1.0])])


# Searching and changing


def test_filters_are_passed_through(filled: Store) -> None:
    term = {"term": {"lang": "en"}}
    numbers = {"range": {"n": {"gte": 2}}}
    assert ids(filled.search("salt salz", filter=term)) == {"a", "b"}
    assert ids(filled.search("salt salz", filter=numbers)) == {"b", "c"}
    both = {"bool": {"filter": [numbers], "must_not": [term]}}
    assert ids(filled.search("salt salz", filter=both)) == {"c"}
    assert ids(filled.search("salt salz", filter={"match_none": {}})) == set()
    scores = {hit.id: hit.score for hit in filled.search("salt salz")}
    assert all(scores[hit.id] == hit.score for hit in filled.search("salt salz", filter=both))
    with suppress(ImportError):
        from elasticsearch.dsl import Q

        assert ids(filled.search("salt salz", filter=Q("term", lang="de"))) == {"c"}


@pytest.mark.parametrize("given", [[], "lang:en", {}, {"must": []}, {"query": {"match_all": {}}}])
def test_what_is_no_filter(filled: Store, given: Any) -> None:
    with pytest.raises(
        ConfigurationError,
        match=r'a filter must be a condition of .*one Elasticsearch query.*"term"',
    ):
        filled.search("salt", filter=given)


def test_objects_in_payloads_are_merged(filled: Store) -> None:
    filled.index([document("o", "salt", author={"name": "Ada", "born": 1815}, tags=["a", "b"])])
    filled.update("o", payload={"author": {"born": 1816, "died": None}, "tags": ["c"]})
    payload = filled.get(["o"])[0].payload
    assert payload["author"] == {"name": "Ada", "born": 1816, "died": None}
    assert payload["tags"] == ["c"]
