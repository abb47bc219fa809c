"""The tests of a store that keeps a hash of its documents: unchanged documents are skipped."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import pytest

from splade_connectors.documents import Document
from splade_connectors.encoders.base import EncodeStats, SparseEncoder
from splade_connectors.options import OnProgress, PruneOptions, WriteOptions
from splade_connectors.store import Store
from splade_connectors.testing.contract import TEXTS, StoreContract
from splade_connectors.testing.encoder import HashEncoder
from splade_connectors.testing.oracle import assert_same_ranking
from splade_connectors.testing.requests import counted
from splade_connectors.vectors import SparseBatch

MIRROR = WriteOptions(skip_unchanged=True)


class CountingEncoder(HashEncoder):
    """Records the texts that it encodes.

    Attributes:
        texts: all document texts.
    """

    def __init__(self) -> None:
        super().__init__()
        self.texts: list[str] = []

    def encode_documents(
        self,
        texts: Sequence[str],
        *,
        stats: EncodeStats | None = None,
        on_progress: OnProgress | None = None,
    ) -> SparseBatch:
        """Encode documents, and record their texts."""
        self.texts += texts
        return super().encode_documents(texts, stats=stats, on_progress=on_progress)

    def encode_queries(self, texts: Sequence[str]) -> SparseBatch:
        """Encode queries, which are not recorded."""
        return super().encode_documents(texts)


class UnchangedContract(StoreContract):
    """The tests of a store that recognizes unchanged documents; includes `StoreContract`.

    Attributes:
        most_unchanged_requests: maximum number of requests of a run over unchanged documents in
            one portion.
    """

    most_unchanged_requests: int = 8

    @pytest.fixture
    def counting(self) -> CountingEncoder:
        return CountingEncoder()

    @pytest.fixture
    def mirror(self, counting: CountingEncoder) -> Iterator[Store]:
        """A store filled by a run that skips unchanged documents."""
        with self.make_store(counting) as store:
            report = store.index(self.documents(), skip_unchanged=True)
            assert (report.written, report.unchanged) == (len(TEXTS), 0)
            assert report.encoded == len(counting.texts) == len(TEXTS)
            counting.texts.clear()
            yield store

    def test_unchanged_documents_are_neither_encoded_nor_sent(
        self, mirror: Store, counting: CountingEncoder
    ) -> None:
        before = mirror.get(list(TEXTS), with_vectors=True)
        with counted(mirror) as sent:
            report = mirror.index(self.documents(), skip_unchanged=True)
        assert (report.written, report.unchanged, report.encoded) == (0, len(TEXTS), 0)
        assert (report.done, report.replaced, report.rejected) == (len(TEXTS), 0, [])
        assert counting.texts == []
        assert sent.writes == [], sent
        assert len(sent.purposes) <= self.most_unchanged_requests, sent
        assert mirror.get(list(TEXTS), with_vectors=True) == before

    def test_what_has_changed_is_sent_and_only_new_texts_are_encoded(
        self, mirror: Store, counting: CountingEncoder, encoder: SparseEncoder
    ) -> None:
        first, second, *rest = self.documents()
        tonight = [
            replace(first, text="Cats sleep all day."),
            replace(second, payload={"tags": {"deep": [1, 2]}}),
            Document(id="new", text="A new document on tides."),
            *rest,
        ]
        vector = mirror.get([second.id], with_vectors=True)[0].vector
        report = mirror.index(tonight, skip_unchanged=True)
        assert (report.written, report.unchanged, report.encoded) == (3, len(rest), 2)
        assert report.replaced == 2
        assert sorted(counting.texts) == ["A new document on tides.", "Cats sleep all day."]
        stored = mirror.get([second.id], with_vectors=True)[0]
        assert stored.payload == {"tags": {"deep": [1, 2]}, "text": second.text}
        assert stored.vector == vector
        exact = self.exact(encoder, "flour water salt")
        del exact[str(first.id)]
        hits = mirror.search("flour water salt", limit=100)
        assert_same_ranking([(str(hit.id), hit.score) for hit in hits], exact, limit=100)
        again = mirror.index(tonight, skip_unchanged=True)
        assert (again.written, again.unchanged) == (0, len(tonight))

    def test_a_field_that_is_gone_is_a_change(self, mirror: Store) -> None:
        first, *rest = self.documents()
        gone = replace(first, payload={"parity": "even"})
        report = mirror.index([gone, *rest], skip_unchanged=True)
        assert (report.written, report.encoded) == (1, 0)
        assert mirror.get([first.id])[0].payload == {"parity": "even", "text": first.text}

    def test_after_an_update_the_source_is_written_again(self, mirror: Store) -> None:
        first, second, *_ = self.documents()
        vector = mirror.get([first.id], with_vectors=True)[0].vector
        mirror.update(first.id, payload={"n": 100})
        mirror.update(second.id, text="Something else.")
        assert mirror.get([first.id], with_vectors=True)[0].vector == vector
        report = mirror.index(self.documents(), skip_unchanged=True)
        assert (report.written, report.encoded) == (2, 1)
        assert mirror.get([first.id])[0].payload["n"] == 0
        assert mirror.get([second.id])[0].payload["text"] == second.text

    def test_documents_that_were_deleted_come_back(self, mirror: Store) -> None:
        mirror.delete(["bread", 7])
        report = mirror.index(self.documents(), skip_unchanged=True)
        assert (report.written, report.replaced, report.encoded) == (2, 0, 2)

    def test_documents_without_text_are_unchanged_too(self, mirror: Store) -> None:
        empty = Document(id="nothing", text=" ", payload={"n": -1})
        assert mirror.index([empty], skip_unchanged=True).written == 1
        report = mirror.index([empty], skip_unchanged=True)
        assert (report.written, report.unchanged, report.empty) == (0, 1, 0)
        changed = replace(empty, payload={"n": -2})
        report = mirror.index([changed], skip_unchanged=True)
        assert (report.written, report.encoded, report.empty) == (1, 0, 1)
        assert mirror.index([changed], skip_unchanged=True).unchanged == 1

    def test_other_settings_are_a_change(self, counting: CountingEncoder) -> None:
        with self.make_store(counting) as store:
            store.index(self.documents(), skip_unchanged=True)
            session: Any = store._session
            session._prune = PruneOptions(top_k=4)
            report = store.index(self.documents(), options=replace(MIRROR, override_manifest=True))
            assert (report.written, report.encoded) == (len(TEXTS), len(TEXTS))

    def test_a_vector_that_a_document_brings_is_part_of_it(
        self, mirror: Store, encoder: SparseEncoder
    ) -> None:
        other, another = encoder.encode_documents(["tides and moons", "moons"])
        brought = Document(id="brought", text="tides", vector=other)
        assert mirror.index([brought], skip_unchanged=True).written == 1
        assert mirror.index([brought], skip_unchanged=True).unchanged == 1
        report = mirror.index([replace(brought, vector=another)], skip_unchanged=True)
        assert (report.written, report.encoded) == (1, 0)
        # A vector given with a document is not tied to its text: without one, the text is encoded.
        report = mirror.index([replace(brought, vector=None)], skip_unchanged=True)
        assert (report.written, report.encoded) == (1, 1)
        assert mirror.search("tides")[0].id == "brought"

    def test_what_was_not_skipped_before_is_written_once(self, filled: Store) -> None:
        """The first run that skips unchanged documents, on an index filled without."""
        first = filled.index(self.documents(), skip_unchanged=True)
        assert first.written + first.unchanged == len(TEXTS)
        second = filled.index(self.documents(), skip_unchanged=True)
        assert (second.written, second.unchanged) == (0, len(TEXTS))

    def test_a_plain_run_writes_all_of_it(self, mirror: Store) -> None:
        report = mirror.index(self.documents())
        assert (report.written, report.unchanged, report.encoded) == (len(TEXTS), 0, len(TEXTS))
        assert mirror.index(self.documents(), skip_unchanged=True).unchanged == len(TEXTS)
        assert "_splade" not in str(mirror.get(list(TEXTS)))

    def test_a_payload_that_is_not_json_is_rejected_anyway(self, mirror: Store) -> None:
        bad = Document(id="bread", text=str(TEXTS["bread"]), payload={"n": object()})
        for _ in range(2):
            report = mirror.index([bad], skip_unchanged=True)
            assert (report.written, report.unchanged, report.rejected_count) == (0, 0, 1)
        assert mirror.get(["bread"])[0].payload["n"] == 1
