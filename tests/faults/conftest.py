"""Fixtures: the worlds, and the jobs that run in them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.faults.jobs import JOBS, Job
from tests.faults.worlds import ElasticsearchWorld, QdrantWorld, World
from tests.fronts import QdrantRestFront
from tests.servers import ElasticsearchServer
from tests.servers.fixtures import skip_when_unavailable

_URLS = {"elasticsearch-9": "elasticsearch_url", "elasticsearch-7": "rank_features_url"}
_SERVERS = [pytest.param(name, marks=pytest.mark.servers) for name in _URLS]
_QDRANTS = ["qdrant-front", *(["qdrant-server"] if os.environ.get("QDRANT_URL") else [])]


@pytest.fixture(params=[*_SERVERS, *_QDRANTS])
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    """A collection on each of the servers."""
    with _world(request.param, request) as made:
        yield made


@pytest.fixture(params=_SERVERS)
def elasticsearch(request: pytest.FixtureRequest) -> Iterator[ElasticsearchWorld]:
    """An index on each of the Elasticsearch servers."""
    with _world(request.param, request) as made:
        assert isinstance(made, ElasticsearchWorld)
        yield made


@pytest.fixture(scope="module")
def mortal() -> Iterator[ElasticsearchServer]:
    """A server for one module of tests alone, which may kill it, or fill its disk."""
    with skip_when_unavailable():
        server = ElasticsearchServer.start(heap="512m")
    with server:
        yield server


@pytest.fixture(params=list(JOBS))
def job(request: pytest.FixtureRequest) -> Job:
    """The verb under test."""
    return JOBS[request.param]


@contextmanager
def _world(place: str, request: pytest.FixtureRequest) -> Iterator[World]:
    if place in _URLS:
        made: World = ElasticsearchWorld(request.getfixturevalue(_URLS[place]))
        yield made
        made.close()
    elif place == "qdrant-server":
        made = QdrantWorld(os.environ["QDRANT_URL"])
        yield made
        made.close()
    else:
        with QdrantRestFront() as front:
            made = QdrantWorld(front.url)
            yield made
            made.close()
