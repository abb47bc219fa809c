"""The test suite that every store has to pass.

Five lines test a third-party adapter:

    class TestMyStore(StoreContract):
        def make_store(self, encoder):
            return connect("mydb://localhost/articles", encoder=encoder)

Each test requests one new, empty store. Tests use only the public verbs.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np
import pytest

from splade_connectors import filters
from splade_connectors.backends.rounding import Rounding
from splade_connectors.documents import Document, DocumentId, Total
from splade_connectors.encoders.base import SparseEncoder
from splade_connectors.errors import (
    ConfigurationError,
    InvalidDocument,
    ManifestMismatch,
    NotFound,
    NotSupported,
)
from splade_connectors.files.dead_letters import DeadLetters, Letters
from splade_connectors.fusion.tuning import Against, Tuning
from splade_connectors.options import WriteOptions
from splade_connectors.store import Store
from splade_connectors.testing.encoder import HashEncoder
from splade_connectors.testing.filtering import assert_filters_generated
from splade_connectors.testing.grouping import assert_best_of_groups
from splade_connectors.testing.oracle import assert_same_ranking, exact_scores
from splade_connectors.testing.requests import counted
from splade_connectors.vectors import SparseVector

TEXTS: dict[DocumentId, str] = {
    "apple.pie/1": "Apples and cinnamon make a warm pie, apples most of all.",
    "bread": "Bread needs flour, water, salt and time.",
    "Ünïcode id ✓": "Water boils at a lower temperature on a mountain.",
    "00000000-0000-4000-8000-000000000001": "A mountain of flour, salt and time.",
    7: "Seven cats watch the water boil.",
    18446744073709551615: "The largest number that fits: time and time again.",
    -3: "A negative number, below the salt.",
}

# Payload values and what every store returns for them (docs/indexing-files.md).
VALUES: dict[str, tuple[Any, Any]] = {
    "date": (date(2024, 1, 2), "2024-01-02"),
    "time": (time(3, 4, 5, 600), "03:04:05.000600"),
    "naive": (datetime(2024, 1, 2, 3, 4, 5), "2024-01-02T03:04:05"),
    "zone": (datetime(2024, 1, 2, 3, 4, 5, 600, UTC), "2024-01-02T03:04:05.000600+00:00"),
    "nanoseconds": (
        np.datetime64(1_704_164_645_000_000_001, "ns"),
        "2024-01-02T03:04:05.000000001",
    ),
    "duration": (timedelta(days=1, microseconds=-1500), "PT86399.9985S"),
    "numpy duration": (np.timedelta64(1, "ns"), "PT0.000000001S"),
    "price": (Decimal("7.00"), 7.0),
    "exact": (Decimal("0.12345678901234567890"), "0.12345678901234567890"),
    "large": (2**64, "18446744073709551616"),
    "largest": (2**63 - 1, 2**63 - 1),
    "bytes": (b"\x00\xff", "AP8="),
    "uuid": (UUID(int=1), "00000000-0000-0000-0000-000000000001"),
    "int64": (np.int64(-3), -3),
    "float32": (np.float32(0.1), 0.10000000149011612),
    "float": (0.1, 0.1),
    "bool": (np.bool_(True), True),
    "array": (np.array([[1, 2]], np.int16), [[1, 2]]),
    "times": (np.array(["2024-01-02", "NaT"], "datetime64[ns]"), ["2024-01-02T00:00:00", None]),
    "object": ({"when": date(2024, 1, 2), "none": float("nan")}, {"when": "2024-01-02"}),
    "null": (None, None),
}
MISSING = {"nan": float("nan"), "nat": np.datetime64("NaT"), "none": Decimal("NaN")}

TUNING = Tuning(
    fusion="sum:weights=0.3:0.7,scale=20:1",
    legs=("sparse", "dense"),
    candidates=50,
    max_query_terms=16,
    held_out=0.7,
    against={"sparse": Against(ndcg=0.6, difference=0.1, p=0.01)},
    model="hash",
    dataset="none",
    queries=50,
    folds=2,
    seed=0,
)


class StoreContract(ABC):
    """The tests of every store.

    Attributes:
        rounding: how the store rounds document weights.
        most_index_requests: maximum number of requests, besides writes, that `index` sends for an
            existing index.
    """

    rounding: Rounding = "float32"
    # A limit, because every look at the server costs users time.
    most_index_requests: int = 6

    @abstractmethod
    def make_store(self, encoder: SparseEncoder) -> Store:
        """A store over a new, empty collection, which stays the same within one test."""

    def filter_for(self, field: str, value: str) -> Any:
        """The store's own filter for documents whose field has this value."""
        raise NotImplementedError

    @pytest.fixture
    def encoder(self) -> SparseEncoder:
        return HashEncoder()

    @pytest.fixture
    def store(self, encoder: SparseEncoder) -> Iterator[Store]:
        with self.make_store(encoder) as store:
            yield store

    @pytest.fixture
    def filled(self, store: Store) -> Store:
        report = store.index(self.documents())
        assert report.rejected == []
        assert report.written == len(TEXTS)
        return store

    def documents(self) -> list[Document]:
        return [
            Document(id=id, text=text, payload={"n": n, "parity": "odd" if n % 2 else "even"})
            for n, (id, text) in enumerate(TEXTS.items())
        ]

    def exact(self, encoder: SparseEncoder, query: str) -> dict[DocumentId, float]:
        vectors = encoder.encode_documents(list(TEXTS.values()))
        scores = exact_scores(encoder.encode_queries([query])[0], vectors, self.rounding)
        return {str(id): float(score) for id, score in zip(TEXTS, scores, strict=True)}

    @pytest.mark.parametrize("query", ["water and salt", "time", "a mountain of apples", "cats"])
    def test_scores_are_the_dot_product(
        self, filled: Store, encoder: SparseEncoder, query: str
    ) -> None:
        hits = filled.search(query, limit=100)
        assert_same_ranking(
            [(str(hit.id), hit.score) for hit in hits], self.exact(encoder, query), limit=100
        )

    def test_a_vector_is_searched_like_its_text(
        self, filled: Store, encoder: SparseEncoder
    ) -> None:
        vector = encoder.encode_queries(["water and salt"])[0]
        assert filled.search(vector) == filled.search("water and salt")

    def test_pages_put_together_are_one_page(self, filled: Store) -> None:
        whole = filled.search("water and salt and time", limit=6)
        pages = [
            hit
            for offset in range(0, 6, 2)
            for hit in filled.search("water and salt and time", limit=2, offset=offset)
        ]
        assert [hit.id for hit in pages] == [hit.id for hit in whole]

    def test_ids_come_back(self, filled: Store) -> None:
        found = {str(hit.id) for hit in filled.search("water salt time apples", limit=100)}
        assert found == {str(id) for id in TEXTS}
        for id in TEXTS:
            assert str(filled.get([id])[0].id) == str(id)

    def test_ids_of_other_libraries_are_the_plain_ones(self, store: Store) -> None:
        uid, number, text = UUID(int=5), np.int64(12), np.str_("rye")
        plain: list[DocumentId] = [str(uid), 12, "rye"]
        given: list[Any] = [uid, number, text]
        documents = [
            Document(id=id, text="water and salt", payload={"n": n}) for n, id in enumerate(given)
        ]
        report = store.index([*documents, Document(id=str(uid), text="The same one.")])
        assert (report.written, report.rejected_count) == (3, 1)
        assert [type(document.id) for document in documents] == [str, int, str]
        found = store.get(given)
        assert [str(document.id) for document in found] == [str(id) for id in plain]
        assert store.get(plain) == found
        assert store.known([*given, UUID(int=6)]) == given
        store.update(uid, payload={"n": 7})
        assert store.get([uid])[0].payload["n"] == 7
        assert store.explain("salt", number).id == found[1].id
        store.delete([uid, number])
        assert store.known(plain) == ["rye"]

    def test_payload_comes_back_with_the_text(self, filled: Store) -> None:
        hit = filled.search("cinnamon")[0]
        text = TEXTS["apple.pie/1"]
        assert hit.payload == {"n": 0, "parity": "even", "text": text}
        assert filled.search("cinnamon", with_payload=False)[0].payload == {}
        assert filled.get(["apple.pie/1"])[0].payload == hit.payload

    def test_vectors_come_back_as_stored(self, filled: Store, encoder: SparseEncoder) -> None:
        document = filled.get(["bread"], with_vectors=True)[0]
        encoded = encoder.encode_documents([TEXTS["bread"]])
        assert document.vector is not None
        exact = exact_scores(document.vector, encoded, self.rounding)[0]
        assert document.vector.dot(document.vector) == pytest.approx(exact, rel=1e-5)

    def test_a_filter_keeps_the_scores(self, filled: Store, encoder: SparseEncoder) -> None:
        hits = filled.search("water and salt", filter=self.filter_for("parity", "odd"), limit=100)
        odd = {str(document.id) for document in self.documents() if document.payload["n"] % 2}
        scores = self.exact(encoder, "water and salt")
        exact: dict[DocumentId, float] = {id: scores[id] for id in odd}
        assert_same_ranking([(str(hit.id), hit.score) for hit in hits], exact, limit=100)

    def test_conditions_mean_what_they_mean_on_every_store(self, store: Store) -> None:
        assert_filters_generated(store, rounds=4, at_once=25, same=True)

    def passages(self) -> list[Document]:
        """Passages of books with different and equal scores; some belong to no book."""
        words = ["salt", "salt salt time", "mountain", "flour and water"]
        found = []
        for n in range(60):
            payload: dict[str, Any] = {"n": n, "shelf": {"no": n % 4}}
            if n % 7:
                payload["book"] = f"book {n * n % 11}" if n % 5 else [f"book {n % 3}"]
            text = f"water {words[n % 4]} {'cat ' * (n % 3)}"
            found.append(Document(id=f"passage-{n}", text=text, payload=payload))
        return found

    def test_conditions_as_json_are_conditions(self, filled: Store) -> None:
        odd = {"equals": {"path": "parity", "value": "odd"}}
        for given in (odd, {"not": odd}, {"all": [odd, {"range": {"path": "n", "lt": 4}}]}):
            hits = filled.search("water and salt", filter=given, limit=100)
            same = filled.search("water and salt", filter=filters.from_json(given), limit=100)
            assert hits == same
            assert 0 < len(hits) < len(TEXTS)
        for name in ("equal", "Equals", "eq"):
            with pytest.raises(ConfigurationError, match=f"unknown condition '{name}'"):
                filled.search("water", filter={name: odd["equals"]})
        for wrong in ({"anyof": [odd]}, {"all": [{"equal": odd["equals"]}]}):
            with pytest.raises(ConfigurationError, match="it must be one of equals, any_of, range"):
                filled.search("water", filter=wrong)

    @pytest.mark.parametrize("path", ["book", "shelf.no"])
    def test_groups_are_the_best_of_each_value(self, store: Store, path: str) -> None:
        store.index(self.passages())
        for query in ("water", "salt and cats", "time on a mountain"):
            ranking = store.search(query, limit=100)
            for offset, limit in ((0, 2), (0, 3), (2, 5), (0, 50), (8, 50), (50, 5)):
                hits = store.search(query, group_by=path, offset=offset, limit=limit)
                assert_best_of_groups(hits, ranking, path, offset=offset, limit=limit)

    def test_groups_of_what_a_filter_leaves(self, store: Store) -> None:
        store.index(self.passages())
        few = filters.Range("n", lt=20)
        hits = store.search("water", filter=few, group_by="book", limit=3)
        assert_best_of_groups(
            hits, store.search("water", filter=few, limit=100), "book", offset=0, limit=3
        )
        assert hits[0].payload["n"] < 20
        without = store.search("water", group_by="book", with_payload=False)
        assert [hit.payload for hit in without] == [{}] * len(without)

    def test_hits_below_a_score_are_left_out(self, filled: Store) -> None:
        whole = filled.search("water and salt", limit=100)
        middle = whole[len(whole) // 2].score
        kept = filled.search("water and salt", limit=100, min_score=middle)
        assert list(kept) == [hit for hit in whole if hit.score >= middle]
        assert 0 < len(kept) < len(whole)
        assert not filled.search("water and salt", min_score=1e6)

    def test_the_total_counts_what_matches_whatever_the_page(self, filled: Store) -> None:
        for query, filter in (
            ("water and salt", None),
            ("cats", None),
            ("water and salt", filters.Equals("parity", "odd")),
            ("zebra", None),
            (" ", None),
        ):
            whole = filled.search(query, limit=100, filter=filter)
            page = filled.search(
                query, limit=1, offset=1, filter=filter, min_score=1e6, with_total=True
            )
            assert page.total == Total(value=len(whole)), query
        assert filled.search("water").total is None
        grouped = filled.search("water and salt", group_by="parity", with_total=True)
        assert grouped.total is not None
        assert grouped.total.value == sum(hit.more + 1 for hit in grouped)

    def test_the_terms_of_all_hits_are_one_request(self, filled: Store) -> None:
        query = "water and salt"
        plain = filled.search(query, limit=100)
        with counted(filled) as alone:
            filled.search(query, limit=100)
        with counted(filled) as sent:
            hits = filled.search(query, limit=100, with_terms=True)
        assert len(sent.purposes) <= len(alone.purposes) + 1, sent
        assert [(hit.id, hit.score, hit.payload) for hit in hits] == [
            (hit.id, hit.score, hit.payload) for hit in plain
        ]
        for hit in hits:
            assert hit.terms == filled.explain(query, hit.id).terms
            assert sum(term.contribution for term in hit.terms) == pytest.approx(
                hit.score, rel=1e-5
            )
            assert hit.snippet is not None
            assert hit.snippet.text == hit.payload["text"]
            words = hit.snippet.marked("[", "]").casefold()
            assert ("[water]" in words) == ("water" in words)
            assert ("[salt]" in words) == ("salt" in words)
        assert all(hit.terms == () and hit.snippet is None for hit in plain)

    def test_a_filter_of_another_kind_is_refused(self, filled: Store) -> None:
        with pytest.raises(ConfigurationError):
            filled.search("water", filter=["parity", "odd"])

    def test_writing_again_replaces_the_document_whole(self, filled: Store) -> None:
        filled.index([Document(id="bread", text="Cinnamon rolls.", payload={"new": True})])
        document = filled.get(["bread"])[0]
        assert document.payload == {"new": True, "text": "Cinnamon rolls."}
        assert filled.count() == len(TEXTS)
        assert "bread" not in {hit.id for hit in filled.search("flour", limit=100)}
        assert "bread" in {hit.id for hit in filled.search("cinnamon", limit=100)}

    def test_indexing_twice_changes_nothing(self, filled: Store, encoder: SparseEncoder) -> None:
        filled.index(self.documents())
        assert filled.count() == len(TEXTS)
        hits = filled.search("time and salt", limit=100)
        exact = self.exact(encoder, "time and salt")
        assert_same_ranking([(str(hit.id), hit.score) for hit in hits], exact, limit=100)

    def test_updating_a_field_keeps_the_rest(self, filled: Store) -> None:
        before = filled.get(["bread"], with_vectors=True)[0]
        filled.update("bread", payload={"n": 100})
        after = filled.get(["bread"], with_vectors=True)[0]
        assert after.payload == {**before.payload, "n": 100}
        assert after.vector == before.vector

    def test_updating_the_text_re_encodes_it(self, filled: Store, encoder: SparseEncoder) -> None:
        filled.update("bread", text="Cats sleep.")
        document = filled.get(["bread"], with_vectors=True)[0]
        assert document.payload == {"n": 1, "parity": "odd", "text": "Cats sleep."}
        assert document.vector is not None
        fresh = encoder.encode_documents(["Cats sleep."])[0]
        assert document.vector.indices.tolist() == fresh.indices.tolist()
        assert "bread" in {hit.id for hit in filled.search("cats")}
        assert "bread" not in {hit.id for hit in filled.search("flour")}

    @pytest.mark.parametrize(
        "changes",
        [
            pytest.param({"": 1}, id="empty key"),
            pytest.param({7: 1}, id="number as a key"),
            pytest.param({("a", "b"): 1}, id="tuple as a key"),
            pytest.param({"a": {None: 1}}, id="no string as a key below"),
            pytest.param({"a": [{" ": 1}]}, id="blank key below"),
            pytest.param({"n": float("nan"), "": 1}, id="missing value beside an empty key"),
            pytest.param({"a": "\ud800"}, id="half of a surrogate pair"),
            pytest.param({"a": object()}, id="object"),
        ],
    )
    def test_an_update_is_refused_whole_if_it_cannot_be_indexed(
        self, filled: Store, changes: Any
    ) -> None:
        before = filled.get(["bread"], with_vectors=True)
        report = filled.index([Document(id="new", text="Cats sleep.", payload=changes)])
        assert (report.written, report.rejected_count) == (0, 1)
        with pytest.raises(InvalidDocument, match="payload"):
            filled.update("bread", text="Cats sleep.", payload=changes)
        assert filled.get(["bread"], with_vectors=True) == before

    def test_updating_what_is_not_there(self, filled: Store) -> None:
        with pytest.raises(NotFound, match="nobody"):
            filled.update("nobody", text="x")

    def test_deleting(self, filled: Store) -> None:
        filled.delete(["bread", "nobody", 7])
        assert filled.count() == len(TEXTS) - 2
        with pytest.raises(NotFound, match="'bread'"):
            filled.get(["apple.pie/1", "bread"])

    def test_an_empty_text_is_stored_and_never_found(self, filled: Store) -> None:
        report = filled.index([Document(id="nothing", text=" \n", payload={"n": -1})])
        assert (report.written, report.empty) == (1, 1)
        assert filled.count() == len(TEXTS) + 1
        document = filled.get(["nothing"], with_vectors=True)[0]
        assert document.payload["n"] == -1
        assert document.vector == SparseVector.empty()

    def test_an_empty_query_finds_nothing_and_says_so(self, filled: Store) -> None:
        hits = filled.search("  ")
        assert len(hits) == 0
        assert "no terms" in " ".join(hits.plan.warnings)

    def test_a_duplicate_id_is_reported(self, store: Store) -> None:
        report = store.index([Document(id="a", text="first"), Document(id="a", text="second")])
        assert report.written == 1
        assert report.rejected_count == 1
        assert "'a'" in report.rejected[0].reason
        assert store.get(["a"])[0].payload["text"] == "first"

    def test_a_payload_that_is_not_json_is_one_rejection(
        self, store: Store, tmp_path: Path
    ) -> None:
        """With and without a dead-letter file; none of its records is sent again."""
        deep: list[Any] = []
        for _ in range(970):
            deep = [deep]
        circular: list[Any] = []
        circular += [circular, circular]
        values = [
            deep,
            circular,
            {("a",): 1},
            {b"a": 1},
            10**5000,
            float("inf"),
            "\ud800",
            object(),
        ]
        path = tmp_path / "letters.jsonl"
        for number in range(2):
            documents = [
                Document(id=f"{number} {at}", text="water", payload={"x": value})
                for at, value in enumerate([*values, "fine"])
            ]
            with DeadLetters(path) as letters:
                report = store.index(documents, dead_letters=letters if number else None)
            assert (report.written, report.rejected_count) == (1, len(values))
            assert all("payload" in item.reason for item in report.rejected)
        assert (letters.count, letters.again) == (len(values), 0)
        assert store.index(Letters(path)).written == 0

    def test_values_of_every_type_come_back_as_documented(self, store: Store) -> None:
        payload = {name: given for name, (given, _) in VALUES.items()} | MISSING
        stored = {name: kept for name, (_, kept) in VALUES.items()}
        report = store.index([Document(id="all", text="water", payload=payload)])
        assert (report.written, report.rejected) == (1, [])
        found = store.get(["all"])[0].payload
        assert found == {**stored, "text": "water"}
        assert {name: repr(found[name]) for name in stored if name != "object"} == {
            name: repr(kept) for name, kept in stored.items() if name != "object"
        }
        store.update("all", payload={"date": date(2025, 1, 2), "float": Decimal("0.5")})
        assert store.get(["all"])[0].payload == {**found, "date": "2025-01-02", "float": 0.5}

    def test_what_cannot_be_stored_is_counted_and_not_encoded(self, store: Store) -> None:
        documents = [
            Document(id=number, text="water", payload={"meta": {"tags": {number}}})
            for number in range(3)
        ]
        report = store.index(documents)
        reason = "the payload's field 'meta.tags' has type set, which cannot be stored"
        assert (report.written, report.reasons, report.tokens) == (0, {reason: 3}, 0)
        with pytest.raises(NotFound):
            store.get([0])

    def test_a_document_that_no_request_can_hold_is_one_rejection(self, store: Store) -> None:
        long = ["water and salt, " * length for length in (4_000, 400, 5_000, 1, 400)]
        documents = [Document(id=number, text=text) for number, text in enumerate(long)]
        options = WriteOptions(max_request_bytes=20_000)
        with counted(store) as sent:
            report = store.index(documents, options=options)
        assert (report.written, report.rejected_count, report.encoded) == (3, 2, 3)
        assert [item.id for item in report.rejected] == [0, 2]
        assert all(item.final for item in report.rejected)
        reason = r"the document takes 0\.1 MB in a request, but the server accepts at most 0\.0 MB"
        assert all(re.match(reason, item.reason) for item in report.rejected)
        # 6.4 KB each, and a short one: at most three of them fit into a request.
        assert len(sent.writes) in (0, 1)
        more = [Document(id=number, text=long[1]) for number in range(10, 22)]
        with counted(store) as sent:
            assert store.index(more, options=options).written == len(more)
        assert len(sent.writes) in (0, *range(4, 7))

    def test_many_ids_are_asked_for_and_deleted_in_portions(self, store: Store) -> None:
        ids = [f"document {number}" for number in range(700)]
        store.index([Document(id=id, text="salt") for id in ids])
        assert [str(found.id) for found in store.get(ids)] == ids
        with pytest.raises(NotFound, match="'nobody'"):
            store.get([*ids, "nobody"])
        store.delete([*ids[:650], "nobody"])
        assert store.known(ids) == ids[650:]

    def test_explanations_add_up(self, filled: Store, encoder: SparseEncoder) -> None:
        query = "water and salt"
        for hit in filled.search(query, limit=100):
            explanation = filled.explain(query, hit.id)
            total = sum(term.contribution for term in explanation.terms)
            assert explanation.score == pytest.approx(hit.score, rel=1e-5)
            assert total == pytest.approx(hit.score, rel=1e-5)
        own = encoder.tokens(sorted(encoder.own_terms("salt")))[0]
        term = {term.token: term for term in filled.explain(query, "bread").terms}[own]
        assert (term.in_query, term.in_document) == (True, True)

    def test_an_explanation_is_of_the_query_that_was_sent(self, filled: Store) -> None:
        query = "water and salt and time"
        for hit in filled.search(query, limit=100, max_query_terms=3):
            explanation = filled.explain(query, hit.id, max_query_terms=3)
            assert explanation.query_terms == 3
            assert explanation.score == pytest.approx(hit.score, rel=1e-5)

    def test_terms_beyond_16_bits_are_terms_of_their_own(self) -> None:
        # XLM-R has 250,002 terms; a store that truncates ids would find other terms too.
        terms = [250_001, 250_001 - 65_536, 250_001 % 65_536, 250_001 % 32_768, 65_535, 65_536]
        documents = [
            Document(id=str(term), text="", vector=SparseVector.from_pairs({term: 1.5})[0])
            for term in terms
        ]
        with self.make_store(HashEncoder("large", vocabulary=250_002)) as store:
            most = store.inspect().capabilities.max_vocabulary
            if most is not None and most < 250_002:
                with pytest.raises(NotSupported, match=r"250,002"):
                    store.index(documents)
                return
            assert store.index(documents).rejected == []
            for term in terms:
                query, _ = SparseVector.from_pairs({term: 2.0})
                (hit,) = store.search(query)
                assert str(hit.id) == str(term)
                assert hit.score == pytest.approx(3.0)
                (document,) = store.get([str(term)], with_vectors=True)
                assert document.vector is not None
                assert document.vector.indices.tolist() == [term]

    def test_explaining_what_is_not_there(self, filled: Store) -> None:
        with pytest.raises(NotFound, match="nobody"):
            filled.explain("water", "nobody")

    def test_long_queries_keep_their_heaviest_terms(
        self, filled: Store, encoder: SparseEncoder
    ) -> None:
        vector = encoder.encode_queries(["water and salt"])[0]
        hits = filled.search("water and salt", max_query_terms=2)
        assert any("heaviest" in warning for warning in hits.plan.warnings)
        heaviest = sorted(vector.values.tolist())[-2:]
        assert max(hit.score for hit in hits) <= sum(heaviest) * 3

    def test_a_tuning_is_kept_and_changes_nothing_else(
        self, filled: Store, encoder: SparseEncoder
    ) -> None:
        manifest, vectors = filled.inspect().manifest, filled.get(list(TEXTS), with_vectors=True)
        assert manifest is not None
        assert filled.tuning() is None
        filled.save_tuning(TUNING)
        assert filled.tuning() == TUNING
        with self.make_store(encoder) as again:
            assert again.tuning() == TUNING
            assert again.inspect().manifest == replace(manifest, tuning=TUNING.to_json())
            assert again.get(list(TEXTS), with_vectors=True) == vectors
            assert again.index(self.documents()).written == len(TEXTS)  # no mismatch
            assert again.tuning() == TUNING
            again.save_tuning(None)
            assert again.tuning() is None
            assert again.inspect().manifest == manifest

    def test_a_tuning_of_another_model_is_refused(self, filled: Store) -> None:
        with pytest.raises(ConfigurationError, match=r"model 'another', .* vectors of 'hash'"):
            filled.save_tuning(replace(TUNING, model="another"))

    def test_another_model_is_refused(self, filled: Store) -> None:
        other = self.make_store(HashEncoder(model="another"))
        with other:
            with pytest.raises(ManifestMismatch, match=r"another.*override"):
                other.index([Document(id="x", text="y")])
            with pytest.raises(ManifestMismatch, match=r"'hash'.*'another'"):
                other.search("water")
        with self.make_store(HashEncoder()) as again:
            assert again.count() == len(TEXTS)

    def test_other_text_fields_are_refused_for_writing(self, filled: Store) -> None:
        options = WriteOptions(text_fields=("title", "body"))
        with pytest.raises(ManifestMismatch, match="text_fields"):
            filled.index([Document(id="x", text="y")], options=options)

    def test_the_manifest_can_be_read(self, filled: Store) -> None:
        inspection = filled.inspect()
        assert inspection.manifest is not None
        assert inspection.manifest.model == "hash"
        assert inspection.documents == len(TEXTS)

    def test_documents_that_are_replaced_are_counted(self, filled: Store) -> None:
        new = Document(id="not there before", text="bread")
        report = filled.index([*self.documents()[:3], new])
        assert (report.written, report.replaced) == (4, 3)

    def test_a_warm_search_is_one_request(self, filled: Store) -> None:
        filled.search("water")
        with counted(filled) as sent:
            assert len(filled.search("water")) > 1
        assert len(sent.purposes) <= 1, sent
        assert sent.writes == []

    def test_indexing_again_looks_once(self, filled: Store, encoder: SparseEncoder) -> None:
        with self.make_store(encoder) as again, counted(again) as sent:
            assert again.index(self.documents()[:3]).written == 3
        assert len(sent.purposes) <= self.most_index_requests, sent
        assert len(sent.writes) <= 1, sent

    def test_searching_before_indexing(self, store: Store) -> None:
        with pytest.raises(NotFound, match="does not exist"):
            store.search("water")

    def test_bad_documents_are_refused_before_anything_is_sent(self, store: Store) -> None:
        with pytest.raises(InvalidDocument, match="empty"):
            store.index(Document(id=id, text="x") for id in ["fine", ""])
        with pytest.raises(NotFound):
            store.search("x")
