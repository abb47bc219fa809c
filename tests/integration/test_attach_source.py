"""Vectors that `_source` leaves out: whether an update keeps them, and that attach knows it."""

from __future__ import annotations

from typing import Any

import pytest

from splade_connectors.errors import AttachRefused
from splade_elasticsearch.dialect import ELASTICSEARCH
from tests.integration.elasticsearch_server import Server, server_of

pytestmark = pytest.mark.servers

VECTORS = ("dense", "sparse")
PROPERTIES = {
    "title": {"type": "text"},
    "dense": {"type": "dense_vector", "dims": 2, "index": True, "similarity": "dot_product"},
    "sparse": {"type": "sparse_vector"},
}


@pytest.fixture(params=["9.3.2", "8.19.21"])
def server(request: pytest.FixtureRequest) -> Any:
    with server_of(request.param, request) as found:
        yield found


def filled(server: Server) -> str:
    """An index whose owner keeps vectors out of `_source`."""
    name = server.new_name()
    mapping = {"_source": {"excludes": list(VECTORS)}, "properties": PROPERTIES}
    server.call("PUT", f"/{name}", {"mappings": mapping})
    source = {"title": "the tide", "dense": [0.6, 0.8], "sparse": {"tide": 1.5}}
    server.put(name, {"1": source})
    return name


def kept(server: Server, name: str) -> bool:
    """Whether the document still has its vectors."""
    server.call("POST", f"/{name}/_refresh")
    counts = {
        server.call("POST", f"/{name}/_count", {"query": {"exists": {"field": field}}})["count"]
        for field in VECTORS
    }
    (count,) = counts  # both or none
    return bool(count)


def test_an_update_keeps_them_from_the_version_that_the_survey_names(server: Server) -> None:
    name = filled(server)
    assert kept(server, name)
    server.call("POST", f"/{name}/_update/1", {"doc": {"title": "the moon"}})
    assert kept(server, name) == ELASTICSEARCH.keeps_vectors_apart(server.version)


def test_attach_is_refused_where_they_would_be_lost(server: Server) -> None:
    name = filled(server)
    with server.store(name) as store:
        if ELASTICSEARCH.keeps_vectors_apart(server.version):
            assert store.attach(["title"]).attached == 1
        else:
            with pytest.raises(AttachRefused, match="omits 'dense', 'sparse', which an up"):
                store.attach(["title"])
    assert kept(server, name)
