"""Stores that hybrid searches are compared on, and the fusions that are compared there.

Dense vectors are unquantized, and compared exactly: what is tested is fusion, not a graph. Used by
the tests and by benchmarks/hybrid_equality.py.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from splade_connectors import SparseEncoder, Store, connect
from splade_connectors.backends.rounding import Rounding
from splade_connectors.fusion import DistributionBased, Fusion, Rrf, WeightedSum

Weights = tuple[float, ...] | None

# None, not equal, adding up to 1, far apart both ways, and one leg that only brings its documents.
# A weight multiplies the rounding of a server's 32-bit scores: with 20, minmax has two hits of 100
# change places in one ranking of thousands, whose exact scores differ by 5e-6 [SciFact, MiniLM].
WEIGHTS: list[Weights] = [None, (2, 1), (0.3, 0.7), (0.05, 1), (5, 0.1), (0, 0.7)]

# What `elasticsearch` and `opensearch` map beside the sparse field.
_FIELDS = {"part": {"type": "keyword"}}


@dataclass(frozen=True)
class Place:
    """A store, and how a search there is exact.

    Attributes:
        name: of the place, a key of `PLACES`.
        store: empty at first.
        target: of it.
        rounding: what becomes of sparse weights.
        has_dense: whether it has a dense field; else text is the second leg.
        exact: whether a dense leg has to ask for an exact search.
        fuses: the kinds of fusions that the server computes itself, of windows.
        sums: whether it adds up a sparse leg without a window and the second one.
        odd: its filter for documents whose payload has the part "odd".
    """

    name: str
    store: Store
    target: str
    rounding: Rounding
    has_dense: bool
    exact: bool
    fuses: tuple[type, ...]
    sums: bool
    odd: Mapping[str, Any]


def fusions(weights: Weights, scale: tuple[float, ...] = (21.5, 0.8)) -> list[Fusion]:
    """Every fusion of windows, with these weights."""
    return [
        Rrf(weights=weights),
        Rrf(k=10, weights=weights),
        WeightedSum(weights=weights),
        WeightedSum(weights=weights, scale=scale),
        WeightedSum(weights=weights, normalize="minmax"),
        WeightedSum(weights=weights, normalize="theoretical-minmax"),
        DistributionBased(weights=weights),
    ]


def sums(weights: Weights, scale: tuple[float, ...] = (21.5, 0.8)) -> list[Fusion]:
    """The fusions that take a leg without a window."""
    return [WeightedSum(weights=weights), WeightedSum(weights=weights, scale=scale)]


@contextmanager
def edge(folder: Path, encoder: SparseEncoder) -> Iterator[Place]:
    """The embedded engine."""
    target = f"edge:{folder}"
    odd = {"must": [{"key": "part", "match": {"value": "odd"}}]}
    fuses = (Rrf, WeightedSum, DistributionBased)
    with connect(target, encoder=encoder) as store:
        yield Place("edge", store, target, "float32", True, True, fuses, False, odd)


@contextmanager
def elasticsearch(
    url: str, encoder: SparseEncoder, *, name: str, shards: int = 1, dimensions: int | None = None
) -> Iterator[Place]:
    """An index of Elasticsearch; without `dimensions` it has no dense field."""
    # Compared with every vector, each as it was sent; by default 9.x quantizes to single bits.
    flat = {"type": "flat"}
    dense = {
        "type": "dense_vector",
        "dims": dimensions,
        "similarity": "cosine",
        "index_options": flat,
    }
    fields = _FIELDS | ({"dense": dense} if dimensions else {})
    odd = {"term": {"part": "odd"}}
    with (
        _index(url, "elasticsearch", shards, fields, {}) as target,
        connect(target, encoder=encoder) as store,
    ):
        yield Place(name, store, target, "lucene", bool(dimensions), False, (), True, odd)


@contextmanager
def opensearch(
    url: str, encoder: SparseEncoder, *, name: str, shards: int = 1, dimensions: int
) -> Iterator[Place]:
    """An index of OpenSearch, whose graph an exact leg goes around."""
    method = {"name": "hnsw", "engine": "lucene", "space_type": "cosinesimil"}
    dense = {"type": "knn_vector", "dimension": dimensions, "method": method}
    fuses = (Rrf,) if shards == 1 else ()
    fields = _FIELDS | {"dense": dense}
    odd = {"term": {"part": "odd"}}
    with (
        _index(url, "opensearch", shards, fields, {"index.knn": True}) as target,
        connect(target, encoder=encoder) as store,
    ):
        yield Place(name, store, target, "lucene", True, True, fuses, shards == 1, odd)


# Name -> the server it needs (a version of Elasticsearch, or "opensearch"), and shards.
PLACES: dict[str, tuple[str, int]] = {
    "edge": ("", 1),
    "elasticsearch-7.17.29": ("7.17.29", 1),
    "elasticsearch-9.3.2, 1 shard": ("9.3.2", 1),
    "elasticsearch-9.3.2, 3 shards": ("9.3.2", 3),
    "opensearch-3.6.0, 1 shard": ("opensearch", 1),
    "opensearch-3.6.0, 3 shards": ("opensearch", 3),
}


def open_place(
    name: str, url: Callable[[str], str], folder: Path, encoder: SparseEncoder, dimensions: int
) -> AbstractContextManager[Place]:
    """An empty store at one of `PLACES`, removed afterwards.

    Args:
        name: of the place.
        url: a server -> its address.
        folder: where the embedded engine may keep it.
        encoder: of the store.
        dimensions: of dense vectors; 7.17.29 has no search for them, and gets no field.
    """
    server, shards = PLACES[name]
    if not server:
        return edge(folder, encoder)
    if server == "opensearch":
        return opensearch(url(server), encoder, name=name, shards=shards, dimensions=dimensions)
    size = None if server == "7.17.29" else dimensions
    return elasticsearch(url(server), encoder, name=name, shards=shards, dimensions=size)


# What a test asks pytest for to have a server.
FIXTURES = {
    "9.3.2": "elasticsearch_url",
    "7.17.29": "rank_features_url",
    "opensearch": "opensearch_url",
}


def place_params() -> list[Any]:
    """All places, as parameters of a fixture."""
    return [
        pytest.param(name, id=name, marks=[pytest.mark.servers] if server else [])
        for name, (server, _) in PLACES.items()
    ]


@contextmanager
def requested_place(
    request: pytest.FixtureRequest, encoder: SparseEncoder, dimensions: int
) -> Iterator[Place]:
    """The place that a fixture's parameter names."""
    folder = request.getfixturevalue("tmp_path_factory").mktemp("hybrid") / "shard"
    with open_place(
        request.param,
        lambda server: str(request.getfixturevalue(FIXTURES[server])),
        folder,
        encoder,
        dimensions,
    ) as place:
        yield place


@contextmanager
def _index(
    url: str, scheme: str, shards: int, fields: Mapping[str, Any], settings: Mapping[str, Any]
) -> Iterator[str]:
    """The target of an index that is made before and removed afterwards."""
    address = f"{url.rstrip('/')}/splade-hybrid-{uuid.uuid4().hex}"
    body = {
        "settings": {"number_of_shards": shards, "number_of_replicas": 0, **settings},
        "mappings": {"properties": dict(fields)},
    }
    with httpx.Client(trust_env=False, timeout=60) as client:
        client.put(address, json=body).raise_for_status()
        try:
            transport, _, rest = address.partition("://")
            yield f"{scheme}{'+https' if transport == 'https' else ''}://{rest}"
        finally:
            client.delete(address)
