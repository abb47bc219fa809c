"""The test suite for adapters that can attach vectors to existing documents.

    class TestMyStore(AttachContract):
        def make_store(self, encoder): …
        async def amake_store(self, encoder): …
        def make_owner(self):
            return MyOwner()

`MemoryBackend` is an example of an adapter that passes it.
"""

from __future__ import annotations

import asyncio
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest

from splade_connectors.async_store import AsyncStore
from splade_connectors.backends.attaching import Attachment, Selection, attach_backend
from splade_connectors.backends.protocol import Description
from splade_connectors.documents import Document, DocumentId, Written
from splade_connectors.encoders.base import EncodeStats, SparseEncoder
from splade_connectors.errors import (
    AttachRefused,
    ConfigurationError,
    ManifestMismatch,
    NotFound,
    WouldReplace,
)
from splade_connectors.operations.attach import AttachOptions
from splade_connectors.options import OnProgress, WriteOptions
from splade_connectors.payloads import text_of
from splade_connectors.runtime.effects import Steps
from splade_connectors.store import Store
from splade_connectors.testing.contract import TEXTS
from splade_connectors.testing.encoder import HashEncoder
from splade_connectors.testing.mirror_contract import MIRROR, MirrorContract
from splade_connectors.testing.oracle import assert_same_ranking, exact_scores
from splade_connectors.testing.requests import counted
from splade_connectors.testing.unchanged_contract import CountingEncoder, UnchangedContract
from splade_connectors.vectors import SparseBatch

FIELDS = ("title", "author.bio")
WITHOUT_TEXT: DocumentId = 41
FOREIGN: dict[DocumentId, dict[str, Any]] = {
    number: {
        "title": f"{word} and water {number}",
        "author": {"name": "Ada", "bio": [f"likes {word}", "and the sea"]},
        "price": number / 7,
    }
    for number, word in enumerate(("salt", "flour", "moon", "bread", "tide") * 8, start=1)
}
FOREIGN[WITHOUT_TEXT] = {"price": 1.5}
WITH_TEXT = len(FOREIGN) - 1

# Several pages and several requests.
SMALL = AttachOptions(mark=True, write=WriteOptions(portion_documents=16, chunk_documents=5))


class Owner(ABC):
    """The owner of a collection, who writes to it without this package."""

    @abstractmethod
    def put(self, documents: Mapping[DocumentId, Mapping[str, Any]]) -> None:
        """Store documents without our vectors; create the collection if it is missing."""

    @abstractmethod
    def change(self, id: DocumentId, fields: Mapping[str, Any]) -> None:
        """Change some fields of a document; the others stay."""

    @abstractmethod
    def remove_vector(self, id: DocumentId) -> None:
        """Remove our vector from a document; its marker stays, if stored separately."""

    @abstractmethod
    def documents(self) -> Mapping[str, Any]:
        """Everything in each document, including other vectors, except what attaching adds."""


class Otherwise(HashEncoder):
    """Claims to be the same model, but makes different vectors from texts with a certain word."""

    def __init__(self, word: str) -> None:
        super().__init__()
        self._word = word

    def encode_documents(
        self,
        texts: Sequence[str],
        *,
        stats: EncodeStats | None = None,
        on_progress: OnProgress | None = None,
    ) -> SparseBatch:
        """Encode documents, with other vectors for texts with the word."""
        others = ["something else" if self._word in text.split() else text for text in texts]
        return super().encode_documents(others, stats=stats, on_progress=on_progress)


class Meddling(HashEncoder):
    """Calls a function, as someone else's interference, during its first encoding."""

    def __init__(self, meddle: Callable[[], None]) -> None:
        super().__init__()
        self._meddle: Callable[[], None] | None = meddle

    def encode_documents(
        self,
        texts: Sequence[str],
        *,
        stats: EncodeStats | None = None,
        on_progress: OnProgress | None = None,
    ) -> SparseBatch:
        """Encode documents; the first time, call the function before."""
        meddle, self._meddle = self._meddle, None
        if meddle:
            meddle()
        return super().encode_documents(texts, stats=stats, on_progress=on_progress)


