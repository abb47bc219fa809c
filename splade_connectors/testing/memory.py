"""An in-memory store, exact by construction: the simplest adapter, and a test double.

`MemoryBackend` is what every adapter needs; `MemoryAttaching`, which attaches to existing
documents, is optional.
"""

from __future__ import annotations

import random
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from splade_connectors.backends.attaching import (
    Attachment,
    AttachOutcome,
    Conflict,
    Counts,
    Found,
    Gone,
    Page,
    Selection,
    Survey,
)
from splade_connectors.backends.grouping import Best, best_of_each, value_in
from splade_connectors.backends.metadata import (
    former_of,
    manifests_of,
    switched,
    vector_of,
    without_vector,
)
from splade_connectors.backends.protocol import Backend, Capabilities, Description, Opened, Plan
from splade_connectors.documents import (
    DocumentId,
    EncodedDocument,
    Hit,
    Outcome,
    Stamp,
    StoredDocument,
    Total,
    Written,
)
from splade_connectors.encoders.base import SparseEncoder
from splade_connectors.encoders.load import load_encoder
from splade_connectors.errors import ConfigurationError
from splade_connectors.filters import Condition, matches
from splade_connectors.manifest import MANIFEST_KEY, IndexManifest, parse_manifest
from splade_connectors.operations.session import Session
from splade_connectors.options import PruneOptions, RetryOptions, SearchOptions
from splade_connectors.payloads import text_paths
from splade_connectors.runtime.effects import Steps
from splade_connectors.store import Store
from splade_connectors.testing.memory_text_index import MemoryTextIndexing
from splade_connectors.testing.oracle import exact_ranking, exact_scores
from splade_connectors.vectors import SparseBatch, SparseVector

_SAMPLE = 64
# Two numbers of 8 bytes.
_BYTES_PER_TERM = 16


@dataclass(frozen=True, slots=True)
class Made:
    """A sparse vector, and fingerprints of what it was made from."""

    vector: SparseVector
    marker: str
    content: str = ""


@dataclass(slots=True)
class Collection:
    """What a server would store.

    Attributes:
        exists: whether it has been created.
        created: whether indexing created it.
        payloads: by document id; a change replaces the object.
        vectors: sparse vectors, by vector name and document id.
        dense: dense vectors, by document id; they cannot be searched.
        sizes: name -> dimensions of dense vectors, as given at creation.
        metadata: manifests, and the vectors that names refer to.
        max_vocabulary: maximum number of distinct terms; None for no limit.
        text_indexes: field -> tokenizer.
    """

    exists: bool = False
    created: bool = False
    payloads: dict[DocumentId, Mapping[str, Any]] = field(default_factory=dict)
    vectors: dict[str, dict[DocumentId, Made]] = field(default_factory=dict)
    dense: dict[DocumentId, Mapping[str, Sequence[float]]] = field(default_factory=dict)
    sizes: Mapping[str, int] = field(default_factory=dict)
    metadata: dict[str, Any] = field(default_factory=dict)
    max_vocabulary: int | None = None
    text_indexes: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Address:
    """A sparse vector of a collection.

    Attributes:
        collection: the collection.
        asked: the users' name for the vector; after a model swap it refers to another one.
        exactly: whether `asked` is the stored name, never redirected.
    """

    collection: Collection
    asked: str = "splade"
    exactly: bool = False

    @property
    def vector_name(self) -> str:
        """The stored name of the sparse vector."""
        return self.asked if self.exactly else vector_of(self.collection.metadata, self.asked)

    @property
    def vectors(self) -> dict[DocumentId, Made]:
        """The vectors by document id."""
        return self.collection.vectors.get(self.vector_name, {})


