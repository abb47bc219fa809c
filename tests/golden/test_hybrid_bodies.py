"""Hybrid requests for every version and licence, compared whole with reviewed files.

`SPLADE_UPDATE_GOLDEN=1` rewrites the files.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from splade_connectors import SparseVector
from splade_connectors.backends.feature_names import Keys
from splade_connectors.backends.protocol import Plan
from splade_connectors.errors import NotSupported
from splade_connectors.fusion import DistributionBased, Rrf, WeightedSum
from splade_connectors.fusion.request import HybridQuery, ResolvedLeg
from splade_elasticsearch.compile import Server
from splade_elasticsearch.compile import compile_hybrid as compile_elasticsearch
from splade_lucene.compile.filters import Fields
from splade_lucene.schema import Kind
from splade_qdrant.compile.hybrid import Collection
from splade_qdrant.compile.hybrid import compile_hybrid as compile_qdrant

FILES = Path(__file__).parent / "hybrid"
TOKENS = ("coffee", "##s", ".")


class Vocabulary:
    def tokens(self, ids: Iterable[int]) -> list[str]:
        return [TOKENS[index] for index in ids]

    def token_id(self, token: str) -> int | None:
        return TOKENS.index(token) if token in TOKENS else None


SPARSE = ResolvedLeg(
    name="sparse",
    kind="sparse",
    sparse=SparseVector.from_pairs({0: 2.5, 1: 0.5, 2: 0.25})[0],
    candidates=200,
)
DENSE = ResolvedLeg(name="dense", kind="dense", dense=[0.5, -0.25], field="dense", candidates=200)
TEXT = ResolvedLeg(
    name="text", kind="text", text="coffee", fields=("title", "text"), candidates=200
)
TWO = (SPARSE, DENSE)

CASES: dict[str, HybridQuery] = {
    "rrf": HybridQuery(fusion=Rrf(), legs=TWO),
    "rrf-weights": HybridQuery(fusion=Rrf(k=20, weights=(2, 0.5)), legs=TWO, offset=10),
    "sum": HybridQuery(fusion=WeightedSum(weights=(0.25, 0.75), scale=(20, 1)), legs=TWO),
    "sum-without-windows": HybridQuery(
        fusion=WeightedSum(weights=(0.25, 0.75), scale=(20, 1)),
        legs=(replace(SPARSE, candidates=None), DENSE),
    ),
    "minmax": HybridQuery(fusion=WeightedSum(normalize="minmax"), legs=TWO, with_payload=False),
    "dbsf-weights": HybridQuery(fusion=DistributionBased(weights=(1, 3)), legs=TWO),
    "exact-dense": HybridQuery(
        fusion=Rrf(), legs=(SPARSE, replace(DENSE, exact=True, breadth=400))
    ),
    "text": HybridQuery(
        fusion=WeightedSum(weights=(1, 2)), legs=(SPARSE, replace(TEXT, fields=("body",)))
    ),
    "three-legs": HybridQuery(fusion=Rrf(weights=(1, 1, 0.5)), legs=(SPARSE, DENSE, TEXT)),
}
# Filters are in the store's language: one for each.
FILTERS: dict[str, Any] = {
    "elasticsearch": {"term": {"lang": "en"}},
    "qdrant": {"must": [{"key": "lang", "match": {"value": "en"}}]},
}


def elasticsearch(version: str, license: str, kind: Kind) -> Callable[[HybridQuery], Plan]:
    server = Server(
        version=tuple(map(int, version.split("."))),
        license=license,
        index="articles",
        field="splade",
        kind=kind,
        hidden_fields=("splade", "splade_marker", "dense"),
        fields=Fields({}, ""),
    )
    return lambda query: compile_elasticsearch(query, server, Keys(Vocabulary), "auto")


def qdrant(version: str, idf: Iterable[str] = ("body",)) -> Callable[[HybridQuery], Plan]:
    collection = Collection(
        name="articles",
        vector="splade",
        version=tuple(map(int, version.split("."))),
        distances={"dense": "Cosine"},
        idf=frozenset(idf),
    )
    return lambda query: compile_qdrant(query, collection, "auto")


BACKENDS: dict[str, Callable[[HybridQuery], Plan]] = {
    "elasticsearch-7.17-basic": elasticsearch("7.17.29", "basic", "rank_features"),
    "elasticsearch-8.15-basic": elasticsearch("8.15.0", "basic", "rank_features"),
    "elasticsearch-8.19-enterprise": elasticsearch("8.19.21", "enterprise", "sparse_vector"),
    "elasticsearch-9.3-basic": elasticsearch("9.3.2", "basic", "sparse_vector"),
    "elasticsearch-9.3-basic-rank_features": elasticsearch("9.3.2", "basic", "rank_features"),
    "elasticsearch-9.3-enterprise": elasticsearch("9.3.2", "enterprise", "sparse_vector"),
    "elasticsearch-serverless": elasticsearch("9.99.0", "serverless", "sparse_vector"),
    "qdrant-1.10": qdrant("1.10.0"),
    "qdrant-1.14": qdrant("1.14.0"),
    "qdrant-1.18": qdrant("1.18.3"),
    # A text leg over the text index of a payload field, instead of a sparse vector with IDF.
    "qdrant-1.20": qdrant("1.20.0", idf=()),
}


def compiled(name: str, backend: str) -> dict[str, Any]:
    """The plan, or the sentence that refuses."""
    query = CASES[name]
    condition = FILTERS[backend.partition("-")[0]]
    query = replace(query, legs=tuple(replace(leg, filters=(condition,)) for leg in query.legs))
    try:
        plan = BACKENDS[backend](query)
    except NotSupported as error:
        return {"refused": str(error)}
    return {
        "path": plan.path,
        "fused_by": plan.fused_by,
        "not_taken": list(plan.not_taken),
        "request": f"{plan.method} {plan.url_path}",
        "body": plan.body,
    }


def possible() -> list[tuple[str, str]]:
    # A text leg over two fields: Qdrant's backend refuses it before anything is compiled.
    return [
        (name, backend)
        for name in CASES
        for backend in BACKENDS
        if not (name == "three-legs" and backend.startswith("qdrant"))
    ]


@pytest.mark.parametrize(("name", "backend"), possible())
def test_the_plan_is_the_one_in_the_file(name: str, backend: str) -> None:
    plan = compiled(name, backend)
    file = FILES / name / f"{backend}.json"
    if os.environ.get("SPLADE_UPDATE_GOLDEN") == "1":
        file.parent.mkdir(parents=True, exist_ok=True)
        text = json.dumps(plan, indent=2, ensure_ascii=False, allow_nan=False)
        file.write_text(f"{text}\n", encoding="utf-8")
    assert file.is_file(), "no such file: SPLADE_UPDATE_GOLDEN=1 writes it, then review it"
    assert json.loads(json.dumps(plan)) == json.loads(file.read_text(encoding="utf-8"))


def test_every_file_belongs_to_a_case() -> None:
    found = {
        (file.parent.name, file.stem)
        for file in FILES.rglob("*.json")
        if not file.stem.startswith("opensearch")
    }
    assert found == set(possible())
