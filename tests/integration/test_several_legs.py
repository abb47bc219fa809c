"""Several legs of one kind: two sparse models, two dense fields, queries encoded elsewhere."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from splade_connectors import Document, SparseVector, Store, aconnect, connect
from splade_connectors.backends.rounding import Rounding
from splade_connectors.errors import ConfigurationError, ManifestMismatch, NotFound
from splade_connectors.fusion import (
    DenseLeg,
    DistributionBased,
    Fusion,
    Rrf,
    SparseLeg,
    TextLeg,
    WeightedSum,
)
from splade_connectors.fusion.legs import Leg
from splade_connectors.testing import HashEncoder, assert_same_fusion, exact_scores, exact_window
from splade_connectors.testing.fusion import ExactWindow
from splade_connectors.testing.requests import counted
from tests.integration.hybrid_places import _index

WORDS = ("salt", "flour", "moon", "bread", "tide", "cat", "time")
TEXTS = {
    str(at): f"{WORDS[at % 7]} and {WORDS[at % 5]} with {WORDS[at % 3]} number {at}"
    for at in range(60)
}
QUERY = "bread with salt and time"
WINDOW = 40
DIMENSIONS = 8
FUSIONS: list[Fusion] = [
    Rrf(weights=(2, 1)),
    WeightedSum(weights=(1, 3)),
    WeightedSum(normalize="theoretical-minmax"),
    DistributionBased(weights=(1, 2)),
]


class Backwards(HashEncoder):
    """Another model: it reads words from their end, and names its terms in another way."""

    def __init__(self) -> None:
        super().__init__(model="backwards", vocabulary=20_000)

    def tokens(self, ids: Iterable[int]) -> list[str]:
        return [f"<{index}" for index in ids]

    def token_id(self, token: str) -> int | None:
        number = token.removeprefix("<")
        return int(number) if token.startswith("<") and number.isdecimal() else None

    def _term(self, word: str) -> int:
        return super()._term(word[::-1])


FIRST, SECOND = HashEncoder(), Backwards()


def _dense(seed: int) -> Any:
    made = np.random.default_rng(seed).normal(size=(len(TEXTS), DIMENSIONS))
    return (made / np.linalg.norm(made, axis=1, keepdims=True)).astype(np.float32)


DENSE = {"picture": _dense(1), "title": _dense(2)}
VECTORS = {name: np.random.default_rng(9).normal(size=DIMENSIONS).tolist() for name in DENSE}


@dataclass(frozen=True)
class Place:
    """A collection with the sparse vectors of two models, and where it can, two dense ones."""

    target: str
    second: str
    rounding: Rounding
    store: Store
    has_dense: bool = True

    def sparse(self, encoder: HashEncoder, name: str) -> ExactWindow:
        vectors = encoder.encode_documents(list(TEXTS.values()))
        query = encoder.encode_queries([QUERY])[0]
        scores = exact_scores(query, vectors, self.rounding)
        return exact_window(name, list(TEXTS), np.array(scores), WINDOW)

    def dense(self, name: str) -> ExactWindow:
        query = np.array(VECTORS[name])
        scores = (1 + DENSE[name].astype(np.float64) @ query / np.linalg.norm(query)) / 2
        return exact_window(name, list(TEXTS), scores, WINDOW)

    def legs(self) -> list[Leg]:
        return [
            SparseLeg(candidates=WINDOW),
            SparseLeg(field="second", encoder=SECOND, name="second", candidates=WINDOW),
        ]


def documents(dense: bool) -> list[Document]:
    return [
        Document(
            id=id,
            text=text,
            dense={name: DENSE[name][at].tolist() for name in DENSE} if dense else None,
        )
        for at, (id, text) in enumerate(TEXTS.items())
    ]


@contextmanager
def filled(target: str, key: str, rounding: Rounding, dense: bool = True) -> Iterator[Place]:
    """Written by one model, then attached to with another one under a second name."""
    with connect(target, encoder=FIRST) as store:
        assert store.index(documents(dense)).rejected_count == 0
    second = f"{target}?{key}=second"
    with connect(second, encoder=SECOND) as store:
        assert store.attach(["text"]).attached == len(TEXTS)
    with connect(target, encoder=FIRST) as store:
        yield Place(target, second, rounding, store, dense)


@pytest.fixture(
    scope="module",
    params=[
        "edge",
        *(
            pytest.param(name, marks=[pytest.mark.servers])
            for name in ("elasticsearch_url", "rank_features_url", "opensearch_url")
        ),
    ],
)
def place(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Place]:
    if request.param == "edge":
        folder = tmp_path_factory.mktemp("legs") / "shard"
        with filled(f"edge:{folder}", "vector", "float32") as found:
            yield found
        return
    url = str(request.getfixturevalue(request.param))
    scheme = "opensearch" if request.param == "opensearch_url" else "elasticsearch"
    method = {"name": "hnsw", "engine": "lucene", "space_type": "cosinesimil"}
    kinds: dict[str, dict[str, Any]] = {
        "elasticsearch_url": {
            "type": "dense_vector",
            "dims": DIMENSIONS,
            "similarity": "cosine",
            "index_options": {"type": "flat"},
        },
        "opensearch_url": {"type": "knn_vector", "dimension": DIMENSIONS, "method": method},
    }
    kind = kinds.get(request.param)
    settings = {"index.knn": True} if scheme == "opensearch" else {}
    fields = dict.fromkeys(DENSE, kind) if kind else {}
    with (
        _index(url, scheme, 1, fields, settings) as target,
        filled(target, "field", "lucene", dense=kind is not None) as found,
    ):
        yield found


def assert_fused(
    place: Place, legs: Sequence[Leg], windows: Sequence[ExactWindow], fusion: Fusion
) -> None:
    for path in ("auto", "client"):
        hits = place.store.search(QUERY, legs=legs, fusion=fusion, limit=WINDOW, path=path)  # type: ignore[arg-type]
        assert_same_fusion([(hit.id, hit.score) for hit in hits], fusion, windows, WINDOW)


@pytest.mark.parametrize("fusion", FUSIONS, ids=str)
def test_two_sparse_models_are_fused_as_defined(place: Place, fusion: Fusion) -> None:
    windows = [place.sparse(FIRST, "sparse"), place.sparse(SECOND, "second")]
    assert_fused(place, place.legs(), windows, fusion)


@pytest.mark.parametrize("fusion", FUSIONS, ids=str)
def test_two_dense_fields_are_fused_as_defined(place: Place, fusion: Fusion) -> None:
    if not place.has_dense:
        with pytest.raises(ConfigurationError, match=r"no dense|needs Elasticsearch 8"):
            place.store.search(QUERY, legs=[DenseLeg(vector=VECTORS["title"], field="title")])
        return
    exact = place.target.startswith(("edge", "opensearch"))
    legs: list[Leg] = [
        DenseLeg(vector=VECTORS[name], field=name, name=name, candidates=WINDOW, exact=exact)
        for name in DENSE
    ]
    assert_fused(place, legs, [place.dense(name) for name in DENSE], fusion)


def test_four_legs_in_one_search(place: Place) -> None:
    if not place.has_dense:
        pytest.skip("7.17 searches no dense vectors")
    exact = place.target.startswith(("edge", "opensearch"))
    dense: list[Leg] = [
        DenseLeg(vector=VECTORS[name], field=name, name=name, candidates=WINDOW, exact=exact)
        for name in DENSE
    ]
    windows = [place.sparse(FIRST, "sparse"), place.sparse(SECOND, "second")]
    windows += [place.dense(name) for name in DENSE]
    assert_fused(place, [*place.legs(), *dense], windows, Rrf(weights=(1, 2, 1, 0.5)))


def test_a_warm_search_looks_at_nothing_again(place: Place) -> None:
    place.store.search(QUERY, legs=place.legs())
    with counted(place.store) as sent:
        place.store.search(QUERY, legs=place.legs(), with_payload=False)
    assert len(sent.purposes) == 1, sent
    assert sent.writes == []


def test_every_sparse_leg_is_explained_by_its_own_terms(place: Place) -> None:
    fusion = WeightedSum(weights=(1, 2))
    best = place.store.search(QUERY, legs=place.legs(), fusion=fusion)[0]
    why = place.store.explain_hybrid(QUERY, best.id, legs=place.legs(), fusion=fusion)
    assert why.score == pytest.approx(best.score, rel=1e-5)
    assert set(why.terms) == {"sparse", "second"}
    assert why.sparse == why.terms["sparse"]
    for part in why.legs:
        assert why.terms[part.leg].score == pytest.approx(part.score, rel=1e-5)
    assert why.terms["second"].terms[0].token.startswith("<")


def test_a_vector_that_was_encoded_elsewhere_stands_for_the_text(place: Place) -> None:
    search = place.store.search
    first, second = (encoder.encode_queries([QUERY])[0] for encoder in (FIRST, SECOND))
    text = search(QUERY, legs=place.legs(), limit=20)
    given: list[Leg] = [
        SparseLeg(vector=first, candidates=WINDOW),
        SparseLeg(field="second", encoder=SECOND, vector=second, name="second", candidates=WINDOW),
    ]
    assert search("whatever", legs=given, limit=20) == text
    both: list[Leg] = [SparseLeg(candidates=WINDOW), given[1]]
    assert search(first, legs=both, limit=20) == text
    assert (
        place.store.windows(first, legs=both)[1].ids
        == place.store.windows(QUERY, legs=place.legs())[1].ids
    )
    assert place.store.search(first, limit=5) == place.store.search(QUERY, limit=5)
    plan = place.store.plan(first, legs=both)
    assert plan.body == place.store.plan(QUERY, legs=place.legs()).body
    if place.has_dense:
        vector = VECTORS["title"]
        dense: list[Leg] = [SparseLeg(), DenseLeg(vector=vector, field="title")]
        assert search(first, legs=dense, limit=20) == search(QUERY, legs=dense, limit=20)
    why = place.store.explain(first, text[0].id)
    assert (why.query, why.score) == ("", place.store.explain(QUERY, text[0].id).score)
    fused = place.store.explain_hybrid(first, text[0].id, legs=both)
    assert fused.score == pytest.approx(text[0].score, rel=1e-5)


def test_matched_terms_are_those_of_the_first_sparse_leg(place: Place) -> None:
    first, second = place.legs()
    same = SparseLeg(encoder=HashEncoder(), name="same")
    encoded = SparseLeg(vector=FIRST.encode_queries([QUERY])[0], name="encoded")
    for legs in ([same], [second], [second, first], [first, second], [encoded], [encoded, second]):
        hits = place.store.search(QUERY, legs=legs, with_terms=True, limit=3)
        assert hits.leg == legs[0].name
        for hit in hits:
            why = place.store.explain_hybrid(QUERY, hit.id, legs=legs).sparse
            assert why is not None
            assert hit.terms == why.terms
            assert hit.snippet is not None
        assert hits[0].terms
        assert hits[0].snippet is not None
        assert hits[0].snippet.marks
        assert hits[0].terms[0].token.startswith("<" if legs[0] is second else ".")


def test_terms_of_another_model_are_numbers_where_terms_are_stored_as_numbers(
    tmp_path: Path,
) -> None:
    query = SECOND.encode_queries([QUERY])[0]
    known = {str(index) for index in query.to_dict()}
    legs = [SparseLeg(field="second", vector=query, name="second")]
    with filled(f"edge:{tmp_path / 'shard'}", "vector", "float32") as place:
        (hit,) = place.store.search("", legs=legs, with_terms=True, limit=1)
        why = place.store.explain_hybrid("", hit.id, legs=legs).sparse
    with connect(place.second, encoder=FIRST) as store:
        alone = store.explain(query, hit.id)
        (found,) = store.search(query, with_terms=True, limit=1)
    with connect(place.second, encoder=SECOND) as store:
        named = store.explain(query, hit.id)
    assert why is not None
    assert hit.terms == why.terms == alone.terms == found.terms
    assert hit.snippet is not None
    assert {term.token for term in hit.terms} <= known
    assert all(term.text == term.token for term in hit.terms)
    assert not any(term.in_query or term.in_document for term in hit.terms)
    assert [term.token for term in named.terms] == [f"<{term.token}" for term in hit.terms]


def test_what_is_refused(place: Place) -> None:
    search = place.store.search
    first = FIRST.encode_queries([QUERY])[0]
    with pytest.raises(ManifestMismatch, match=r"'backwards'.*'hash'|'hash'.*'backwards'"):
        search(QUERY, legs=[SparseLeg(), SparseLeg(field="second", name="second")])
    with pytest.raises(NotFound, match=r"no sparse vectors under this name; it has: second, spl"):
        search(QUERY, legs=[SparseLeg(field="third")])
    with pytest.raises(ConfigurationError, match="two legs are named 'sparse'; set name= on one"):
        search(QUERY, legs=[SparseLeg(), SparseLeg(field="second", encoder=SECOND)])
    with pytest.raises(ConfigurationError, match=r"vector, but the text leg needs its text; .*tex"):
        search(first, legs=[SparseLeg(), TextLeg()])
    with pytest.raises(ConfigurationError, match=r"but the second leg has its own; pass"):
        search(first, legs=place.legs())
    with pytest.raises(ConfigurationError, match="a string or a SparseVector, not list"):
        search([1.0], legs=[SparseLeg()])  # type: ignore[arg-type]
    with pytest.raises(
        ConfigurationError, match="of a sparse leg must be a SparseVector, not dict"
    ):
        SparseLeg(vector={1: 2.0})  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match=r"not a string: fields=\('text',\)$"):
        TextLeg(fields="text")  # type: ignore[arg-type]
    if place.has_dense:
        with pytest.raises(ConfigurationError, match=r"the dense leg needs its text; .*vector=\["):
            search(first, legs=[SparseLeg(), DenseLeg(vector=lambda text: [1.0], field="title")])
        with pytest.raises(ConfigurationError, match=r"has no .*; it has .*: name one"):
            search(QUERY, dense=VECTORS["title"])


def test_a_leg_without_terms_is_left_out(place: Place) -> None:
    legs = [SparseLeg(vector=SparseVector.empty()), place.legs()[1]]
    hits = place.store.search(QUERY, legs=legs, fusion=Rrf(weights=(5, 1)), limit=3)
    assert hits[0].score == pytest.approx(1 / 61)
    assert "the query has no terms, so the sparse leg is omitted" in hits.plan.warnings


def test_awaited_it_is_the_same(tmp_path: Path) -> None:
    fusion = WeightedSum(weights=(1, 2))  # no ties, as ranks have

    async def searched(target: str, legs: list[Leg]) -> list[Any]:
        async with await aconnect(target, encoder=FIRST) as store:
            vector = FIRST.encode_queries([QUERY])[0]
            legs = [SparseLeg(), SparseLeg(field="second", encoder=SECOND, name="second")]
            both = [
                await store.search(QUERY, legs=legs, fusion=fusion),
                await store.search(vector, legs=[SparseLeg()]),
            ]
            why = await store.explain_hybrid(QUERY, both[0][0].id, legs=legs, fusion=fusion)
            return [*both, why]

    with filled(f"edge:{tmp_path / 'shard'}", "vector", "float32") as place:
        blocking = place.store.search(QUERY, legs=place.legs(), fusion=fusion)
        alone = place.store.search(QUERY, legs=[SparseLeg()])
    text, vector, why = asyncio.run(searched(place.target, place.legs()))
    assert [hit.id for hit in text] == [hit.id for hit in blocking]
    assert [hit.id for hit in vector] == [hit.id for hit in alone]
    assert why.score == pytest.approx(text[0].score, rel=1e-5)


def test_a_vector_needs_no_model_where_terms_are_numbers(tmp_path: Path) -> None:
    """An application backend that lets another service encode its queries."""
    with filled(f"edge:{tmp_path / 'shard'}", "vector", "float32") as place:
        wanted = place.store.search(QUERY, legs=place.legs())
    first, second = (encoder.encode_queries([QUERY])[0] for encoder in (FIRST, SECOND))
    with connect(place.target) as store:
        store._session.encoder = refuse
        legs = [
            SparseLeg(vector=first, candidates=WINDOW),
            SparseLeg(field="second", vector=second, name="second", candidates=WINDOW),
        ]
        assert store.search("", legs=legs) == wanted
        assert store.search(first, limit=3)


def refuse() -> Any:
    raise AssertionError("no model is needed")
