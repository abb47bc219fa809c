"""Equal scores within a leg: the ranks that a hit shows are those that its score was made of."""

from __future__ import annotations

from pathlib import Path

import pytest

from splade_connectors import (
    AttachOptions,
    Document,
    Rrf,
    SparseLeg,
    Store,
    TextLeg,
    WeightedSum,
    connect,
)
from splade_connectors.testing import HashEncoder

LEGS = (SparseLeg(), TextLeg(fields=("text",)))


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = connect(f"edge:{tmp_path / 'shoes'}", encoder=HashEncoder())
    texts = ("red shoes" if number < 6 else "blue hat" for number in range(12))
    store.index([Document(id=f"d{number}", text=text) for number, text in enumerate(texts)])
    store.attach(options=AttachOptions(text_index=("text",)))
    return store


def test_ranks_add_up_to_the_score_and_so_does_the_explanation(store: Store) -> None:
    with store:
        hits = store.search("shoes", legs=LEGS, fusion=Rrf(), with_legs=True, limit=6)
        assert hits.plan.fused_by == "server"
        for hit in hits:
            by_rank = sum(1 / (60 + leg.rank) for leg in hit.legs.values())
            assert hit.score == pytest.approx(by_rank, rel=1e-5)
            explained = store.explain_hybrid("shoes", hit.id, legs=LEGS, fusion=Rrf())
            assert explained.score == pytest.approx(hit.score, rel=1e-5)
        assert any("equal scores within a leg" in warning for warning in hits.plan.warnings)


def test_without_ties_the_server_fuses(store: Store) -> None:
    with store:
        words = ["shoes", "laces", "soles", "heels", "boots", "socks"]
        several = [Document(id=f"w{n}", text=" ".join(words[: n + 1])) for n in range(1, 6)]
        store.index([*several, Document(id="d0", text="hat"), Document(id="d1", text="hat")])
        store.delete([f"d{n}" for n in range(2, 6)])
        hits = store.search(" ".join(words), legs=LEGS, fusion=Rrf(), with_legs=True, limit=5)
        assert not any("equal scores" in warning for warning in hits.plan.warnings)


def test_fusions_by_score_do_not_depend_on_ties(store: Store) -> None:
    with store:
        fusion = WeightedSum(weights=(1, 1), scale=(5, 5))
        hits = store.search("shoes", legs=LEGS, fusion=fusion, with_legs=True, limit=6)
        assert len({round(hit.score, 6) for hit in hits}) == 1
        assert not any("equal scores" in warning for warning in hits.plan.warnings)
