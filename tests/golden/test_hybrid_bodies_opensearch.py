"""OpenSearch's hybrid requests for every version, compared whole with reviewed files.

`SPLADE_UPDATE_GOLDEN=1` rewrites the files.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from splade_connectors import SparseVector
from splade_connectors.backends.feature_names import Keys
from splade_connectors.errors import NotSupported
from splade_connectors.fusion import DistributionBased, Rrf, WeightedSum
from splade_connectors.fusion.request import HybridQuery, ResolvedLeg
from splade_lucene.compile.filters import Fields
from splade_opensearch.compile import Server, compile_hybrid

FILES = Path(__file__).parent / "hybrid"
TOKENS = ("coffee", "##s", ".")
FILTER = {"term": {"lang": "en"}}
PLUGINS = frozenset({"opensearch-knn", "opensearch-neural-search"})


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
    filters=(FILTER,),
)
DENSE = ResolvedLeg(
    name="dense",
    kind="dense",
    dense=[0.5, -0.25],
    field="dense",
    candidates=200,
    filters=(FILTER,),
)
TEXT = ResolvedLeg(
    name="text",
    kind="text",
    text="coffee",
    fields=("title", "text"),
    candidates=200,
    filters=(FILTER,),
)
TWO = (SPARSE, DENSE)

CASES: dict[str, HybridQuery] = {
    "rrf": HybridQuery(fusion=Rrf(), legs=TWO),
    "rrf-weights": HybridQuery(fusion=Rrf(k=20, weights=(2, 0.5)), legs=TWO, offset=10),
    "rrf-k": HybridQuery(fusion=Rrf(k=20), legs=TWO),
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
    "three-legs": HybridQuery(fusion=Rrf(weights=(1, 1, 0.5)), legs=(SPARSE, DENSE, TEXT)),
}

BASE = Server(
    version=(3, 6, 0),
    index="articles",
    field="splade",
    kind="rank_features",
    hidden_fields=("splade", "splade_marker", "dense"),
    fields=Fields({}, ""),
    shards=1,
    plugins=PLUGINS,
    engines={"dense": "lucene"},
)
SERVERS = {
    "opensearch-2.11": replace(BASE, version=(2, 11, 0)),
    "opensearch-2.19": replace(BASE, version=(2, 19, 0)),
    "opensearch-3.4-3-shards": replace(BASE, version=(3, 4, 0), shards=3),
    "opensearch-3.6": BASE,
    "opensearch-3.6-3-shards": replace(BASE, shards=3),
    "opensearch-3.8": replace(BASE, version=(3, 8, 0)),
}


def compiled(query: HybridQuery, server: Server) -> dict[str, Any]:
    """The plan, or the sentence that refuses."""
    try:
        plan = compile_hybrid(query, server, Keys(Vocabulary), "auto")
    except NotSupported as error:
        return {"refused": str(error)}
    return {
        "path": plan.path,
        "fused_by": plan.fused_by,
        "not_taken": list(plan.not_taken),
        "request": f"{plan.method} {plan.url_path}",
        "body": plan.body,
    }


@pytest.mark.parametrize("server", SERVERS)
@pytest.mark.parametrize("name", CASES)
def test_the_plan_is_the_one_in_the_file(name: str, server: str) -> None:
    plan = compiled(CASES[name], SERVERS[server])
    file = FILES / name / f"{server}.json"
    if os.environ.get("SPLADE_UPDATE_GOLDEN") == "1":
        file.parent.mkdir(parents=True, exist_ok=True)
        text = json.dumps(plan, indent=2, ensure_ascii=False, allow_nan=False)
        file.write_text(f"{text}\n", encoding="utf-8")
    assert file.is_file(), "no such file: SPLADE_UPDATE_GOLDEN=1 writes it, then review it"
    assert json.loads(json.dumps(plan)) == json.loads(file.read_text(encoding="utf-8"))


def test_every_file_belongs_to_a_case() -> None:
    wanted = {FILES / name / f"{server}.json" for name in CASES for server in SERVERS}
    assert set(FILES.rglob("opensearch*.json")) == wanted


@pytest.mark.parametrize(
    ("server", "fusion", "reason"),
    [
        (replace(BASE, plugins=frozenset()), Rrf(), "opensearch-neural-search is not installed"),
        (replace(BASE, version=(3, 0, 0)), Rrf(weights=(1, 2)), "needs OpenSearch 3.1"),
        (BASE, Rrf(k=0.5), "a whole number from 1 to 10000, but k is 0.5"),
        (BASE, Rrf(k=20_000), "a whole number from 1 to 10000"),
        (BASE, WeightedSum(normalize="minmax"), "0.001 instead of 0"),
        (BASE, WeightedSum(), "it cannot add raw scores"),
        (replace(BASE, version=()), Rrf(), "the server is unknown"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_plan_says_why_the_server_does_not_fuse(server: Server, fusion: Any, reason: str) -> None:
    query = HybridQuery(fusion=fusion, legs=TWO)
    plan = compile_hybrid(query, server, Keys(Vocabulary), "auto")
    assert plan.fused_by == "client"
    assert reason in plan.not_taken[0]
    with pytest.raises(NotSupported, match="cannot fuse this in one request"):
        compile_hybrid(query, server, Keys(Vocabulary), "server")


def test_windows_of_different_sizes_are_fused_by_the_client() -> None:
    query = HybridQuery(fusion=Rrf(), legs=(SPARSE, replace(DENSE, candidates=100)))
    plan = compile_hybrid(query, BASE, Keys(Vocabulary), "auto")
    assert plan.not_taken[0] == "a hybrid query: it needs one window for all legs"


def test_an_unknown_engine_does_not_add_up_on_the_server() -> None:
    query = CASES["sum-without-windows"]
    with pytest.raises(NotSupported, match="only the engine lucene"):
        compile_hybrid(query, replace(BASE, engines={"dense": "faiss"}), Keys(Vocabulary), "auto")
