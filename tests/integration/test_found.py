"""What a search tells beside its hits: totals, terms, snippets; on the command line, too."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from splade_connectors import Document, Rrf, connect
from splade_connectors.documents import Total
from splade_connectors.errors import ConfigurationError, NotSupported
from splade_connectors.fusion import SparseLeg
from splade_connectors.testing import HashEncoder
from splade_connectors.testing.requests import counted
from tests.integration.command_line import Run, target
from tests.integration.test_filters import ON_SERVERS, opened

QUERY = "how does yeast make dough rise"
LONG = "Bread is older than writing. " * 12 + "Yeast makes dough rise with gas. " + "Salt. " * 50


@pytest.mark.parametrize("name", ["edge", "local", *ON_SERVERS])
def test_several_legs_tell_the_same_of_their_windows(
    name: str, request: pytest.FixtureRequest
) -> None:
    with opened(name, request) as store:
        texts = ["water and salt", "water", "salt of the earth", "bread"]
        store.index(Document(id=str(n), text=text) for n, text in enumerate(texts))
        legs = [SparseLeg(candidates=20), SparseLeg(name="again", candidates=20)]
        hits = store.search(
            "salt water", legs=legs, fusion=Rrf(), limit=2, with_total=True, with_terms=True
        )
        assert hits.total == Total(value=3)
        assert len(hits) == 2
        for hit in hits:
            assert hit.terms == store.explain("salt water", hit.id).terms
            assert hit.snippet is not None
            assert hit.snippet.marks
        narrow = [SparseLeg(candidates=2), SparseLeg(name="again", candidates=2)]
        found = store.search("salt water", legs=narrow, limit=2, with_total=True)
        assert found.total == Total(value=2, exact=False)
        best = hits[0].score * 0.9999  # servers fuse in 32 bits
        assert [
            hit.score for hit in store.search("salt water", legs=legs, fusion=Rrf(), min_score=best)
        ] == pytest.approx([hits[0].score])
        with pytest.raises(NotSupported, match="with_total with several legs needs the whole"):
            store.search("salt", legs=legs, path="server", with_total=True)


def test_many_matches_are_counted_up_to_a_bound(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("splade_qdrant.backend.MOST_COUNTED", 20)
    with connect(target(tmp_path), encoder=HashEncoder()) as store:
        store.index(Document(id=n, text="water") for n in range(25))
        assert store.search("water", limit=1, with_total=True).total == Total(value=20, exact=False)
        store.delete(range(10))
        with counted(store) as alone:
            store.search("water", limit=1)
        with counted(store) as sent:
            assert store.search("water", limit=1, with_total=True).total == Total(value=15)
        assert sent.purposes == [*alone.purposes, "query"], sent


@pytest.mark.parametrize("score", [float("nan"), float("inf")])
def test_a_least_score_is_a_number(score: float, tmp_path: Path) -> None:
    with (
        connect(target(tmp_path), encoder=HashEncoder()) as store,
        pytest.raises(ConfigurationError, match="min_score must be a finite number"),
    ):
        store.search("water", min_score=score)


@pytest.fixture
def shelf(tmp_path: Path) -> str:
    with connect(target(tmp_path)) as store:
        store.index(
            [
                Document(id="long", text=LONG, payload={"title": "Bread"}),
                Document(id="beer", text="Yeast turns sugar into alcohol."),
                Document(id="clocks", text="A pendulum swings in equal times."),
            ]
        )
    return target(tmp_path)


def test_the_command_line_shows_where_a_text_matches(run: Run, shelf: str) -> None:
    lines = run("search", shelf, QUERY).out.splitlines()
    shown = " ".join(" ".join(lines).split())
    assert "Bread - …" in shown
    assert "Yeast makes dough rise with gas." in shown
    assert "Salt. Salt. Salt. Salt. Salt. Salt. Salt. Salt. Salt. Salt. Salt. Salt. S" not in shown


def test_the_command_line_shows_terms_and_totals(run: Run, shelf: str) -> None:
    done = run("search", shelf, QUERY, "--limit", "1", "--terms", "--total")
    words = " ".join(done.out.split())
    assert "terms" in done.out.splitlines()[0]
    assert "dough" in words
    assert "1 of 3 documents" in words or "1 of 2 documents" in words
    found = run("search", shelf, QUERY, "--terms", "--total", "--json").json
    assert found["total"] == {"value": len(found["hits"]), "exact": True}
    first: dict[str, Any] = found["hits"][0]
    assert set(first) == {"id", "score", "payload", "terms", "snippet"}
    assert sum(term["contribution"] for term in first["terms"]) == pytest.approx(first["score"])
    marked = {first["snippet"]["text"][start:end] for start, end in first["snippet"]["marks"]}
    assert {"Yeast", "dough", "rise"} <= marked
    least = str(first["score"] - 0.001)
    above = run("search", shelf, QUERY, "--min-score", least, "--json").json
    assert [hit["id"] for hit in above] == [first["id"]]
    assert set(above[0]) == {"id", "score", "payload"}
    plan = run("search", shelf, QUERY, "--min-score", "5", "--total", "--terms", "--dry-run")
    assert plan.code == 0
