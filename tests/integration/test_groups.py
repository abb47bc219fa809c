"""The best hit of each value: over several legs, with ties, within limits, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from qdrant_client import models

from splade_connectors import Document, Rrf, WeightedSum, connect
from splade_connectors.errors import ConfigurationError, NotSupported
from splade_connectors.fusion import SparseLeg, TextLeg
from splade_connectors.testing import HashEncoder
from splade_connectors.testing.grouping import assert_best_of_groups
from splade_connectors.testing.requests import counted
from tests.fronts import QdrantRestFront
from tests.integration.command_line import Run, target
from tests.integration.test_filters import ON_SERVERS, opened

WORDS = ["salt", "salt salt time", "mountain", "flour and water"]


def passages(count: int = 60) -> list[Document]:
    return [
        Document(
            id=f"passage-{n}",
            text=f"water {WORDS[n % 4]} {'cat ' * (n % 3)}",
            payload={"book": f"book {n * n % 11}", "n": n},
        )
        for n in range(count)
    ]


@pytest.mark.parametrize("name", ["edge", "local", *ON_SERVERS])
def test_groups_of_several_legs_are_the_best_of_the_fused_ranking(
    name: str, request: pytest.FixtureRequest
) -> None:
    with opened(name, request) as store:
        store.index(passages())
        second: Any = SparseLeg(name="again")
        if name.startswith(("elastic", "opensearch")):
            second = TextLeg(candidates=30)
        legs = [SparseLeg(candidates=40), second]
        for fusion in (Rrf(), WeightedSum(weights=(1, 0.3))):
            whole = store.search("salt and cats", legs=legs, fusion=fusion, path="client", limit=30)
            hits = store.search(
                "salt and cats", legs=legs, fusion=fusion, group_by="book", limit=4, offset=1
            )
            best = {hit.payload["book"]: hit for hit in reversed(whole)}
            ranked = sorted(best.values(), key=lambda hit: (-hit.score, str(hit.id)))[1:5]
            assert [(hit.id, hit.score) for hit in hits] == [(hit.id, hit.score) for hit in ranked]
            assert [hit.group for hit in hits] == [hit.payload["book"] for hit in ranked]
            assert all(hit.payload["book"] == hit.group for hit in hits)
            assert all(hit.legs for hit in hits)
            for hit in hits:
                seen = sum(other.payload["book"] == hit.group for other in whole)
                assert hit.more >= seen - 1
        with pytest.raises(NotSupported, match="needs the whole fused ranking"):
            store.search("salt", legs=legs, group_by="book", path="server")


@pytest.mark.parametrize("name", ["memory", "edge", "local", *ON_SERVERS])
def test_a_field_with_several_values_is_refused(name: str, request: pytest.FixtureRequest) -> None:
    with opened(name, request) as store:
        store.index([Document(id="1", text="water", payload={"tags": ["a", "b"]})])
        with pytest.raises(ConfigurationError, match=r"group_by.* needs a field with one value"):
            store.search("water", group_by="tags")


@pytest.mark.parametrize("name", ON_SERVERS)
def test_fields_whose_values_are_not_told_apart_are_refused(
    name: str, request: pytest.FixtureRequest
) -> None:
    with opened(name, request) as store:
        store.index([Document(id="1", text="water", payload={"day": "2024-02-29"})])
        for path, what in {
            "text": "text: group_by needs a keyword field or whole numbers",
            "day": "date: group_by",
            "nowhere": "not mapped: group_by",
        }.items():
            with pytest.raises(ConfigurationError, match=f"'{path}' of .* is {what}"):
                store.search("water", group_by=path)


@pytest.mark.parametrize("given", ["", "a..b", 5])
def test_what_names_no_field_is_refused(given: Any, tmp_path: Path) -> None:
    with (
        connect(target(tmp_path), encoder=HashEncoder()) as store,
        pytest.raises(ConfigurationError, match=f"group_by must name a field, not {given!r}"),
    ):
        store.search("water", group_by=given)


def test_equal_scores_are_in_one_order_whatever_the_page(tmp_path: Path) -> None:
    """All documents score the same: groups by id as text, pages of them are one ranking."""
    with connect(target(tmp_path), encoder=HashEncoder()) as store:
        store.index(Document(id=str(n), text="water", payload={"book": n % 25}) for n in range(200))
        whole = store.search("water", group_by="book", limit=25)
        assert [str(hit.id) for hit in whole] == sorted(str(hit.id) for hit in whole)
        assert {hit.more for hit in whole} == {7}
        pages = [
            hit
            for offset in range(0, 25, 4)
            for hit in store.search("water", group_by="book", limit=4, offset=offset)
        ]
        assert pages == list(whole)


def test_a_page_of_groups_costs_a_few_requests(tmp_path: Path) -> None:
    with connect(target(tmp_path), encoder=HashEncoder()) as store:
        store.index(passages(500))
        with counted(store) as sent:
            hits = store.search("salt and cats", group_by="book", limit=3)
        assert len(hits) == 3
        # Nine of ten passages tie with another one: twice it has to look farther.
        assert len(sent.purposes) <= 5, sent
        assert sent.purposes[-1] == "retrieve"


@pytest.mark.parametrize("most", [12, 20, 1000])
def test_strict_mode_is_never_exceeded(most: int) -> None:
    with QdrantRestFront() as front:
        target = f"qdrant://{front.host}/passages"
        with connect(target, encoder=HashEncoder()) as store:
            store.index(passages())
            ranking = store.search("salt and cats", limit=100)
        front.engine.strict_mode = models.StrictModeConfigOutput.model_validate(
            {"enabled": True, "max_query_limit": most}
        )
        front.requests.clear()
        with connect(target, encoder=HashEncoder()) as store:
            hits = store.search("salt and cats", group_by="book", limit=4)
        asked = [item.body["limit"] for item in front.requests if item.path.endswith("/query")]
    best = [hit.score for hit in _best(ranking)][:4]
    assert [hit.score for hit in hits] == pytest.approx(best)
    assert max(asked) <= most
    if most == 1000:
        assert_best_of_groups(hits, ranking, "book", offset=0, limit=4)


def _best(ranking: Any) -> list[Any]:
    best: dict[Any, Any] = {}
    for hit in ranking:
        best.setdefault(hit.payload["book"], hit)
    return list(best.values())


def test_groups_on_the_command_line(run: Run, tmp_path: Path) -> None:
    with connect(target(tmp_path)) as store:
        store.index(passages())
    line = ["search", target(tmp_path), "salt in water", "--group-by", "book", "--limit", "2"]
    found = run(*line, "--json").json
    assert [set(hit) for hit in found] == [{"id", "score", "payload", "group", "more"}] * 2
    assert all(hit["more"] > 0 and hit["group"] == hit["payload"]["book"] for hit in found)
    shown = run(*line).out
    assert "more" in shown.splitlines()[0]
    assert found[0]["group"] in shown


KEYWORD = {"type": "keyword", "ignore_above": 256}
LIMITED = {
    "text": {"properties": {"book": {"type": "text", "fields": {"raw": KEYWORD}}}},
    "keyword": {"properties": {"book": KEYWORD}},
    "unlimited": {"properties": {"book": {"type": "keyword"}}},
}


@pytest.mark.parametrize("name", ON_SERVERS)
@pytest.mark.parametrize("mapped", ["by itself", *LIMITED])
def test_values_too_long_to_group_by_are_told_once(
    name: str, mapped: str, request: pytest.FixtureRequest, caplog: pytest.LogCaptureFixture
) -> None:
    long = "x" * 300
    with opened(name, request, LIMITED.get(mapped)) as store:
        books = ["short", long, f"{long}2", "other"]
        documents = [
            Document(id=str(n), text="water", payload={"book": book})
            for n, book in enumerate(books)
        ]
        store.index([documents[0], documents[3]])
        assert len(store.search("water", group_by="book")) == 2
        assert "group_by" not in caplog.text
        store.index(documents)
        with connect(store._session.backend.location, encoder=HashEncoder()) as later:
            for _ in range(2):
                hits = later.search("water", group_by="book")
                kept = {"short", "other"} if mapped != "unlimited" else set(books)
                assert {hit.group for hit in hits} == kept
            # OpenSearch does not tell which keywords were too long.
            is_told = mapped != "keyword" or name.startswith("elastic")
            silent = mapped == "unlimited" or not is_told
            assert caplog.text.count("group_by omits 2 documents of") == (0 if silent else 1)
            if not silent:
                assert "'book' is longer than the mapping's ignore_above" in caplog.text
