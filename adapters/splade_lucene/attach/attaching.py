"""The part of a backend that attaches vectors to an Elasticsearch or OpenSearch index."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from splade_connectors.backends.attaching import (
    Attachment,
    AttachOutcome,
    Counts,
    Found,
    Gone,
    Page,
    Selection,
    Survey,
)
from splade_connectors.backends.metadata import former_of, switched, without_vector
from splade_connectors.backends.protocol import Backend, Description
from splade_connectors.documents import DocumentId, Stamp
from splade_connectors.errors import AccessDenied, NotFound, RequestRejected
from splade_connectors.manifest import IndexManifest
from splade_connectors.runtime.effects import Steps
from splade_lucene.address import IndexAddress
from splade_lucene.answers import asked, understood
from splade_lucene.attach.paging import Reading, read_page
from splade_lucene.attach.reading import fields_of, found_in, selected
from splade_lucene.attach.same import check_same, check_still
from splade_lucene.attach.stamps import stamps
from splade_lucene.attach.survey import counted, surveyed
from splade_lucene.bulk import update_lines, update_outcomes
from splade_lucene.documents import attached_fields, marker_field_of, without_fields
from splade_lucene.fetch import dense_vectors
from splade_lucene.look import look, there
from splade_lucene.prepare import completed
from splade_lucene.privileges import SEARCH, missing_privileges
from splade_lucene.queries import at_random, holding, marked, with_vector
from splade_lucene.requests import HttpRequest
from splade_lucene.schema import marker_name
from splade_lucene.server import Remembered
from splade_lucene.together import check_writable

_BYTES_PER_TERM = 24
_SCRIPT = "for (name in params.names) { ctx._source.remove(name) }"


class LuceneAttaching:
    """As `AttachBackend`.

    Args:
        address: of index and field.
        remembered: what is known about the server.
        at: makes the backend of another address on the same server.
    """

    def __init__(
        self,
        address: IndexAddress,
        remembered: Remembered,
        at: Callable[[IndexAddress], Backend],
    ) -> None:
        self._address = address
        self._remembered = remembered
        self._at = at

    def pinned(self, seen: Description) -> Steps[Backend]:
        """A backend bound to the index itself: an alias may move, filter or route documents."""
        if seen.schema is None or seen.schema.index == self._address.index:
            check_writable(seen, self._address)
            return self._at(self._address)
        yield from self._check_behind(seen.schema.index)
        return self._at(replace(self._address, bound=seen.schema.index))

    def _check_behind(self, index: str) -> Steps[None]:
        """Check the privileges on the index itself, since those on its alias do not apply to it."""
        if not self._address.dialect.tells_privileges:
            return
        lacking = yield from missing_privileges(index, SEARCH)
        if lacking:
            raise AccessDenied(
                f"{self._address.location}: vectors are attached to the index behind the alias, "
                f"{index}, on which this user lacks {', '.join(lacking)}; ask an admin to grant "
                "the privileges listed in docs/targets.md"
            )

    def marks(self, seen: Description) -> bool:
        """Always: `rank_features` fields cannot be queried for existence."""
        return True

    def stamps(
        self, seen: Description, ids: Sequence[DocumentId]
    ) -> Steps[dict[DocumentId, Stamp]]:
        """Read the stamps by multi-get, and search for documents that have lost their vector."""
        check_writable(seen, self._address)
        return stamps(self._address, there(seen, self._address), ids)

    def dense_vectors(
        self, seen: Description, ids: Sequence[DocumentId]
    ) -> Steps[dict[DocumentId, Mapping[str, Sequence[float]]]]:
        """Read dense vectors by multi-get."""
        return dense_vectors(self._address, seen, ids)

    def names(self) -> Steps[list[str]]:
        """The indices and aliases that this user may list."""
        try:
            return (yield from asked(HttpRequest("GET", "/_alias"), _names, self._address))
        except (AccessDenied, NotFound, RequestRejected):
            return []

    def survey(self, seen: Description, selection: Selection) -> Steps[Survey]:
        """Mapping, settings, counts and a sample."""
        return surveyed(self._address, seen, selection)

    def ensure(
        self, seen: Description, manifest: IndexManifest, *, write_manifest: bool, mark: bool
    ) -> Steps[Description]:
        """Add field, marker and manifest by one change of the mapping."""
        written = manifest if write_manifest else None
        now = yield from completed(self._address, self._remembered, seen, written)
        check_still(self._address, there(seen, self._address), there(now, self._address))
        return now

    def read(self, seen: Description, selection: Selection, cursor: Any) -> Steps[Page]:
        """Read a page of a point in time or a scroll."""
        schema = there(seen, self._address)
        # Reading a part of each `_source` is most of the work of a page.
        fields = False if selection.ids_only else self._fields(seen, selection)
        body = {"query": selected(selection, schema), "_source": fields}
        reading = Reading(address=self._address, body=body, selection=selection)
        hits, after = yield from read_page(reading, cursor)
        with understood(self._address):
            return Page(documents=self._found(seen, hits), next=after)

    def read_again(
        self, seen: Description, selection: Selection, found: Sequence[Found]
    ) -> Steps[list[Found]]:
        """Read by multi-get, which sees writes before a refresh."""
        names = self._fields(seen, selection)["includes"]
        docs = [
            {
                "_id": item.handle["id"],
                "_source": names,
                **({"routing": item.handle["routing"]} if item.handle.get("routing") else {}),
            }
            for item in found
        ]

        def parse(answer: Any) -> list[Found]:
            return self._found(seen, [doc for doc in answer["docs"] if doc.get("found")])

        request = HttpRequest("POST", f"{self._address.path}/_mget", {"docs": docs})
        return asked(request, parse, self._address)

    def draw(self, seen: Description, selection: Selection, size: int) -> Steps[list[Found]]:
        """Draw by random scores among documents with our marker and, if known, a vector."""
        schema = there(seen, self._address)
        any_vector = selection.which == "stored"
        meant = holding(schema) if any_vector else with_vector(schema, marked(schema))
        body = {
            "size": size,
            "query": at_random(meant),
            "_source": self._fields(seen, selection),
        }

        def parse(answer: Any) -> list[Found]:
            return self._found(seen, answer["hits"]["hits"])

        request = HttpRequest("POST", f"{self._address.path}/_search", body)
        return asked(request, parse, self._address)

    def counts(self, seen: Description, selection: Selection) -> Steps[Counts]:
        """The number of documents, and of those without a vector of these settings."""
        return counted(self._address, there(seen, self._address), selection)

    def missing(self, seen: Description, selection: Selection) -> Steps[int]:
        """The number without a vector of these settings, by the same request."""
        return (yield from self.counts(seen, selection)).missing

    def attachment_size(self, item: Attachment) -> int:
        """Approximate size in bytes."""
        return _BYTES_PER_TERM * item.terms + len(str(item.id)) + 200

    def attach(self, seen: Description, items: Sequence[Attachment]) -> Steps[list[AttachOutcome]]:
        """Send one bulk request of partial updates, conditional on the versions that were read."""
        keys = self._address.keys_in(seen)
        changes = [
            {
                "doc": marker_field_of(item, seen.vector)
                if item.vector is None
                else attached_fields(item.vector, item.marker, seen.vector, keys)
            }
            for item in items
        ]
        found = [item.found for item in items]
        answer = yield from self._bulk(seen, found, changes)
        return (yield from self._outcomes(seen, found, answer))

    def clear(self, seen: Description, found: Sequence[Found]) -> Steps[list[AttachOutcome]]:
        """Remove field and marker from `_source`; without scripts, empty them."""
        names = [seen.vector, marker_name(seen.vector)]
        script = {"source": _SCRIPT, "lang": "painless", "params": {"names": names}}
        if self._remembered.scripts:
            answer = yield from self._bulk(seen, found, [{"script": script}] * len(found))
            with understood(self._address):
                lacking = _lacks_scripts(answer)
            if not lacking:
                return (yield from self._outcomes(seen, found, answer))
            self._remembered.scripts = False
        emptied = [{"doc": without_fields(seen.vector)}] * len(found)
        answer = yield from self._bulk(seen, found, emptied)
        return (yield from self._outcomes(seen, found, answer))

    def withdrawal(self, seen: Description) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Our part of `_meta` is removed; fields cannot be removed from a mapping."""
        field = seen.vector
        removes = (f"the entry of {field!r} in the mapping's _meta",)
        alone = seen.schema is not None and not without_vector(seen.schema.meta, field)
        remains = (
            *(("an empty _meta stays in the mapping",) if alone else ()),
            f"the empty fields {field!r} and {marker_name(field)!r} stay in the "
            "mapping: the server cannot remove a mapped field",
            "if the server runs no scripts (painless), each document's _source keeps both names "
            "with an empty list",
        )
        return removes, remains

    def withdraw(self, seen: Description) -> Steps[None]:
        """Write `_meta` without our part."""
        yield from self._write_meta(lambda meta: without_vector(meta, seen.vector))

    def renamed(self, vector_name: str) -> Backend:
        """A backend of the same index with exactly this sparse field."""
        return self._at(replace(self._address, field=vector_name, exactly=True))

    def switch(self, vector_name: str) -> Steps[None]:
        """Switch by one change of `_meta`."""
        yield from self._write_meta(lambda meta: switched(meta, self._address.field, vector_name))

    def former(self, seen: Description) -> str | None:
        """The former field recorded in `_meta`."""
        return former_of(there(seen, self._address).meta, self._address.field)

    def _write_meta(self, changed: Callable[[Mapping[str, Any]], Mapping[str, Any]]) -> Steps[None]:
        """Change `_meta`; writing replaces all of it."""
        # Look again: the owner, or another run, may have changed it during this run.
        now = yield from look(self._address, self._remembered)
        meta = changed(there(now, self._address).meta)
        yield HttpRequest("PUT", f"{self._address.path}/_mapping", {"_meta": meta})

    def _fields(self, seen: Description, selection: Selection) -> dict[str, Any]:
        schema, version = there(seen, self._address), seen.capabilities.version
        return fields_of(selection, schema, self._address.dialect, version)

    def _found(self, seen: Description, hits: Sequence[Mapping[str, Any]]) -> list[Found]:
        return found_in(hits, there(seen, self._address), self._address.keys_in(seen))

    def _bulk(
        self, seen: Description, found: Sequence[Found], changes: Sequence[Mapping[str, Any]]
    ) -> Steps[Any]:
        """Send updates to the index that was looked at."""
        # Someone may have deleted or replaced it since.
        yield from check_same(self._address, there(seen, self._address))
        lines = update_lines(found, changes)
        return (yield HttpRequest("POST", f"{self._address.path}/_bulk", lines))

    def _outcomes(
        self, seen: Description, found: Sequence[Found], answer: Any
    ) -> Steps[list[AttachOutcome]]:
        with understood(self._address):
            outcomes = update_outcomes(found, answer, self._address.location)
        if all(isinstance(outcome, Gone) for outcome in outcomes):
            # All documents are gone, or their index was deleted between check and write.
            yield from check_same(self._address, there(seen, self._address))
        return outcomes


def _names(answer: Mapping[str, Any]) -> list[str]:
    aliases = [name for entry in answer.values() for name in entry.get("aliases") or ()]
    return sorted({name for name in [*answer, *aliases] if not name.startswith(".")})


def _lacks_scripts(answer: Mapping[str, Any]) -> bool:
    """Whether the server has no script language, according to the first document's error."""
    error = (answer["items"][0]["update"].get("error") or {}) if answer["items"] else {}
    text = str(error)
    return "script" in text and ("does not exist" in text or "not supported" in text)
