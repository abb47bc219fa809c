"""Attaching to an OpenSearch index: read by scroll, detached by script."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from splade_connectors import AttachOptions, Store, WriteOptions, aconnect, connect
from splade_connectors.testing import HashEncoder, assert_same_ranking, exact_scores

pytestmark = pytest.mark.servers

FIELDS = ("title", "parts.text")
COUNT = 120


def source(number: int) -> dict[str, Any]:
    return {
        "title": f"tide and moon {number}",
        "parts": [{"text": f"bread {number % 7}"}, {"text": "the end"}],
        "price": number / 7,
        "vec": [1.0, number / 8, -0.5, 2.0],
    }


def text(number: int) -> str:
    return f"tide and moon {number} bread {number % 7} the end"


@dataclass(frozen=True)
class Index:
    """An index of its owner, with dense vectors."""

    client: httpx.Client
    name: str
    target: str

    def open(self) -> Store:
        return connect(self.target, encoder=HashEncoder())

    def documents(self) -> dict[str, Any]:
        self.client.post(f"/{self.name}/_refresh")
        answer = self.client.post(f"/{self.name}/_search", json={"size": 1000})
        return {hit["_id"]: hit["_source"] for hit in answer.json()["hits"]["hits"]}

    def theirs(self) -> dict[str, Any]:
        return {
            id: {name: value for name, value in found.items() if not name.startswith("splade")}
            for id, found in self.documents().items()
        }


@pytest.fixture
def index(opensearch_url: str) -> Iterator[Index]:
    name = f"splade-attach-{uuid.uuid4().hex}"
    url = opensearch_url.rstrip("/")
    method = {"name": "hnsw", "engine": "lucene", "space_type": "cosinesimil"}
    properties = {"vec": {"type": "knn_vector", "dimension": 4, "method": method}}
    body = {
        "settings": {"index.knn": True, "number_of_shards": 2},
        "mappings": {"_meta": {"team": "search"}, "properties": properties},
    }
    with httpx.Client(base_url=url, timeout=60, trust_env=False) as client:
        assert client.put(f"/{name}", json=body).is_success
        lines = [
            line
            for number in range(COUNT)
            for line in ({"index": {"_id": str(number)}}, source(number))
        ]
        content = "".join(f"{json.dumps(line)}\n" for line in lines)
        headers = {"content-type": "application/x-ndjson"}
        answer = client.post(f"/{name}/_bulk?refresh=true", content=content, headers=headers)
        assert not answer.json()["errors"]
        yield Index(client, name, f"{url.replace('http', 'opensearch', 1)}/{name}")
        client.delete(f"/{name}")


def test_attached_verified_and_detached_without_a_trace(index: Index) -> None:
    before = index.documents()
    small = AttachOptions(write=WriteOptions(portion_documents=30, chunk_documents=10))
    with index.open() as store:
        report = store.attach(FIELDS, options=small)
        assert (report.attached, report.rejected_count) == (COUNT, 0)
        assert index.theirs() == before
        encoder = HashEncoder()
        vectors = encoder.encode_documents([text(number) for number in range(COUNT)])
        exact = exact_scores(encoder.encode_queries(["moon 5 bread"])[0], vectors, "lucene")
        wanted = dict(zip(map(str, range(COUNT)), exact.tolist(), strict=True))
        hits = store.search("moon 5 bread", limit=50)
        assert_same_ranking([(str(hit.id), hit.score) for hit in hits], wanted, limit=50)
        again = store.attach()
        assert (again.attached, again.unchanged) == (0, COUNT)
        assert store.verify(everything=True, recheck=True).complete
        assert store.detach().cleared == COUNT
    # Scripts take the names out of _source, too.
    assert index.documents() == before
    mapping = index.client.get(f"/{index.name}/_mapping").json()[index.name]["mappings"]
    assert mapping["_meta"] == {"team": "search"}


def test_vectors_lost_by_a_rewritten_source_are_found_by_reading(index: Index) -> None:
    with index.open() as store:
        store.attach(FIELDS)
        for id in ("3", "8"):
            whole = index.client.get(f"/{index.name}/_doc/{id}").json()["_source"]
            del whole["splade"]
            assert "splade_marker" in whole
            assert index.client.put(f"/{index.name}/_doc/{id}?refresh=true", json=whole).is_success
        looked = store.verify(everything=True)
        assert (looked.missing, looked.lost, looked.different_count) == (2, 2, 0)
        again = store.attach(options=AttachOptions(recheck=True))
        assert (again.attached, again.unchanged) == (2, COUNT - 2)
        assert store.verify(everything=True, recheck=True).complete


async def test_awaited(index: Index) -> None:
    async with await aconnect(index.target, encoder=HashEncoder()) as store:
        assert (await store.plan_attach(FIELDS)).to_do == COUNT
        assert (await store.attach(FIELDS)).attached == COUNT
        assert (await store.verify()).complete
