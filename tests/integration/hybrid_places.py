"""Stores that hybrid searches are compared on, and what is compared there.

Dense vectors are unquantized, and compared exactly: what is tested is fusion, not a graph. Used by
the tests and by benchmarks/hybrid_equality.py.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from splade_connectors import SparseEncoder, Store, connect
from splade_connectors.fusion import DistributionBased, Fusion, Rrf, WeightedSum
from splade_connectors.precision import Precision

Weights = tuple[float, ...] | None

# None, not equal, adding up to 1, far apart both ways, and one leg that only brings its documents.
WEIGHTS: list[Weights] = [None, (2, 1), (0.3, 0.7), (1, 20), (5, 0.1), (0, 0.7)]

# What `elasticsearch` and `opensearch` map beside the sparse field.
_FIELDS = {"part": {"type": "keyword"}}


@dataclass(frozen=True)
class Place:
    """A store, and how a search there is exact.

    Attributes:
        store: empty at first.
        target: of it.
        precision: what becomes of sparse weights.
        exact: whether a dense leg has to ask for an exact search.
        fuses: the kinds of fusions that the server computes itself, of windows.
        odd: its filter for documents whose payload has the part "odd".
    """

    store: Store
    target: str
    precision: Precision
    exact: bool
    fuses: tuple[type, ...]
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
    with connect(target, encoder=encoder) as store:
        yield Place(store, target, "float32", True, (Rrf, WeightedSum, DistributionBased), odd)


@contextmanager
def elasticsearch(
    url: str, encoder: SparseEncoder, *, shards: int = 1, dimensions: int | None = None
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
    with (
        _index(url, "elasticsearch", shards, fields, {}) as target,
        connect(target, encoder=encoder) as store,
    ):
        yield Place(store, target, "lucene", False, (), {"term": {"part": "odd"}})


@contextmanager
def opensearch(
    url: str, encoder: SparseEncoder, *, shards: int = 1, dimensions: int
) -> Iterator[Place]:
    """An index of OpenSearch, whose graph an exact leg goes around."""
    method = {"name": "hnsw", "engine": "lucene", "space_type": "cosinesimil"}
    dense = {"type": "knn_vector", "dimension": dimensions, "method": method}
    fuses = (Rrf,) if shards == 1 else ()
    fields = _FIELDS | {"dense": dense}
    with (
        _index(url, "opensearch", shards, fields, {"index.knn": True}) as target,
        connect(target, encoder=encoder) as store,
    ):
        yield Place(store, target, "lucene", True, fuses, {"term": {"part": "odd"}})


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
