"""Target URLs: every form, and a sentence for everything that is none."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from splade_connectors import aconnect, connect
from splade_connectors.backends.targets import Target, parse_target
from splade_connectors.errors import ConfigurationError, NotSupported

SECRET = "hunter2hunter2"


@pytest.mark.parametrize(
    ("text", "target"),
    [
        ("edge:index", Target(scheme="edge", path="index")),
        ("edge:./my-index", Target(scheme="edge", path="./my-index")),
        ("edge:/var/lib/index", Target(scheme="edge", path="/var/lib/index")),
        ("edge:~/index", Target(scheme="edge", path="~/index")),
        ("EDGE:Index", Target(scheme="edge", path="Index")),
        ("edge:a%20b%3Fc", Target(scheme="edge", path="a b?c")),
        ("edge:a:b", Target(scheme="edge", path="a:b")),
        (
            "edge:index?vector=sparse&dense=text",
            Target(scheme="edge", path="index", parameters={"vector": "sparse", "dense": "text"}),
        ),
        (
            "qdrant://localhost/articles",
            Target(scheme="qdrant", host="localhost", path="articles"),
        ),
        (
            "qdrant://localhost:6333/articles",
            Target(scheme="qdrant", host="localhost", port=6333, path="articles"),
        ),
        (
            "qdrant+https://db.example.org/articles",
            Target(scheme="qdrant", transport="https", host="db.example.org", path="articles"),
        ),
        (
            "qdrant+grpc://localhost:6334/articles?vector=sparse",
            Target(
                scheme="qdrant",
                transport="grpc",
                host="localhost",
                port=6334,
                path="articles",
                parameters={"vector": "sparse"},
            ),
        ),
        (
            "elasticsearch://localhost:9200/articles?field=splade&kind=rank_features",
            Target(
                scheme="elasticsearch",
                host="localhost",
                port=9200,
                path="articles",
                parameters={"field": "splade", "kind": "rank_features"},
            ),
        ),
        (
            "elasticsearch+https://localhost/articles/",
            Target(scheme="elasticsearch", transport="https", host="localhost", path="articles"),
        ),
        (
            "opensearch+https://localhost:9200/articles?dense=v",
            Target(
                scheme="opensearch",
                transport="https",
                host="localhost",
                port=9200,
                path="articles",
                parameters={"dense": "v"},
            ),
        ),
        (
            "qdrant://[::1]:6333/articles",
            Target(scheme="qdrant", host="::1", port=6333, path="articles"),
        ),
        ("qdrant://LOCALHOST/Articles", Target(scheme="qdrant", host="localhost", path="Articles")),
        (
            "qdrant://localhost/my%20articles%231",
            Target(scheme="qdrant", host="localhost", path="my articles#1"),
        ),
        (
            "elasticsearch://us%40er:p%2Fa%3Ass@localhost/articles",
            Target(
                scheme="elasticsearch",
                host="localhost",
                path="articles",
                username="us@er",
                password="p/a:ss",
            ),
        ),
        (
            "elasticsearch+https://example.org:8443/search/v1/articles?field=s",
            Target(
                scheme="elasticsearch",
                transport="https",
                host="example.org",
                port=8443,
                prefix="search/v1",
                path="articles",
                parameters={"field": "s"},
            ),
        ),
        (
            "edge:index?vector=my%20vector",
            Target(scheme="edge", path="index", parameters={"vector": "my vector"}),
        ),
    ],
)
def test_a_target_is_read(text: str, target: Target) -> None:
    assert parse_target(text) == target


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", r"'' is not a target; targets look like edge:PATH, qdrant://HOST:6333/COLLECTION"),
        ("articles", "'articles' is not a target; targets look like"),
        (":articles", "':articles' is not a target"),
        ("edge:", r"edge: needs the folder of the store, e\.g\. edge:\./my-index"),
        ("edge:?vector=a", "edge: needs the folder of the store"),
        ("edge://localhost/x", "an embedded target has no host: write edge:PATH"),
        ("edge+https:x", r"an embedded target is written edge:PATH, not edge\+https:PATH"),
        ("http://localhost:9200/x", r"of a target must name a database, not 'http': write elastic"),
        ("https://localhost/x", r"not 'https'.*qdrant\+https://HOST/COLLECTION"),
        ("qdrant:localhost/x", "qdrant://… has no host; targets look like"),
        ("qdrant:///x", "qdrant://… has no host"),
        ("localhost:6333/x", "localhost://… has no host"),
        (
            "qdrant://localhost",
            r"must be followed by the name of one collection or index, .*: qdrant://localhost/NAME",
        ),
        ("qdrant://localhost/", "must be followed by the name of one collection or index"),
        ("qdrant://localhost/a//b", "must be followed by the name of one collection or index"),
        ("qdrant://localhost/a%2Fb", "must be followed by the name of one collection or index"),
        ("qdrant://localhost/a#1", "write # in a name as %23"),
        ("qdrant://localhost:http/x", "its host or port cannot be parsed"),
        ("qdrant://localhost:99999/x", "its host or port cannot be parsed"),
        ("qdrant://[::1/x", "its host or port cannot be parsed"),
        ("edge:x?vectr=a", "unknown target parameter 'vectr'; known: dense, field, kind"),
        ("qdrant://localhost/x?api_key=1", "unknown target parameter 'api_key'"),
    ],
)
def test_anything_else_is_refused_with_a_sentence(text: str, sentence: str) -> None:
    with pytest.raises(ConfigurationError, match=sentence):
        parse_target(text)


@pytest.mark.parametrize(
    "text",
    [
        f"elasticsearch://user:{SECRET}@localhost:9200/articles",
        f"elasticsearch+https://user:{SECRET}@localhost/articles?field=splade",
        f"qdrant://:{SECRET}@localhost/articles",
    ],
)
def test_a_secret_is_kept_and_never_shown(text: str) -> None:
    target = parse_target(text)
    assert target.password == SECRET
    assert SECRET not in str(target)
    assert SECRET not in repr(target)
    assert "user" not in str(target)


@pytest.mark.parametrize(
    "text",
    [
        f"elasticsearch://user:{SECRET}@localhost:port/articles",
        f"elasticsearch://user:{SECRET}@localhost",
        f"elasticsearch://user:{SECRET}@/articles",
        f"elasticsearch://user:{SECRET}@localhost/articles?nonsense=1",
        f"http://user:{SECRET}@localhost/articles",
        # Special characters that should have been percent-encoded: the library's own message
        # takes what stands before them for the port, or for an address.
        f"elasticsearch://user:{SECRET}/x@localhost/articles",
        f"elasticsearch://user:{SECRET}?x@localhost/articles",
        f"elasticsearch://user:{SECRET}#x@localhost/articles",
        f"elasticsearch://user:[{SECRET}]@localhost/articles",
        f"elasticsearch://user:{SECRET}\u2100@localhost/articles",
        f"user:{SECRET}@localhost/articles",
    ],
)
def test_a_secret_is_not_in_the_error_either(text: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        parse_target(text)
    error: BaseException | None = caught.value
    assert SECRET not in str(error)
    # What a traceback would print.
    while error is not None:
        assert SECRET not in str(error)
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)


@pytest.mark.parametrize(
    "text",
    [
        "edge:/var/lib/index",
        "qdrant://localhost/articles",
        "qdrant+grpc://localhost:6334/articles",
        "elasticsearch+https://[2001:db8::1]:9200/articles",
    ],
)
def test_the_text_of_a_target_can_be_read_again(text: str) -> None:
    assert str(parse_target(text)) == text


@given(st.text(max_size=40))
def test_any_text_is_a_target_or_refused(text: str) -> None:
    for candidate in (text, f"qdrant:{text}", f"qdrant://{text}", f"edge:{text}"):
        try:
            found: object = parse_target(candidate)
        except ConfigurationError as error:
            found = error
        assert str(found)


@given(st.text(min_size=1, max_size=20), st.text(max_size=10))
def test_percent_encoded_names_come_back(name: str, value: str) -> None:
    from urllib.parse import quote

    quoted, parameter = quote(name, safe=""), quote(value, safe="")
    assert parse_target(f"edge:{quoted}?vector={parameter}") == Target(
        scheme="edge", path=name, parameters={"vector": value}
    )


def test_parameters_may_be_given_as_keywords(tmp_path: Any) -> None:
    with connect(f"edge:{tmp_path}/x?vector=a", vector="b", dense="c") as store:
        backend: Any = store._session.backend
        assert (backend.address.vector, backend.address.dense) == ("b", "c")


def test_a_misspelled_keyword_is_refused(tmp_path: Any) -> None:
    with pytest.raises(ConfigurationError, match="unknown target parameter 'vectr'"):
        connect(f"edge:{tmp_path}/x", vectr="b")


def test_a_target_with_a_collection_beside_it_is_refused(tmp_path: Any) -> None:
    with pytest.raises(ConfigurationError, match="the target already names its collection"):
        connect(f"edge:{tmp_path}/x", "articles")


def test_a_scheme_that_no_adapter_serves_is_refused_with_those_installed() -> None:
    with pytest.raises(ConfigurationError, match=r"'mydb'; installed adapters: edge, el.*qdrant"):
        connect("mydb://localhost/articles")


@pytest.mark.parametrize("parameter", ["field", "kind"])
def test_parameters_of_elasticsearch_are_refused_for_qdrant(parameter: str, tmp_path: Any) -> None:
    sentence = f"{parameter}= is for Elasticsearch; on Qdrant .* with vector=NAME"
    with pytest.raises(ConfigurationError, match=sentence):
        connect(f"edge:{tmp_path}/x?{parameter}=a")


def test_an_unknown_transport_is_refused() -> None:
    with pytest.raises(
        ConfigurationError, match=r"unknown scheme qdrant\+ftp: write qdrant, qdrant"
    ):
        connect("qdrant+ftp://localhost/x")


@pytest.mark.parametrize("client", [object(), 5, None, ["edge:x"]])
def test_what_is_neither_target_nor_client_is_refused(client: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"cannot connect with a .*pass a target such as"):
        connect(client, "articles")


def test_a_client_needs_a_collection_and_the_right_function() -> None:
    from qdrant_client import AsyncQdrantClient, QdrantClient

    with pytest.raises(ConfigurationError, match=r"your QdrantClient needs a collection name"):
        connect(QdrantClient(":memory:"))
    with pytest.raises(ConfigurationError, match=r"AsyncQdrantClient needs await aconnect"):
        connect(AsyncQdrantClient(":memory:"), "articles")


async def test_a_blocking_client_is_refused_by_aconnect() -> None:
    from qdrant_client import QdrantClient

    with pytest.raises(ConfigurationError, match=r"your QdrantClient needs connect"):
        await aconnect(QdrantClient(":memory:"), "articles")


@pytest.mark.parametrize("scheme", ["opensearch+https", "elasticsearch+https"])
def test_amazons_serverless_is_refused_in_a_sentence(scheme: str) -> None:
    host = "abc.eu-central-1.aoss.amazonaws.com"
    with pytest.raises(NotSupported, match="Amazon OpenSearch Serverless is not supported: it acc"):
        connect(f"{scheme}://{host}/articles")


def test_a_blocking_opensearch_keeps_a_connection_for_each_of_ten_threads(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """By itself the client keeps one, and threads open and close the others all the time."""
    import opensearchpy

    made: list[Any] = []

    class Kept(opensearchpy.OpenSearch):  # type: ignore[misc]
        def __init__(self, **arguments: Any) -> None:
            super().__init__(**arguments)
            made.append(self)

    monkeypatch.setattr(opensearchpy, "OpenSearch", Kept)
    with connect("opensearch://localhost:1/articles"):
        assert made[0].transport.get_connection().pool.pool.maxsize == 10


def test_amazons_serverless_is_refused_of_a_client_too() -> None:
    from opensearchpy import OpenSearch

    hosts = [{"host": "abc.eu-central-1.aoss.amazonaws.com", "port": 443}]
    with pytest.raises(NotSupported, match="Amazon OpenSearch Serverless is not supported"):
        connect(OpenSearch(hosts, use_ssl=True), "articles")


def test_grpc_has_no_path_before_the_collection() -> None:
    with pytest.raises(ConfigurationError, match="gRPC has no path prefix before the collection"):
        connect("qdrant+grpc://localhost/search/articles")