class MemoryBackend:
    """The verbs over a `Collection`. Yields no requests, since there is nothing to send.

    Args:
        collection: None creates a new one.
        address: of the vector; None takes the collection's default vector.

    Attributes:
        collection: the collection; tests may change it directly, as its owner would.
    """

    hybrid = None
    copying = None

    def __init__(
        self, collection: Collection | None = None, address: Address | None = None
    ) -> None:
        self.location = "memory"
        self._address = address or Address(collection or Collection())
        self.collection = self._address.collection
        self.attaching = MemoryAttaching(self, self._address)
        self.text_indexing = MemoryTextIndexing(
            self.collection.text_indexes, self.collection.payloads, self.describe
        )

    def describe(self) -> Steps[Description]:
        """As `Backend.describe`."""
        yield from ()
        name = self._address.vector_name
        manifests = manifests_of(self.collection.metadata)
        return Description(
            capabilities=Capabilities(
                backend="memory",
                exists=self.collection.exists,
                created_by_us=self.collection.created,
                has_field=name in self.collection.vectors,
                max_vocabulary=self.collection.max_vocabulary,
            ),
            manifest=parse_manifest(manifests.get(name), self.location),
            vector=name,
        )

    def prepare(
        self,
        seen: Description,
        manifest: IndexManifest,
        dense_sizes: Mapping[str, int],
        *,
        write_manifest: bool,
    ) -> Steps[Description]:
        """As `Backend.prepare`."""
        ours = not self.collection.exists or seen.capabilities.created_by_us
        self.collection.created |= ours and write_manifest
        if not self.collection.exists:
            self.collection.sizes = dense_sizes
        self.collection.exists = True
        self.collection.vectors.setdefault(seen.vector, {})
        if write_manifest:
            return (yield from self.write_manifest(manifest))
        return (yield from self.describe())

    def write_manifest(self, manifest: IndexManifest) -> Steps[Description]:
        """As `Backend.write_manifest`."""
        manifests = self.collection.metadata.setdefault(MANIFEST_KEY, {})
        manifests[self._address.vector_name] = manifest.to_json()
        return (yield from self.describe())

    def check(self, seen: Description, document: EncodedDocument) -> str | None:
        """As `Backend.check`: dense vectors need the names and sizes given at creation."""
        for name, values in document.document.dense_vectors().items():
            if self.collection.sizes.get(name) != len(values):
                return f"the collection has no dense vector {name!r} of {len(values)} dimensions"
        return None

    def key_of(self, id: DocumentId) -> DocumentId:
        """As `Backend.key_of`: 5 and "5" are two documents."""
        return id

    def size(self, document: EncodedDocument) -> int:
        """Approximate size: that of the text."""
        return len(document.document.text)

    def write(
        self, seen: Description, documents: Sequence[EncodedDocument]
    ) -> Steps[list[Outcome]]:
        """As `Backend.write`."""
        yield from ()
        for document in documents:
            self.collection.payloads[document.id] = dict(document.payload)
            stamp = document.stamp
            made = Made(document.vector, stamp.marker, stamp.content)
            self._address.vectors[document.id] = made
            self.collection.dense[document.id] = document.document.dense_vectors()
        return [Written(id=document.id) for document in documents]

    def update(
        self,
        seen: Description,
        id: DocumentId,
        payload: Mapping[str, Any],
        vector: SparseVector | None,
        marker: str,
    ) -> Steps[None]:
        """As `Backend.update`."""
        yield from ()
        self.collection.payloads[id] = {**self.collection.payloads[id], **payload}
        if vector is not None:
            self._address.vectors[id] = Made(vector, marker)

    def refresh(self) -> Steps[None]:
        """Nothing to do."""
        yield from ()

    def plan(self, seen: Description, query: SparseVector, options: SearchOptions) -> Plan:
        """As `Backend.plan`; the store's own filters map fields to required values."""
        if not isinstance(options.filter, Mapping | Condition | None):
            raise ConfigurationError(
                "a filter of the memory store must be a condition of splade_connectors.filters or "
                f"a mapping of fields to values, not {type(options.filter).__name__}"
            )
        return Plan(
            path="memory",
            reason="exact dot product in numpy",
            method="",
            url_path="",
            body={"query": query, "options": options},
        )

    def search(self, plan: Plan) -> Steps[list[Hit]]:
        """As `Backend.search`."""
        yield from ()
        options: SearchOptions = plan.body["options"]
        made = self._address.vectors
        found = {
            id: payload
            for id, payload in self.collection.payloads.items()
            if id in made and _fits(payload, options.filter)
        }
        vectors = SparseBatch.from_vectors(made[id].vector for id in found)
        scores = exact_scores(plan.body["query"], vectors)
        ranking = exact_ranking(list(found), scores, len(found))
        best = [Best(id, score, None) for id, score in ranking]
        if path := options.group_by:
            best = best_of_each(ranking, {id: value_in(found[id], path, id) for id in found})
        return [
            Hit(
                id=hit.id,
                score=hit.score,
                payload=found[hit.id] if options.with_payload else {},
                group=hit.value,
                more=hit.more,
            )
            for hit in best[options.offset : options.offset + options.limit]
        ]

    def total(self, plan: Plan) -> Steps[Total]:
        """As `Backend.total`."""
        options = replace(plan.body["options"], offset=0, limit=len(self.collection.payloads) or 1)
        hits = yield from self.search(replace(plan, body={**plan.body, "options": options}))
        return Total(value=sum(hit.more + 1 for hit in hits))

    def fetch(
        self,
        seen: Description,
        ids: Sequence[DocumentId],
        *,
        with_vectors: bool,
        fields: Sequence[str] | None = None,
    ) -> Steps[list[StoredDocument]]:
        """As `Backend.fetch`."""
        yield from ()
        vectors = self._address.vectors
        return [
            StoredDocument(id=id, payload=payload, vector=made.vector if made else None)
            for id in ids
            if (payload := self.collection.payloads.get(id)) is not None
            for made in [vectors.get(id) if with_vectors else None]
        ]

    def present(self, seen: Description, ids: Sequence[DocumentId]) -> Steps[set[DocumentId]]:
        """As `Backend.present`."""
        yield from ()
        return {id for id in ids if id in self.collection.payloads}

    def delete(self, seen: Description, ids: Sequence[DocumentId]) -> Steps[None]:
        """As `Backend.delete`."""
        yield from ()
        for id in ids:
            self.collection.payloads.pop(id, None)
            self.collection.dense.pop(id, None)
            for vectors in self.collection.vectors.values():
                vectors.pop(id, None)

    def documents(self, seen: Description) -> Steps[int]:
        """As `Backend.documents`."""
        yield from ()
        return len(self.collection.payloads)

    def count(self, seen: Description) -> Steps[int]:
        """As `Backend.count`."""
        yield from ()
        return len(self._address.vectors)


