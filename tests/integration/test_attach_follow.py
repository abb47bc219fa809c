"""`attach --follow`: what others write gets its vectors, at a bounded cost, until Ctrl-C."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager

import pytest
from qdrant_client import models

from tests.fronts import QdrantRestFront
from tests.integration.command_line import running
from tests.integration.elasticsearch_server import BOTH_KINDS, Server, server_of

INTERVAL_S = 0.5
IDLE_S = 3.0
WITHIN_S = 90.0


class Place(ABC):
    """A collection that others write to.

    Attributes:
        target: of it.
        look: how `requests` calls the request that counts what lacks its vector.
    """

    target: str
    look: str

    @abstractmethod
    def put(self, id: int, title: str | None) -> None:
        """A document of its owner; None for one without text."""

    @abstractmethod
    def attached(self) -> int:
        """Documents with a vector of ours."""

    @abstractmethod
    def requests(self) -> Counter[str]:
        """What was asked for until now, except by this test."""


class Collection(Place):
    """Qdrant, behind a front."""

    look = "POST /collections/articles/points/count"

    def __init__(self, front: QdrantRestFront) -> None:
        self._front = front
        self._client = front.engine.client
        self._client.create_collection(
            "articles", models.VectorParams(size=2, distance=models.Distance.DOT)
        )
        self.target = f"qdrant://{front.host}/articles"

    def put(self, id: int, title: str | None) -> None:
        payload = {} if title is None else {"title": title}
        point = models.PointStruct(id=id, vector=[0.5, 2.0], payload=payload)
        self._front.engine.run(lambda: self._client.upsert("articles", [point]))

    def attached(self) -> int:
        has = models.Filter(must=[models.HasVectorCondition(has_vector="splade")])
        found = self._front.engine.run(lambda: self._client.count("articles", has))
        return found.count

    def requests(self) -> Counter[str]:
        return Counter(f"{found.method} {found.path}" for found in self._front.requests)


class Index(Place):
    """Elasticsearch; it counts by itself what its shard was asked for."""

    look = "search"

    def __init__(self, server: Server) -> None:
        self._server = server
        self._name = server.new_name()
        properties = {"title": {"type": "text"}}
        settings = {"number_of_shards": 1, "refresh_interval": -1}
        body = {"mappings": {"properties": properties}, "settings": settings}
        server.call("PUT", f"/{self._name}", body)
        self.target = server.target(self._name)

    def put(self, id: int, title: str | None) -> None:
        body = {} if title is None else {"title": title}
        self._server.call("PUT", f"/{self._name}/_doc/{id}", body)

    def attached(self) -> int:
        # By id: counting would be counted.
        ids = {"ids": [str(id) for id in range(20)]}
        found = self._server.call("POST", f"/{self._name}/_mget", ids)["docs"]
        return sum("splade_marker" in item.get("_source", {}) for item in found)

    def requests(self) -> Counter[str]:
        stats = self._server.call("GET", f"/{self._name}/_stats")["_all"]["primaries"]
        search, written = stats["search"], stats["indexing"]["index_total"]
        # A page that is read is a search, too: there would be two of them in a round.
        return Counter(search=search["query_total"], scroll=search["scroll_total"], write=written)


@pytest.fixture(
    params=["rest", *(pytest.param(kind, marks=pytest.mark.servers) for kind in BOTH_KINDS)]
)
def place(request: pytest.FixtureRequest) -> Iterator[Place]:
    if request.param == "rest":
        with QdrantRestFront() as front:
            yield Collection(front)
        return
    with server_of(request.param, request) as server:
        yield Index(server)


def following(place: Place, interval_s: float) -> AbstractContextManager[subprocess.Popen[str]]:
    options = ["--text", "title", "--follow", "--json", "--interval", str(interval_s)]
    return running("attach", place.target, *options)


def wait_for(condition: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + WITHIN_S
    while not condition():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_what_arrives_gets_its_vector_and_waiting_costs_little(place: Place) -> None:
    for id in range(4):
        place.put(id, f"the tide number {id}")
    with following(place, INTERVAL_S) as process:
        wait_for(lambda: place.attached() == 4, process)
        for id in range(4, 7):
            place.put(id, f"a late moon number {id}")
        place.put(7, None)
        wait_for(lambda: place.attached() == 8, process)
        time.sleep(2 * INTERVAL_S)  # the pass that brought the last one ends
        before, began = place.requests(), time.monotonic()
        time.sleep(IDLE_S)
        asked = place.requests() - before
        rounds = (time.monotonic() - began) / INTERVAL_S + 1
        # One count a round: nothing is read, nothing is written.
        assert set(asked) == {place.look}
        assert asked.total() <= rounds
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=30)
    assert process.returncode == 130
    report = json.loads(out)
    assert (report["attached"], report["empty"], report["interrupted"]) == (8, 1, True)
    assert report["encoded"] == 7
    assert err.startswith("error: stopped: vectors attached to 8 documents so far")
    assert err.count("\n") == 1


def test_ctrl_c_does_not_wait_for_the_next_look() -> None:
    with QdrantRestFront() as front:
        place = Collection(front)
        place.put(1, "the tide")
        with following(place, 600.0) as process:
            wait_for(lambda: place.attached() == 1, process)
            time.sleep(1.0)
            began = time.monotonic()
            process.send_signal(signal.SIGINT)
            out, _ = process.communicate(timeout=30)
        assert process.returncode == 130
        assert json.loads(out)["attached"] == 1
        assert time.monotonic() - began < 10
