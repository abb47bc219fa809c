"""Search requests of every backend, compared whole with files that are reviewed in the diff.

`SPLADE_UPDATE_GOLDEN=1` rewrites the files.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from splade_connectors import SparseVector, filters
from splade_connectors.backends.feature_names import Keys
from splade_connectors.backends.protocol import Plan
from splade_connectors.options import SearchOptions
from splade_lucene.compile.filters import Fields
from splade_lucene.compile.search import compile_search as compile_elasticsearch
from splade_lucene.schema import Kind
from splade_qdrant.compile.search import compile_groups
from splade_qdrant.compile.search import compile_search as compile_qdrant

FILES = Path(__file__).parent / "search"

# "" is not a token of BERT, but of tokenizers that end a text with it.
TOKENS = ("coffee", "##s", ".", "%", "a.b", "%2E", " ", "", "\u00a0", "é", "日", '"', "_", "\\")


class Vocabulary:
    """A handful of tokens, most of which are awkward as field names."""

    def tokens(self, ids: Iterable[int]) -> list[str]:
        return [TOKENS[index] for index in ids]

    def token_id(self, token: str) -> int | None:
        return TOKENS.index(token) if token in TOKENS else None


@dataclass(frozen=True)
class Case:
    """A search; filters in the language of the store are another one for each backend."""

    weights: dict[int, float]
    options: dict[str, Any] = field(default_factory=dict)
    elasticsearch_filter: Any = None
    qdrant_filter: Any = None
    condition: filters.Condition | None = None


# What Elasticsearch maps by itself, and what its owner has mapped.
TEXT = {"type": "text", "fields": {"keyword": {"type": "keyword", "ignore_above": 256}}}
MAPPING = {
    "properties": {
        "lang": {"type": "keyword"},
        "year": {"type": "long"},
        "price": {"type": "double"},
        "open": {"type": "boolean"},
        "when": {"type": "date"},
        "tags": TEXT,
        "author": {"properties": {"name": TEXT}},
        "reviews": {"type": "nested", "properties": {"stars": {"type": "byte"}}},
    }
}
LEAVES = (
    filters.Equals("lang", "en"),
    filters.Equals("open", True),
    filters.Equals("year", 2024.0),
    filters.Equals("price", 0),
    filters.Equals("when", date(2024, 2, 29)),
    filters.Equals("author.name", "Ada"),
    filters.Equals("not.mapped", "x"),
    filters.AnyOf("tags", ["a", "b"]),
    filters.AnyOf("lang", []),
    filters.Range("year", gt=2020.5, lte=1e30),
    filters.Range("price", gte=0, lt=9.99),
    filters.Range("when", gt=date(2023, 12, 31), lte="2024-05-17T08:30:00.125+02:00"),
    filters.Range("reviews.stars", gte=4),
    filters.Exists("tags"),
)


# 1.1 is not a float32: the file shows that query weights are sent as float32, never rounded more.
FEW_TERMS = {0: 2.5, 1: 1.1}
CASES = {
    "plain": Case(FEW_TERMS),
    "filter": Case(
        FEW_TERMS,
        elasticsearch_filter={"bool": {"must_not": [{"term": {"lang": "en"}}]}},
        qdrant_filter={"must_not": [{"key": "lang", "match": {"value": "en"}}]},
    ),
    "conditions": Case(FEW_TERMS, condition=filters.All(*LEAVES)),
    "conditions-within-each-other": Case(
        FEW_TERMS,
        condition=(filters.Equals("lang", "en") | filters.Equals("lang", "de"))
        & ~(filters.Exists("author.name") | ~filters.Equals("lang", "fr")),
    ),
    "groups": Case(
        FEW_TERMS, {"limit": 5, "group_by": "author.name"}, condition=filters.Equals("lang", "en")
    ),
    "offset": Case(FEW_TERMS, {"limit": 5, "offset": 20}),
    "no-payload": Case(FEW_TERMS, {"with_payload": False}),
    "tokens-that-need-escaping": Case({index: 1.0 + index for index in range(len(TOKENS))}),
}


def elasticsearch(kind: Kind) -> Callable[[Case], Plan]:
    def compiled(case: Case) -> Plan:
        vector, _ = SparseVector.from_pairs(case.weights)
        options = SearchOptions(**case.options, filter=case.condition or case.elasticsearch_filter)
        hidden = ["splade", "splade_marker", "dense"]
        keys = Keys(Vocabulary)
        fields = Fields(MAPPING, "elasticsearch://localhost/articles")
        return compile_elasticsearch(
            "articles", "splade", kind, keys, vector, options, hidden, fields
        )

    return compiled


def qdrant(case: Case) -> Plan:
    vector, _ = SparseVector.from_pairs(case.weights)
    options = SearchOptions(**case.options, filter=case.condition or case.qdrant_filter)
    compiled = compile_groups if options.group_by else compile_qdrant
    return compiled("articles", "splade", vector, options)


BACKENDS: dict[str, Callable[[Case], Plan]] = {
    "elasticsearch-rank_features": elasticsearch("rank_features"),
    "elasticsearch-sparse_vector": elasticsearch("sparse_vector"),
    "qdrant": qdrant,
}


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", CASES)
def test_the_request_is_the_one_in_the_file(name: str, backend: str) -> None:
    plan = BACKENDS[backend](CASES[name])
    request = {"method": plan.method, "path": plan.url_path, "body": plan.body}
    file = FILES / name / f"{backend}.json"
    if os.environ.get("SPLADE_UPDATE_GOLDEN") == "1":
        file.parent.mkdir(parents=True, exist_ok=True)
        text = json.dumps(request, indent=2, ensure_ascii=False, allow_nan=False)
        file.write_text(f"{text}\n", encoding="utf-8")
    assert file.is_file(), "no such file: SPLADE_UPDATE_GOLDEN=1 writes it, then review it"
    assert request == json.loads(file.read_text(encoding="utf-8"))


def test_every_file_belongs_to_a_case() -> None:
    wanted = {FILES / name / f"{backend}.json" for name in CASES for backend in BACKENDS}
    assert set(FILES.rglob("*.json")) == wanted
