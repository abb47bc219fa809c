"""The verbs of attaching to a Qdrant collection, on servers and in the embedded engine."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any, Self

from splade_connectors.backends.attaching import Attachment, AttachOutcome, Conflict, Found, Gone
from splade_connectors.backends.metadata import (
    STATE_KEY,
    former_of,
    is_marked,
    marked,
    switched,
    without_vector,
)
from splade_connectors.backends.versions import version_text
from splade_connectors.documents import Rejected, Written
from splade_connectors.errors import (
    AccessDenied,
    NotFound,
    NotSupported,
    RequestRejected,
    SpladeConnectorsError,
)
from splade_connectors.manifest import MANIFEST_KEY, IndexManifest
from splade_connectors.payloads import text_of
from splade_connectors.runtime.effects import Steps
from splade_qdrant.attach.read import AttachReads
from splade_qdrant.collection import ADD_VECTOR
from splade_qdrant.documents import marker_key, sparse_json

_BYTES_PER_TERM = 28


class AttachVerbs(AttachReads):
    """A collection that vectors are attached to. Arguments as `QdrantBackend`."""

    @property
    def vector_name(self) -> str:
        """The sparse vector."""
        return self._vector

    def pinned(self) -> Steps[Self]:
        """Bound to the collection itself: an alias may be moved."""
        if not self._collection:
            return self
        try:
            collection = (yield self._request("aliases")).get(self._collection)
        except (AccessDenied, RequestRejected):
            collection = None
        if collection is None:
            return self
        other = copy.copy(self)
        other._collection = other._other_collection = collection
        return other

    def marks(self, asked: bool) -> Steps[bool]:
        """When asked for now, or by an earlier run."""
        schema = yield from self._read_schema()
        self._mark = asked or is_marked(schema.metadata or {}, self._vector)
        return self._mark

    def ensure(self, manifest: IndexManifest, *, write_manifest: bool, mark: bool) -> Steps[None]:
        """The vector, the manifest, and whether points are marked."""
        yield from self.prepare(manifest, {}, write_manifest=write_manifest)
        schema = yield from self._read_schema()
        if mark and not is_marked(schema.metadata or {}, self._vector):
            yield from self._set_metadata(marked(schema.metadata or {}, self._vector))

    def attachment_size(self, item: Attachment) -> int:
        """About how many bytes it takes."""
        return _BYTES_PER_TERM * len(item.vector) + 150

    def attach(self, items: Sequence[Attachment]) -> Steps[list[AttachOutcome]]:
        """Vectors, then markers; then a look at the texts.

        Qdrant has no versions of points. So the text is read once more after the vector was
        written: where it is another one by now, the document is encoded again.
        """
        outcomes: list[AttachOutcome] = []
        fitting = []
        for item in items:
            reason = self._terms_reason(item.vector)
            if reason:
                outcomes.append(Rejected(id=item.id, reason=reason))
            else:
                fitting.append(item)
        if not fitting:
            return outcomes
        present = yield from self._write_vectors(fitting)
        if self._mark and present:
            changes = [
                {"payload": {marker_key(self._vector): item.marker}, "points": [item.found.handle]}
                for item in present
            ]
            yield self._request("set_payloads", {"changes": changes})
        return outcomes + (yield from self._compared(fitting))

    def clear(self, found: Sequence[Found]) -> Steps[list[AttachOutcome]]:
        """Remove the vector, and the marker if there is one."""
        points = [item.handle for item in found]
        yield self._request("delete_vectors", {"points": points, "vectors": [self._vector]})
        if any(item.marker is not None for item in found):
            keys = [marker_key(self._vector)]
            yield self._request("delete_payload", {"points": points, "keys": keys})
        return [Written(id=item.id) for item in found]

    def withdrawal(self) -> Steps[tuple[tuple[str, ...], tuple[str, ...]]]:
        """Vector and manifest; before 1.18 the empty vector stays."""
        schema = yield from self._read_schema()
        version = yield from self._read_version()
        removes = [f"the manifest of {self._vector!r} in the collection's metadata"]
        if is_marked(schema.metadata or {}, self._vector):
            removes.append(f"the payload key {marker_key(self._vector)!r}")
        if version >= ADD_VECTOR:
            return (f"the sparse vector {self._vector!r}", *removes), ()
        return tuple(removes), (
            f"the sparse vector {self._vector!r} stays, empty: Qdrant {version_text(version)} "
            "cannot remove one (1.18 and later can)",
        )

    def withdraw(self) -> Steps[None]:
        """Metadata first: a vector without a manifest is found again, a manifest alone misleads."""
        schema = yield from self._read_schema()
        if self._manifest_file is None and schema.metadata:
            yield from self._set_metadata(without_vector(schema.metadata, self._vector))
        if (yield from self._read_version()) >= ADD_VECTOR:
            yield self._request("delete_vector_name", {"name": self._vector})
        yield self._request("flush")
        yield from self._read_schema()

    def renamed(self, vector_name: str) -> Self:
        """The same collection with exactly this sparse vector."""
        other = copy.copy(self)
        other._asked_vector = other._vector = vector_name
        other._exactly = True
        other._schema = None
        return other

    def switch(self, vector_name: str) -> Steps[None]:
        """One change of the collection's metadata."""
        schema = yield from self._read_schema()
        metadata = switched(schema.metadata or {}, self._asked_vector, vector_name)
        yield from self._set_metadata(metadata)
        yield from self._read_schema()

    def former(self) -> Steps[str | None]:
        """As the metadata says."""
        schema = yield from self._read_schema()
        return former_of(schema.metadata or {}, self._asked_vector)

    def _write_vectors(self, items: Sequence[Attachment]) -> Steps[list[Attachment]]:
        """Write to the points that are there; the others make a server refuse all of them."""
        points = [
            {"id": item.found.handle, "vector": {self._vector: sparse_json(item.vector)}}
            for item in items
        ]
        try:
            yield self._request("update_vectors", {"points": points})
            return list(items)
        except (NotFound, RequestRejected) as error:
            present = yield from self._present(items, error)
        return (yield from self._write_vectors(present)) if present else []

    def _present(
        self, items: Sequence[Attachment], error: SpladeConnectorsError
    ) -> Steps[list[Attachment]]:
        """Those whose points are there. If all of them are, the error is about something else."""
        body = {"ids": [item.found.handle for item in items], "with_payload": False}
        answer = yield self._request("retrieve", body | {"with_vector": False})
        ids = {str(record["id"]) for record in answer}
        present = [item for item in items if str(item.found.handle) in ids]
        if len(present) == len(items):
            raise error
        return present

    def _compared(self, items: Sequence[Attachment]) -> Steps[list[AttachOutcome]]:
        """What became of each point, by the text that it has now."""
        body = {"ids": [item.found.handle for item in items], "with_vector": False}
        keys = self._payload_of(items[0].fields)
        answer = yield self._request("retrieve", body | {"with_payload": keys})
        now = {str(record["id"]): record.get("payload") or {} for record in answer}
        outcomes: list[AttachOutcome] = []
        for item in items:
            payload = now.get(str(item.found.handle))
            if payload is None:
                outcomes.append(Gone(id=item.id))
            elif text_of(payload, item.fields) != item.text:
                outcomes.append(Conflict(id=item.id))
            else:
                outcomes.append(Written(id=item.id))
        return outcomes

    def _set_metadata(self, metadata: Mapping[str, Any]) -> Steps[None]:
        if self._manifest_file is not None:
            raise NotSupported(
                f"{self.location}: this needs the collection's metadata, which --manifest FILE "
                "does without"
            )
        # A server merges: only what is ours is sent, and null removes a key.
        ours = {key: metadata.get(key) for key in (MANIFEST_KEY, STATE_KEY)}
        yield self._request("set_metadata", {"metadata": ours})
