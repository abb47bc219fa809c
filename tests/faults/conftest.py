"""Fixtures: the worlds, and the jobs that run in them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.faults.jobs import JOBS, Job
from tests.faults.worlds import ElasticsearchWorld, QdrantWorld, World
from tests.fronts import QdrantRestFront

_HERE = Path(__file__).parent
_URLS = {"elasticsearch-9": "elasticsearch_url", "elasticsearch-7": "rank_features_url"}
_SERVERS = [pytest.param(name, marks=pytest.mark.servers) for name in _URLS]
_QDRANTS = ["qdrant-front", *(["qdrant-server"] if os.environ.get("QDRANT_URL") else [])]

# 9.3.2 has all tests in `make test`, the others those in which something of their own takes part:
# 7.17.29 shares its code with 9.3.2, but for fields and answers; Qdrant has a client of its own.
# Test -> jobs, and seeds where there are several.
_AT_THE_EDGES: dict[str, dict[str, tuple[str, ...]]] = {
    "elasticsearch-7": {
        "test_without_faults": ("index", "attach"),
        "test_connections_that_are_reset": ("attach",),
        "test_items_that_fail_inside_an_answer_of_200": ("index", "attach"),
        "test_a_block_in_the_middle": ("attach",),
        "test_a_value_that_does_not_fit_its_field": ("",),
    },
    "qdrant-front": {
        "test_without_faults": ("index", "attach"),
        "test_connections_that_are_reset": ("index", "attach"),
        "test_answers_cut_in_half": ("index", "attach"),
        "test_a_server_that_is_too_busy": ("index", "attach"),
        "test_the_time_that_a_busy_server_asks_for": ("index",),
        "test_a_server_that_is_away_for_a_while": ("attach",),
        "test_slow_answers": ("attach",),
        "test_a_limit_of_100_kb": ("index", "attach"),
        "test_a_document_that_is_refused_with_its_whole_chunk": ("",),
        "test_a_process_that_is_killed": ("attach",),
        "test_what_is_in_flight_arrives": ("index", "attach"),
        "test_a_second_one_does_not_wait": ("attach",),
    },
}
_ELSEWHERE = "failures on {}, of which 9.3.2 has all"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The matrix of failures is in full on one server, and at the edges on the others."""
    for item in items:
        if not isinstance(item, pytest.Function) or not item.path.is_relative_to(_HERE):
            continue
        given = item.callspec.params if hasattr(item, "callspec") else {}
        place = given.get("world") or given.get("elasticsearch")
        if place not in _AT_THE_EDGES:
            continue
        jobs = _AT_THE_EDGES[place].get(item.originalname, ())
        if given.get("job", "") not in jobs or given.get("seed", 0) != 0:
            item.add_marker(pytest.mark.full(_ELSEWHERE.format(place)))


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