def _fits(payload: Mapping[str, Any], filter: Mapping[str, Any] | Condition | None) -> bool:
    if isinstance(filter, Condition):
        return matches(filter, payload)
    return all(payload.get(key) == value for key, value in (filter or {}).items())


class MemoryAttaching:
    """The part that attaches.

    Args:
        backend: the backend that this object is a part of.
        address: of the vector.
    """

    def __init__(self, backend: MemoryBackend, address: Address) -> None:
        self._backend = backend
        self._address = address
        self._collection = address.collection

    def pinned(self, seen: Description) -> Steps[Backend]:
        """The backend itself: there are no aliases."""
        yield from ()
        return self._backend

    def marks(self, seen: Description) -> bool:
        """Always."""
        return True

    def stamps(
        self, seen: Description, ids: Sequence[DocumentId]
    ) -> Steps[dict[DocumentId, Stamp]]:
        """As `AttachBackend.stamps`."""
        yield from ()
        made = self._address.vectors
        return {
            id: Stamp(marker=made[id].marker, content=made[id].content) if id in made else Stamp()
            for id in ids
            if id in self._collection.payloads
        }

    def dense_vectors(
        self, seen: Description, ids: Sequence[DocumentId]
    ) -> Steps[dict[DocumentId, Mapping[str, Sequence[float]]]]:
        """As `AttachBackend.dense_vectors`."""
        yield from ()
        stored = self._collection
        return {id: stored.dense.get(id, {}) for id in ids if id in stored.payloads}

    def names(self) -> Steps[list[str]]:
        """Nothing: there is no other collection."""
        yield from ()
        return []

    def survey(self, seen: Description, selection: Selection) -> Steps[Survey]:
        """As `AttachBackend.survey`."""
        sample = tuple(map(self._found, list(self._collection.payloads)[:_SAMPLE]))
        payloads = self._collection.payloads.values()
        present = dict.fromkeys(path for payload in payloads for path in text_paths(payload))
        named = seen.vector in self._collection.vectors
        return Survey(
            counts=(yield from self.counts(seen, selection)),
            sample=sample,
            present=tuple(present),
            absent=tuple(name for name in selection.fields if name not in present),
            changes=() if named else (f"the collection gets the vector {seen.vector!r}",),
            bytes_per_term=_BYTES_PER_TERM,
        )

    def ensure(
        self, seen: Description, manifest: IndexManifest, *, write_manifest: bool, mark: bool
    ) -> Steps[Description]:
        """As `AttachBackend.ensure`."""
        return self._backend.prepare(seen, manifest, {}, write_manifest=write_manifest)

    def read(self, seen: Description, selection: Selection, cursor: Any) -> Steps[Page]:
        """A page of the ids selected at the start: documents may come and go meanwhile."""
        yield from ()
        ids, start = cursor or (self._selected(selection), 0)
        end = start + selection.size
        page = [self._found(id) for id in ids[start:end] if id in self._collection.payloads]
        return Page(documents=page, next=(ids, end) if end < len(ids) else None)

    def read_again(
        self, seen: Description, selection: Selection, found: Sequence[Found]
    ) -> Steps[list[Found]]:
        """As `AttachBackend.read_again`."""
        yield from ()
        return [self._found(item.id) for item in found if item.id in self._collection.payloads]

    def draw(self, seen: Description, selection: Selection, size: int) -> Steps[list[Found]]:
        """As `AttachBackend.draw`."""
        yield from ()
        ids = list(self._address.vectors)
        return [self._found(id) for id in random.sample(ids, min(size, len(ids)))]

    def counts(self, seen: Description, selection: Selection) -> Steps[Counts]:
        """As `AttachBackend.counts`, over all parts."""
        yield from ()
        ids = list(self._collection.payloads)
        missing = sum(not self._has(id, selection.settings) for id in ids)
        return Counts(documents=len(ids), missing=missing)

    def missing(self, seen: Description, selection: Selection) -> Steps[int]:
        """As `AttachBackend.missing`."""
        return (yield from self.counts(seen, selection)).missing

    def attachment_size(self, item: Attachment) -> int:
        """As `AttachBackend.attachment_size`."""
        return _BYTES_PER_TERM * item.terms

    def attach(self, seen: Description, items: Sequence[Attachment]) -> Steps[list[AttachOutcome]]:
        """As `AttachBackend.attach`, if the payload is still the one that was read."""
        yield from ()
        outcomes: list[AttachOutcome] = []
        for item in items:
            outcome = self._outcome(item.found)
            if isinstance(outcome, Written):
                vector = item.found.vector if item.vector is None else item.vector
                assert vector is not None  # only a vector that was found can be kept
                self._address.vectors[item.id] = Made(vector, item.marker)
            outcomes.append(outcome)
        return outcomes

    def clear(self, seen: Description, found: Sequence[Found]) -> Steps[list[AttachOutcome]]:
        """As `AttachBackend.clear`."""
        yield from ()
        for item in found:
            self._address.vectors.pop(item.id, None)
        return [Written(id=item.id) for item in found]

    def withdrawal(self, seen: Description) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """As `AttachBackend.withdrawal`: everything goes."""
        return (f"the vector {seen.vector!r}", "its manifest"), ()

    def withdraw(self, seen: Description) -> Steps[None]:
        """As `AttachBackend.withdraw`."""
        yield from ()
        name = self._address.vector_name
        self._collection.vectors.pop(name, None)
        self._collection.metadata = without_vector(self._collection.metadata, name)

    def renamed(self, vector_name: str) -> Backend:
        """As `AttachBackend.renamed`."""
        return MemoryBackend(address=Address(self._collection, vector_name, exactly=True))

    def switch(self, vector_name: str) -> Steps[None]:
        """As `AttachBackend.switch`."""
        yield from ()
        self._collection.metadata = switched(
            self._collection.metadata, self._address.asked, vector_name
        )

    def former(self, seen: Description) -> str | None:
        """As `AttachBackend.former`."""
        return former_of(self._collection.metadata, self._address.asked)

    def _selected(self, selection: Selection) -> list[DocumentId]:
        number, parts = selection.part or (0, 1)
        ids = [
            id
            for id in list(self._collection.payloads)
            if zlib.crc32(repr(id).encode()) % parts == number
        ]
        match selection.which:
            case "missing":
                return [id for id in ids if not self._has(id, selection.settings)]
            case "attached" | "stored":
                return [id for id in ids if id in self._address.vectors]
        return ids

    def _has(self, id: DocumentId, settings: str) -> bool:
        made = self._address.vectors.get(id)
        return made is not None and made.marker.startswith(f"{settings}-")

    def _found(self, id: DocumentId) -> Found:
        payload, made = self._collection.payloads[id], self._address.vectors.get(id)
        return Found(
            id=id,
            payload=payload,
            # Vectors that owners wrote have no marker.
            marker=(made.marker or None) if made else None,
            vector=made.vector if made else None,
            dense=self._collection.dense.get(id, {}),
            handle=payload,  # the version that was read
        )

    def _outcome(self, found: Found) -> Written | Conflict | Gone:
        now = self._collection.payloads.get(found.id)
        if now is None:
            return Gone(id=found.id)
        return Written(id=found.id) if now is found.handle else Conflict(id=found.id)


class MemoryStore(Store):
    """A `Store` in memory.

    Args:
        encoder: None takes the bundled model.
        prune: applied to documents; None takes the collection's setting.
        collection: None creates a new one.
    """

    def __init__(
        self,
        encoder: SparseEncoder | None = None,
        prune: PruneOptions | None = None,
        collection: Collection | None = None,
    ) -> None:
        backend = MemoryBackend(collection)
        session = Session(backend, lambda: encoder or load_encoder(), prune, False)
        opened = Opened(
            backend=backend, send=lambda request: None, close=lambda: None, one_process=True
        )
        super().__init__(session, opened, RetryOptions())
