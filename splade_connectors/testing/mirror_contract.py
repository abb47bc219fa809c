"""The tests of a store that mirrors a source: deleting missing documents, and exporting."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from splade_connectors.documents import Document, DocumentId, Rejected, Row
from splade_connectors.encoders.base import SparseEncoder
from splade_connectors.errors import (
    ConfigurationError,
    DeletionRefused,
    NotFound,
    NotSupported,
    WouldReplace,
)
from splade_connectors.files.dead_letters import DeadLetters
from splade_connectors.options import Progress, WriteOptions
from splade_connectors.store import Store
from splade_connectors.testing.contract import TEXTS, StoreContract

MIRROR = WriteOptions(skip_unchanged=True, delete_missing=True, most_deleted=0.5)


class Lengths:
    """A dense model whose vectors are the number of characters and of words.

    Args:
        name: of the model.

    Attributes:
        texts: all texts that were encoded.
    """

    def __init__(self, name: str = "lengths") -> None:
        self.name = name
        self.texts: list[str] = []

    def documents(self, texts: Sequence[str]) -> list[list[float]]:
        """One vector per text."""
        self.texts += texts
        return [[float(len(text)), float(len(text.split()))] for text in texts]


class MirrorContract(StoreContract):
    """The tests of a store that can list its documents; includes `StoreContract`.

    Attributes:
        has_dense: whether the store keeps dense vectors.
    """

    has_dense: bool = True

    def kept(self, count: int) -> list[Document]:
        """The source of a later run: only the first documents."""
        return self.documents()[:count]

    def test_what_the_source_no_longer_has_is_deleted(self, filled: Store) -> None:
        told: list[Progress] = []
        report = filled.index(self.kept(4), options=MIRROR, on_progress=told.append)
        assert (report.missing, report.deleted) == (3, 3)
        assert {str(id) for id in filled.known(list(TEXTS))} == {str(id) for id in list(TEXTS)[:4]}
        assert filled.count() == 4
        # The number is reported before anything is deleted.
        first = next(step for step in told if step.missing)
        assert (first.missing, first.done) == (3, 4)
        again = filled.index(self.kept(4), options=MIRROR)
        assert (again.missing, again.deleted) == (0, 0)

    def test_who_is_told_may_stop_it(self, filled: Store) -> None:
        def stop(step: Progress) -> None:
            if step.missing:
                raise RuntimeError("not today")

        with pytest.raises(RuntimeError, match="not today"):
            filled.index(self.kept(4), options=MIRROR, on_progress=stop)
        assert filled.count() == len(TEXTS)

    @pytest.mark.parametrize("count", [0, 2])
    def test_a_source_that_lost_too_much_deletes_nothing(self, filled: Store, count: int) -> None:
        with pytest.raises(
            DeletionRefused, match=r"\d of 7 documents \(\d+%\).*--most-deleted 1"
        ) as caught:
            filled.index(self.kept(count), options=replace(MIRROR, skip_unchanged=False))
        report: Any = caught.value.report
        assert (report.written, report.missing, report.deleted) == (count, 7 - count, 0)
        assert filled.count() == len(TEXTS)
        assert filled.index(self.kept(count), options=replace(MIRROR, most_deleted=1)).deleted
        assert filled.count() == count

    def test_rejected_documents_are_not_missing(self, filled: Store, tmp_path: Path) -> None:
        first, second, third, *rest = self.documents()
        rows: list[Row] = [
            replace(first, payload={"n": object()}),
            Rejected(id=second.id, reason="no text"),
            *rest,
        ]
        with DeadLetters(tmp_path / "letters.jsonl") as letters:
            report = filled.index(rows, options=MIRROR, dead_letters=letters)
        assert (report.rejected_count, report.deleted) == (2, 1)
        assert filled.known([first.id, second.id, third.id]) == [first.id, second.id]

    def test_with_a_row_that_has_no_id_nothing_is_deleted(self, filled: Store) -> None:
        rows: list[Row] = [*self.kept(5), Rejected(id=None, reason="it has no id")]
        with pytest.raises(DeletionRefused, match="1 row in the source had no id"):
            filled.index(rows, options=MIRROR)
        assert filled.count() == len(TEXTS)

    def test_a_first_run_has_nothing_to_delete(self, store: Store) -> None:
        report = store.index(self.documents(), options=MIRROR)
        assert (report.written, report.missing) == (len(TEXTS), 0)

    def test_an_export_has_every_document(self, filled: Store, encoder: SparseEncoder) -> None:
        exported = {str(document.id): document for document in filled.export()}
        known = {str(document.id): document for document in filled.get(list(TEXTS))}
        assert exported == known
        vectors = {str(document.id): document for document in filled.export(with_vectors=True)}
        for document in filled.get(list(TEXTS), with_vectors=True):
            found = vectors[str(document.id)]
            assert (found.payload, found.vector) == (document.payload, document.vector)

    def test_an_export_is_read_page_by_page(self, store: Store) -> None:
        documents = [Document(id=number, text=f"cat {number}") for number in range(1, 1202)]
        store.index(documents)
        exporting = store.export()
        assert next(exporting).payload["text"].startswith("cat ")
        ids: set[DocumentId] = {str(document.id) for document in exporting}
        assert len(ids) == len(documents) - 1

    def test_dense_vectors_are_exported_on_demand(self, store: Store) -> None:
        document = Document(id=1, text="cat", dense=[0.6, 0.8], payload={"n": 1})
        if not self.has_dense:
            with pytest.raises(NotSupported, match="dense"):
                store.index([document])
            return
        store.index([document])
        (plain,) = store.export()
        assert (plain.payload, plain.vector, plain.dense) == ({"n": 1, "text": "cat"}, None, {})
        (whole,) = store.export(with_vectors=True)
        assert whole.payload == plain.payload
        assert whole.vector is not None
        (values,) = whole.dense.values()
        assert values == pytest.approx([0.6, 0.8])
        # An exported document can be written back unchanged.
        again = Document(
            id=1, text="cat", payload=whole.payload, vector=whole.vector, dense=whole.dense
        )
        assert store.index([again]).written == 1
        (after,) = store.export(with_vectors=True)
        assert (after.payload, after.vector) == (whole.payload, whole.vector)

    @pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.longdouble])
    def test_dense_vectors_of_every_numpy_type(self, store: Store, dtype: Any) -> None:
        if not self.has_dense:
            pytest.skip("this store keeps no dense vectors")
        given: Any = np.array([0.5, -0.25], dtype)
        assert store.index([Document(id=1, text="cat", dense=given)]).written == 1
        (stored,) = next(store.export(with_vectors=True)).dense.values()
        assert stored[0] / stored[1] == pytest.approx(-2)

    def test_a_dense_model_gives_texts_their_vectors(self, store: Store) -> None:
        if not self.has_dense:
            with pytest.raises(NotSupported, match="dense"):
                store.index(self.documents(), dense=Lengths())
            return
        model, options = Lengths(), WriteOptions(skip_unchanged=True)
        own = Document(id="own", text="Brought along.", dense=[0.6, 0.8])
        documents = [*self.documents(), own, Document(id="bare", payload={"n": 0})]
        assert store.index(documents, options=options, dense=model).rejected == []
        dense = {str(found.id): found.dense for found in store.export(with_vectors=True)}
        assert dense["bare"] == {}
        (brought,) = dense["own"].values()
        assert brought == pytest.approx([0.6, 0.8])
        (made,) = dense["bread"].values()
        long, words = len(str(TEXTS["bread"])), len(str(TEXTS["bread"]).split())
        assert made[0] / made[1] == pytest.approx(long / words)
        # The next run encodes nothing; another dense model changes only the dense vectors.
        model.texts.clear()
        assert store.index(documents, options=options, dense=model).unchanged == len(documents)
        assert model.texts == []
        # A changed payload takes the dense vector along, a changed text does not.
        first, second, *rest = documents
        rest = [replace(document, payload={"n": 50}) for document in rest]
        tonight = [first, replace(second, text="Rye needs time."), *rest]
        report = store.index(tonight, options=options, dense=model)
        assert (report.written, report.encoded) == (len(tonight) - 1, 1)
        # (To find out whether there is a place for it, the first one is made twice.)
        assert set(model.texts) == {"Rye needs time."}
        now = {str(found.id): found for found in store.export(with_vectors=True)}
        assert now["own"].dense == dense["own"]
        changed = {str(document.id) for document in rest} - {"own", "bare"}
        assert {id: now[id].dense for id in changed} == {
            id: {name: pytest.approx(vector, rel=1e-6) for name, vector in dense[id].items()}
            for id in changed
        }
        assert all(now[id].payload["n"] == 50 for id in changed)
        assert store.index(tonight, options=options, dense=model).unchanged == len(tonight)
        report = store.index(tonight, options=options, dense=Lengths("others"))
        assert (report.written, report.encoded) == (len(TEXTS), 0)

    def test_a_forgotten_dense_model_drops_no_vectors(self, store: Store) -> None:
        if not self.has_dense:
            pytest.skip("this store keeps no dense vectors")
        options = WriteOptions(skip_unchanged=True)
        own = Document(id="own", text="Brought along.", dense=[0.6, 0.8])
        documents = [*self.documents(), own, Document(id="bare", payload={"n": 0})]
        store.index(documents, options=options, dense=Lengths())
        before = {str(found.id): found for found in store.export(with_vectors=True)}
        first, second, *rest = documents
        tonight = [replace(first, payload={"n": 50}), replace(second, text="Rye."), *rest]
        for some in (tonight, documents):
            with pytest.raises(WouldReplace, match=r"\(--dense-model\), or drop .*--drop-dense"):
                store.index(some, options=options)
        assert {str(found.id): found for found in store.export(with_vectors=True)} == before
        report = store.index(documents, options=replace(options, drop_dense=True))
        assert (report.written, report.encoded, report.unchanged) == (len(TEXTS), 0, 2)
        after = {str(found.id): found for found in store.export(with_vectors=True)}
        assert [id for id, found in after.items() if found.dense] == ["own"]
        assert after["bread"].vector == before["bread"].vector
        assert store.index(documents, options=options).unchanged == len(documents)

    def test_a_dense_model_without_a_place_is_refused_before_encoding(self, filled: Store) -> None:
        model = Lengths()
        with pytest.raises(ConfigurationError, match=r"cannot store .* 'lengths'"):
            filled.index(self.documents(), dense=model)
        assert len(model.texts) == 1

    def test_absent_documents_are_no_error_on_request(self, filled: Store) -> None:
        assert filled.get(["nobody"], absent_ok=True) == []
        (found,) = filled.get(["nobody", "bread"], absent_ok=True)
        assert found.id == "bread"
        assert filled.known(["nobody", "bread"]) == ["bread"]

    def test_nor_is_an_absent_collection(self, store: Store) -> None:
        with pytest.raises(NotFound):
            store.known(["bread"])
        assert store.known(["bread"], absent_ok=True) == []
        assert store.get(["bread"], absent_ok=True) == []
        with pytest.raises(NotFound):
            list(store.export())