class Unable(HashEncoder):
    """Fails if it is asked to encode anything."""

    def encode_documents(
        self,
        texts: Sequence[str],
        *,
        stats: EncodeStats | None = None,
        on_progress: OnProgress | None = None,
    ) -> SparseBatch:
        """Fail."""
        raise AssertionError("nothing should be encoded")


def looked(store: Store) -> Description:
    """A new look at the server."""
    return store._run(store._session.look_again())


class AttachContract(UnchangedContract, MirrorContract):
    """The tests of a store that attaches; includes `UnchangedContract` and `MirrorContract`.

    Attributes:
        most_attach_requests: maximum number of requests for attaching a single page.
    """

    most_attach_requests: int = 16

    @abstractmethod
    async def amake_store(self, encoder: SparseEncoder) -> AsyncStore:
        """As `make_store`, async, over the same collection."""

    @abstractmethod
    def make_owner(self) -> Owner:
        """The owner of the collection that `make_store` opens."""

    @pytest.fixture
    def owner(self) -> Owner:
        owner = self.make_owner()
        owner.put(FOREIGN)
        return owner

    @pytest.fixture
    def foreign(self, owner: Owner, encoder: SparseEncoder) -> Iterator[Store]:
        with self.make_store(encoder) as store:
            store.inspect()
            yield store

    def assert_attached(self, store: Store) -> None:
        """Check that every document is found by the vector of its own text only."""
        encoder = HashEncoder()
        vectors = encoder.encode_documents([text_of(item, FIELDS) for item in FOREIGN.values()])
        for query in ("water and salt", "the moon"):
            exact = exact_scores(encoder.encode_queries([query])[0], vectors, self.rounding)
            wanted: dict[DocumentId, float] = dict(zip(map(str, FOREIGN), exact, strict=True))
            hits = store.search(query, limit=100)
            found = [(str(hit.id), hit.score) for hit in hits]
            assert_same_ranking(found, wanted, limit=100)

    def test_all_get_their_vectors_and_nothing_else_changes(
        self, foreign: Store, owner: Owner
    ) -> None:
        before = owner.documents()
        report = foreign.attach(FIELDS, options=SMALL)
        assert (report.attached, report.encoded) == (len(FOREIGN), WITH_TEXT)
        assert (report.rejected_count, report.conflicts) == (0, 0)
        self.assert_attached(foreign)
        assert owner.documents() == before

    def test_documents_of_others_are_replaced_only_when_that_is_asked_for(
        self, foreign: Store, owner: Owner
    ) -> None:
        before = owner.documents()
        mine = [Document(id=id, text="bread") for id in (1, 2, "new")]
        with pytest.raises(WouldReplace, match=r"attach.*replace=True"):
            foreign.index(mine)
        assert owner.documents() == before
        foreign.attach(FIELDS)  # does not make it ours
        with pytest.raises(WouldReplace):
            foreign.index(mine, options=WriteOptions(text_fields=FIELDS))
        assert owner.documents() == before
        options = WriteOptions(text_fields=FIELDS, replace=True)
        report = foreign.index(mine, options=options)
        assert (report.written, report.replaced) == (3, 2)

    def test_attaching_in_one_portion_looks_few_times(self, foreign: Store) -> None:
        with counted(foreign) as sent:
            assert foreign.attach(FIELDS).attached == len(FOREIGN)
        assert len(sent.purposes) + len(sent.writes) <= self.most_attach_requests, sent

    def test_attaching_again_does_nothing(self, foreign: Store) -> None:
        foreign.attach(FIELDS, options=SMALL)
        before = foreign.get(list(FOREIGN), with_vectors=True)
        again = foreign.attach()
        assert (again.attached, again.encoded) == (0, 0)
        assert foreign.get(list(FOREIGN), with_vectors=True) == before

    def test_documents_without_text_are_counted_and_not_read_again(self, foreign: Store) -> None:
        report = foreign.attach(FIELDS, options=SMALL)
        assert report.empty == 1
        assert report.verification is not None
        assert (report.verification.missing, report.verification.complete) == (0, True)
        assert foreign.count() == len(FOREIGN)
        again = foreign.attach()
        assert (again.attached, again.empty) == (0, 0)

    def test_a_stored_vector_is_found_whoever_wrote_it_and_is_marked_alone(
        self, foreign: Store
    ) -> None:
        """What `adopt` needs from an adapter."""
        foreign.attach(FIELDS, options=SMALL)
        before = foreign.get(list(FOREIGN), with_vectors=True)
        other = f"{'0' * 8}-{'1' * 16}"
        assert self.mark_stored(foreign, other) >= WITH_TEXT
        assert foreign.get(list(FOREIGN), with_vectors=True) == before
        assert self.mark_stored(foreign, other) == 0

    def mark_stored(self, store: Store, marker: str) -> int:
        """Mark documents with a vector but another marker; return how many there were."""
        backend = attach_backend(store._session.backend)

        def marked() -> Steps[int]:
            seen = yield from store._session.look_again()
            stored = Selection(
                which="stored", settings="", fields=FIELDS, with_vectors=True, size=100, mark=True
            )
            drawn = yield from backend.draw(seen, stored, 5)
            assert [item for item in drawn if item.vector is not None]
            page = yield from backend.read(seen, stored, None)
            items = [
                Attachment(
                    found=found,
                    vector=None,
                    marker=marker,
                    text=text_of(found.payload, FIELDS),
                    fields=FIELDS,
                )
                for found in page.documents
                if found.vector is not None and found.marker != marker
            ]
            outcomes = (yield from backend.attach(seen, items)) if items else []
            assert all(isinstance(outcome, Written) for outcome in outcomes)
            yield from store._session.backend.refresh()
            return len(items)

        return store._run(marked())

    def test_an_edited_text_is_found_by_its_marker(self, foreign: Store, owner: Owner) -> None:
        foreign.attach(FIELDS, options=SMALL)
        owner.change(3, {"title": "a cat"})
        looked = foreign.verify(everything=True)
        assert (list(map(str, looked.different)), looked.missing) == (["3"], 0)
        again = foreign.attach()
        assert (again.attached, again.encoded) == (1, 1)
        assert "3" in {str(hit.id) for hit in foreign.search("cat")}
        assert foreign.verify(everything=True, recheck=True).complete

    def test_a_vector_that_others_removed_is_found_and_made_again(
        self, foreign: Store, owner: Owner
    ) -> None:
        foreign.attach(FIELDS, options=SMALL)
        owner.remove_vector(3)
        looked = foreign.verify(everything=True)
        assert (looked.missing, looked.different_count) == (1, 0)
        # If the store cannot query for missing vectors, only reading every vector finds it.
        again = foreign.attach(options=AttachOptions(recheck=bool(looked.lost)))
        assert (again.attached, again.unchanged) == (1, len(FOREIGN) - 1)
        self.assert_attached(foreign)
        assert foreign.verify(everything=True).complete

    def test_an_unchanged_document_without_its_vector_is_encoded_again(self, mirror: Store) -> None:
        self.make_owner().remove_vector(7)
        # If the store cannot query for missing vectors, only a run that writes all documents helps.
        unseen = mirror.verify(everything=True).lost
        report = mirror.index(self.documents(), skip_unchanged=not unseen)
        assert report.encoded == (len(TEXTS) if unseen else 1)
        assert mirror.verify(everything=True).complete

    def test_documents_of_others_are_not_deleted(self, owner: Owner, foreign: Store) -> None:
        mine = [Document(id=100, text="a cat")]
        with pytest.raises(ConfigurationError, match=r"not created by this.*delete_missing"):
            foreign.index(mine, options=replace(MIRROR, skip_unchanged=False))
        assert len(owner.documents()) == len(FOREIGN)
        options = replace(MIRROR, skip_unchanged=False, replace=True, most_deleted=1)
        # Documents that never had our vector did not come from a source of ours.
        assert foreign.index(mine, options=options).deleted == 0
        assert len(foreign.known([*FOREIGN, 100])) == len(FOREIGN) + 1

    def test_a_hash_in_documents_of_others_is_asked_for(
        self, owner: Owner, counting: CountingEncoder
    ) -> None:
        mine = [Document(id=100, text="a cat"), Document(id=101, text="a dog")]
        with self.make_store(counting) as store:
            marks = attach_backend(store._session.backend).marks(looked(store))
            if not marks:
                with pytest.raises(ConfigurationError, match=r"not created by this.*--mark"):
                    store.index(mine, skip_unchanged=True)
            options = WriteOptions(skip_unchanged=True, mark=True, replace=True)
            assert store.index(mine, options=options).written == 2
            report = store.index(mine, options=options)
            assert (report.written, report.unchanged) == (0, 2)

    def test_new_documents_are_found(self, foreign: Store, owner: Owner) -> None:
        foreign.attach(FIELDS, options=SMALL)
        owner.put({100: {"title": "a cat"}})
        assert foreign.verify().missing == 1
        assert foreign.attach().attached == 1
        assert [str(hit.id) for hit in foreign.search("cat", limit=1)] == ["100"]

    def test_what_others_change_meanwhile_survives(self, owner: Owner) -> None:
        meddling = Meddling(lambda: owner.change(3, {"title": "a cat", "price": -1}))
        with self.make_store(meddling) as store:
            store.inspect()
            report = store.attach(FIELDS, options=SMALL)
            assert (report.attached, report.conflicts) == (len(FOREIGN), 1)
            assert store.get([3])[0].payload["price"] == -1
            assert store.verify(everything=True, recheck=True).complete

    def test_a_dry_run_writes_nothing(self, foreign: Store, owner: Owner) -> None:
        before = owner.documents()
        plan = foreign.plan_attach(FIELDS)
        assert (plan.documents, plan.to_do) == (len(FOREIGN), len(FOREIGN))
        assert (plan.refusals, plan.text_fields) == ((), FIELDS)
        assert set(FIELDS) <= set(plan.present)
        assert any("'splade'" in change for change in plan.changes)
        found = foreign.inspect()
        assert (found.capabilities.has_field, found.manifest) == (False, None)
        assert owner.documents() == before

    def test_a_field_that_nobody_has_is_refused(self, foreign: Store) -> None:
        with pytest.raises(AttachRefused, match=r"'body'; fields with text are: .*title"):
            foreign.attach(["body"])
        assert not foreign.inspect().capabilities.has_field

    def test_verify_finds_vectors_of_another_text(
        self, foreign: Store, encoder: SparseEncoder
    ) -> None:
        foreign.attach(FIELDS, options=SMALL)
        moons = [str(id) for id, item in FOREIGN.items() if "moon" in item.get("title", "")]
        with self.make_store(Otherwise("moon")) as other:
            report = other.attach(options=AttachOptions(recheck=True))
            assert report.attached == len(moons)
        with self.make_store(encoder) as store:
            for looked in (store.verify(), store.verify(everything=True, recheck=True)):
                assert sorted(map(str, looked.different)) == sorted(moons)
                assert not looked.complete
            mended = store.attach(options=AttachOptions(recheck=True))
            assert mended.attached == len(moons)
            assert store.verify(everything=True, recheck=True).complete

    def test_text_is_indexed_for_bm25_without_a_model_and_nothing_is_changed(
        self, owner: Owner
    ) -> None:
        before: Mapping[str, Any] | None = None
        order = AttachOptions(text_index=("title",))
        with self.make_store(Unable()) as store:
            store.inspect()
            before = owner.documents()
            plan = store.plan_attach(options=order)
            assert (plan.documents, plan.text_index, plan.refusals) == (
                len(FOREIGN),
                ("title",),
                (),
            )
            assert "title" in " ".join((*plan.changes, *plan.notes))
            made = store.attach(options=order)
            # A store that searches text fields as they are creates nothing.
            assert made.text_index == (("title",) if plan.changes else ())
            assert (made.attached, made.encoded, made.verification) == (0, 0, None)
            assert store.attach(options=order).text_index == ()
            assert owner.documents() == before
            assert not store.inspect().capabilities.has_field
            with pytest.raises(AttachRefused, match="'nowhere'"):
                store.attach(options=AttachOptions(text_index=("nowhere",)))
            if made.text_index:
                assert store.detach(text_index=["title"]).done
            with pytest.raises(NotFound, match=r"no text index on 'title' that attach created"):
                store.detach(text_index=["title"])
            assert owner.documents() == before

    def test_vectors_and_a_text_index_come_in_one_run(self, foreign: Store, owner: Owner) -> None:
        before = owner.documents()
        plan = foreign.plan_attach(FIELDS, options=AttachOptions(text_index=("title",)))
        report = foreign.attach(FIELDS, options=AttachOptions(text_index=("title",)))
        assert (report.attached, report.rejected_count) == (len(FOREIGN), 0)
        assert report.text_index in ((), ("title",))
        assert any("title" in line for line in (*plan.changes, *plan.notes))
        self.assert_attached(foreign)
        assert owner.documents() == before
        assert foreign.detach().done
        if report.text_index:
            assert foreign.detach(text_index=["title"]).done

    def test_parts_together_are_all(self, foreign: Store) -> None:
        parts = [AttachOptions(part=(number, 3)) for number in range(3)]
        done = [foreign.attach(FIELDS, options=part).attached for part in parts]
        assert sum(done) == len(FOREIGN)
        self.assert_attached(foreign)

    def test_other_settings_are_refused_and_replaced_on_demand(
        self, foreign: Store, owner: Owner
    ) -> None:
        before = owner.documents()
        foreign.attach(FIELDS, options=SMALL)
        other = HashEncoder(model="another")
        with self.make_store(other) as store:
            with pytest.raises(AttachRefused, match=r"'hash'.*'another'.*--replace-model"):
                store.attach()
            report = store.attach(options=AttachOptions(replace_model=True))
            assert (report.attached, report.switched) == (len(FOREIGN), True)
            manifest = store.inspect().manifest
            assert manifest is not None
            assert manifest.model == "another"
            former = store.detach(former=True)
            assert (former.vector, former.cleared) == ("splade", len(FOREIGN))
            assert store.verify(everything=True, recheck=True).complete
            self.assert_attached(store)
            assert owner.documents() == before

    def test_an_index_of_the_first_format_takes_one_step(
        self, foreign: Store, encoder: SparseEncoder
    ) -> None:
        foreign.attach(FIELDS)
        now = foreign.inspect().manifest
        assert now is not None
        old = replace(now, format=1, revision="of the weights alone")
        foreign._run(foreign._session.backend.write_manifest(old))
        foreign._session.forget()
        with self.make_store(encoder) as store:
            with pytest.raises(ManifestMismatch, match="attach TARGET --override-manifest` once"):
                store.search("water")
            with pytest.raises(AttachRefused, match="attach TARGET --override-manifest` once"):
                store.attach()
        with self.make_store(encoder) as store:
            store._session.overrides = True
            assert store.attach().attached == 0
        with self.make_store(encoder) as store:
            assert store.inspect().manifest == now
            assert len(store.search("water")) > 1
            self.assert_attached(store)

    def test_detach_leaves_what_was_there(self, foreign: Store, owner: Owner) -> None:
        before = owner.documents()
        foreign.attach(FIELDS, options=SMALL)
        planned = foreign.detach(dry_run=True)
        assert (planned.documents, planned.cleared, planned.done) == (len(FOREIGN), 0, False)
        assert foreign.count() == len(FOREIGN)
        done = foreign.detach()
        assert (done.cleared, done.done) == (len(FOREIGN), True)
        assert owner.documents() == before
        found = foreign.inspect()
        assert (found.manifest, found.documents) == (None, len(FOREIGN))
        assert not found.with_vectors
        line = "has no sparse vectors.*: `splade-connectors attach .*` adds them"
        with pytest.raises(NotFound, match=line):
            foreign.verify()
        try:
            hits = foreign.search("water")
        except NotFound as error:
            told = str(error)
        else:
            told = hits.plan.warnings[-1]
            assert not hits
        assert re.search(line, told)
        assert foreign.attach(FIELDS, options=SMALL).attached == len(FOREIGN)

    def test_attached_verified_and_detached_awaited(self, owner: Owner) -> None:
        asyncio.run(self._awaited(owner))

    async def _awaited(self, owner: Owner) -> None:
        async with await self.amake_store(HashEncoder()) as store:
            await store.inspect()
            before = owner.documents()
            assert (await store.plan_attach(FIELDS)).to_do == len(FOREIGN)
            assert (await store.attach(FIELDS, options=SMALL)).attached == len(FOREIGN)
            assert (await store.attach()).attached == 0
            assert (await store.verify(everything=True, recheck=True)).complete
            assert owner.documents() == before
            assert (await store.detach()).cleared == len(FOREIGN)
            assert owner.documents() == before
