"""Requests stay below what servers take; what no request can hold is rejected unsent."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from qdrant_client import models

from splade_connectors import Document, Store, WriteOptions, connect
from splade_connectors.options import AttachOptions
from splade_connectors.testing import HashEncoder
from tests.fronts import QdrantGrpcFront, QdrantRestFront
from tests.integration.qdrant_place import place
from tests.integration.test_filters import SERVERS, index_of_owner

_MORE = "requests of 5 MB on 7.17.29 and OpenSearch; CI has them on 9.3.2 and Qdrant's fronts"
PLACES = [
    *("edge", "rest-sync", "grpc-sync"),
    pytest.param("elasticsearch-9.3.2", marks=pytest.mark.servers),
    *(
        pytest.param(name, marks=[pytest.mark.servers, pytest.mark.full(_MORE)])
        for name in ("elasticsearch-7.17.29", "opensearch-3.6.0")
    ),
]


@contextmanager
def opened(name: str, request: pytest.FixtureRequest, folder: Path) -> Iterator[Store]:
    """An empty store at a place."""
    if name == "edge":
        with connect(f"edge:{folder / 'shard'}", encoder=HashEncoder()) as store:
            yield store
    elif name in SERVERS:
        url = request.getfixturevalue(SERVERS[name]).rstrip("/")
        with (
            index_of_owner(url, name.partition("-")[0], {}) as there,
            connect(there, encoder=HashEncoder()) as store,
        ):
            yield store
    else:
        with place(name) as there, connect(there.target, encoder=HashEncoder()) as store:
            yield store


@contextmanager
def measured(store: Store) -> Iterator[list[int]]:
    """Sizes of the requests with documents, as they are sent."""
    sizes: list[int] = []
    before = store._opened

    def send(request: Any) -> Any:
        if request.has_documents:
            sizes.append(len(json.dumps(request.body, ensure_ascii=False).encode()))
        return before.send(request)

    store._opened = replace(before, send=send)
    yield sizes
    store._opened = before


def large(id: int, length: int, mark: str = "x") -> Document:
    """A document with a payload of so many characters."""
    drawn = random.Random(id)
    words = " ".join(f"{mark}{drawn.getrandbits(64):x}" for _ in range(length // 17))
    return Document(id=id, text=f"salt and water {id}", payload={"n": id, "page": words})


@pytest.mark.parametrize("name", PLACES)
def test_large_payloads_travel_in_several_requests(
    name: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    documents = [large(number, 700_000, "é") for number in range(1, 9)] + [large(9, 5_200_000)]
    with opened(name, request, tmp_path) as store:
        with measured(store) as sizes:
            report = store.index(documents)
        assert (report.written, report.rejected, report.retries) == (len(documents), [], 0)
        # One is larger than a request should be, and travels alone.
        assert sum(size > 5_100_000 for size in sizes) == 1
        assert max(sizes) < 6_500_000
        # Throughput: requests are as full as they may be.
        assert len(sizes) <= 4
        for document in documents:
            (found,) = store.get([document.id])
            assert found.payload["page"] == document.payload["page"]


@pytest.mark.parametrize(
    ("name", "limit"),
    [("rest-sync", 31), *(pytest.param(name, 99, marks=pytest.mark.servers) for name in SERVERS)],
)
def test_what_no_request_can_hold_is_rejected_unsent(
    name: str, limit: int, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    huge = Document(id=1, text="salt", payload={"page": "x" * (limit * 2**20)})
    with opened(name, request, tmp_path) as store:
        with measured(store) as sizes:
            report = store.index([huge, large(2, 100)])
        assert (report.written, report.rejected_count) == (1, 1)
        assert max(sizes) < 10_000
        assert report.rejected[0].reason == (
            f"the document takes {limit * 2**20 / 1e6:,.1f} MB in a request, but the server "
            f"accepts at most {limit * 2**20 / 1e6:,.1f} MB; index passages of it "
            "(docs/passages.md), or pass the limit that the server is configured with "
            "(--max-request-bytes)"
        )


def test_a_server_with_a_smaller_limit_is_found_out_by_halves(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a server refuses as too large is halved until it fits; one too large is rejected."""
    with opened("rest-sync", request, tmp_path) as store:
        monkeypatch.setattr("tests.fronts.qdrant_rest.MAX_REQUEST_BYTES", 2**20)
        options = WriteOptions(max_request_bytes=10**9, max_chunk_bytes=10**9)
        documents = [large(number, 300_000) for number in range(1, 6)] + [large(6, 1_100_000)]
        report = store.index(documents, options=options)
        assert (report.written, report.rejected_count) == (5, 1)
        assert "is larger than allowed (limit: 1048576 bytes)" in report.rejected[0].reason


def test_over_grpc_a_message_that_is_too_long_is_halved() -> None:
    with QdrantGrpcFront(max_message_bytes=4 * 2**20) as front:
        target = f"qdrant+grpc://{front.host}/articles"
        with connect(target, encoder=HashEncoder()) as store:
            report = store.index([large(number, 1_500_000) for number in (1, 2, 3)])
            assert (report.written, report.retries) == (3, 0)
            report = store.index([large(4, 4_500_000), large(5, 1_000)])
        assert (report.written, report.rejected_count, report.retries) == (1, 1, 0)
        assert "refused the request (413)" in report.rejected[0].reason


def test_a_copy_is_written_in_requests_of_a_bounded_size() -> None:
    with QdrantRestFront(version="1.17.0") as front:
        client = front.engine.client
        client.create_collection("articles", {})
        for number in range(8):
            document = large(number, 900_000)
            payload = {**document.payload, "title": document.text}
            point = models.PointStruct(id=number, vector={}, payload=payload)
            client.upsert("articles", [point])
        options = AttachOptions(copy_to="articles-2")
        with connect(f"qdrant://{front.host}/articles", encoder=HashEncoder()) as store:
            report = store.attach(["title"], options=options)
        assert report.copy is not None
        assert (report.copy.written, report.copy.equal, report.attached) == (8, True, 8)
        upserts = [
            len(json.dumps(found.body))
            for found in front.requests
            if found.method == "PUT" and found.path.partition("?")[0].endswith("/points")
        ]
        assert len(upserts) == 2
        assert max(upserts) < 5_100_000
