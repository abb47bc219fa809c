"""Names of indices, collections, fields and vectors: refused before anything is sent."""

from __future__ import annotations

from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from splade_connectors import connect
from splade_connectors.errors import ConfigurationError
from splade_connectors.operations.attach import AttachOptions
from splade_connectors.testing import HashEncoder
from splade_lucene.schema import check_field_name, check_index_name
from splade_qdrant.names import check_collection_name, check_vector_name

INDEX_NAMES = [
    ("", "is empty"),
    ("Articles", "index names must be lowercase: write 'articles'"),
    ("_all", "must not start with -, _ or +"),
    ("_search", "must not start with"),
    ("-articles", "must not start with"),
    ("+articles", "must not start with"),
    (".", "must not be . or .., and may have at most 255 bytes"),
    ("..", "must not be . or .."),
    ("articles*", r"refused: '\*' is not allowed"),
    ("a,b", "refused: ',' is not allowed"),
    ("a/b", "refused: '/' is not allowed"),
    ("../_cluster", "refused: '/' is not allowed"),
    ("a\\b", r"refused: '\\\\' is not allowed"),
    ("a?b", r"refused: '\?' is not allowed"),
    ("a#b", "refused: '#' is not allowed"),
    ("remote:a", "refused: ':' is not allowed"),
    ("<a-{now/d}>", "refused: '/' is not allowed"),
    ("a b", "refused: ' ' is not allowed"),
    ('a"b', "refused: '\"' is not allowed"),
    ("a\nb", "contains an unprintable character"),
    ("a\x00", "contains an unprintable character"),
    ("a\x7f", "contains an unprintable character"),
    ("ä" * 128, "at most 255 bytes"),
]
FIELD_NAMES = [
    ("", "the field name '' is refused"),
    (" ", "is refused"),
    ("_source", "is refused"),
    ("a.b", "is refused"),
    ("a*", "is refused"),
    ("a,b", "is refused"),
    ("a\tb", "unprintable characters"),
    ("ä" * 128, "longer than 255 bytes"),
]
COLLECTION_NAMES = [
    ("", "the collection name '' is refused: it is empty"),
    (".", "it would refer to another folder"),
    ("..", "it would refer to another folder"),
    *((f"a{bad}b", "is not allowed in it") for bad in '<>:"/\\|?*#%'),
    ("../aliases", "'/' is not allowed"),
    ("a%2Fb", "'%' is not allowed"),
    ("a\nb", "it contains an unprintable character"),
    ("a\x00", "it contains an unprintable character"),
    ("a\x1f", "it contains an unprintable character"),
    ("a\u2028b", "it contains an unprintable character"),
    ("ä" * 128, "longer than 255 bytes"),
]
VECTOR_NAMES = [
    ("", "the vector name '' is refused: it is empty"),
    ("..", "it would refer to another folder"),
    *((f"a{bad}b", "is not allowed in it") for bad in "/\\?#%"),
    ("a\nb", "it contains an unprintable character"),
    ("a" * 241, "longer than 240 bytes"),
]


@pytest.mark.parametrize("scheme", ["elasticsearch", "opensearch"])
@pytest.mark.parametrize(("name", "sentence"), INDEX_NAMES)
def test_names_that_no_index_has(scheme: str, name: str, sentence: str) -> None:
    with pytest.raises(ConfigurationError, match=sentence):
        check_index_name(name)
    # Percent-encoded, as a target can hold it; what has no name, or two, is not a target at all.
    with pytest.raises(ConfigurationError):
        connect(f"{scheme}://localhost/{quote(name, safe='')}", encoder=HashEncoder())


@pytest.mark.parametrize("parameter", ["field", "dense"])
@pytest.mark.parametrize("scheme", ["elasticsearch", "opensearch"])
@pytest.mark.parametrize(("name", "sentence"), FIELD_NAMES)
def test_names_that_no_field_has(scheme: str, parameter: str, name: str, sentence: str) -> None:
    with pytest.raises(ConfigurationError, match=sentence):
        check_field_name(name)
    target = f"{scheme}://localhost/articles?{parameter}={quote(name, safe='')}"
    with pytest.raises(ConfigurationError, match=sentence):
        connect(target, encoder=HashEncoder())


@pytest.mark.parametrize("scheme", ["qdrant", "qdrant+grpc"])
@pytest.mark.parametrize(("name", "sentence"), COLLECTION_NAMES)
def test_names_that_no_collection_has(scheme: str, name: str, sentence: str) -> None:
    with pytest.raises(ConfigurationError, match=sentence):
        check_collection_name(name)
    with pytest.raises(ConfigurationError):
        connect(f"{scheme}://localhost/{quote(name, safe='')}", encoder=HashEncoder())


@pytest.mark.parametrize("place", ["edge:folder", "qdrant://localhost/articles"])
@pytest.mark.parametrize(("name", "sentence"), VECTOR_NAMES)
def test_names_that_no_vector_has(place: str, name: str, sentence: str) -> None:
    with pytest.raises(ConfigurationError, match=sentence):
        check_vector_name(name)
    with pytest.raises(ConfigurationError, match=sentence):
        connect(f"{place}?vector={quote(name, safe='')}", encoder=HashEncoder())


def test_names_of_a_clients_owner_are_checked_too() -> None:
    from elasticsearch import Elasticsearch
    from qdrant_client import QdrantClient

    client = QdrantClient(":memory:")
    with pytest.raises(ConfigurationError, match=r"collection name '\.\./x' is refused"):
        connect(client, "../x")
    with pytest.raises(ConfigurationError, match="vector name 'a/b' is refused"):
        connect(client, "articles", vector="a/b")
    with (
        Elasticsearch("http://localhost:1") as other,
        pytest.raises(ConfigurationError, match="must not start"),
    ):
        connect(other, "_all")


def test_the_copy_and_its_alias_are_checked() -> None:
    from qdrant_client import QdrantClient, models

    client = QdrantClient(":memory:")
    client.create_collection("a", models.VectorParams(size=2, distance=models.Distance.COSINE))
    with connect(client, "a", encoder=HashEncoder()) as store:
        with pytest.raises(ConfigurationError, match="collection name 'b/c' is refused"):
            store.attach(["text"], options=AttachOptions(copy_to="b/c"))
        with pytest.raises(ConfigurationError, match="name 'x#y' is refused"):
            store.attach(["text"], options=AttachOptions(copy_to="b", switch_alias="x#y"))
    assert [found.name for found in client.get_collections().collections] == ["a"]


@pytest.mark.parametrize(
    ("check", "names"),
    [
        (check_index_name, ["articles", ".hidden", "a-b_c+1", "a%2fb", "日本", "a" * 255, "a..b"]),
        (check_field_name, ["splade", "a b", "a-b", "ä", "a/b"]),
        (
            check_collection_name,
            ["articles", "Articles", "my articles", "a.b", "-a", "日本", "a" * 255],
        ),
        (check_vector_name, ["splade", "text:v2", "my vector", "a.b", "a" * 240]),
    ],
)
def test_names_that_are_fine(check: object, names: list[str]) -> None:
    assert callable(check)
    for name in names:
        check(name)


@given(st.text(max_size=300))
def test_what_is_accepted_stays_one_segment_of_a_path(name: str) -> None:
    for check in (check_collection_name, check_vector_name):
        try:
            check(name)
        except ConfigurationError:
            continue
        assert not set("/\\?#%\x00\r\n") & set(name)
        assert name not in ("", ".", "..")
