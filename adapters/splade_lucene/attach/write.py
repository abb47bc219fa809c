"""The verbs of attaching to an index of Elasticsearch, or of OpenSearch."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any, Self
from urllib.parse import quote

from splade_connectors.backends.attaching import Attachment, AttachOutcome, Found, Gone
from splade_connectors.backends.metadata import former_of, switched, without_vector
from splade_connectors.errors import AccessDenied, NotFound
from splade_connectors.manifest import IndexManifest
from splade_connectors.runtime.effects import Steps
from splade_lucene.attach.read import AttachReads
from splade_lucene.bulk import update_lines, update_outcomes
from splade_lucene.documents import attached_fields, without_fields
from splade_lucene.privileges import SEARCH, missing_privileges
from splade_lucene.requests import HttpRequest
from splade_lucene.schema import marker_name

_BYTES_PER_TERM = 24
_SCRIPT = "for (name in params.names) { ctx._source.remove(name) }"


class AttachVerbs(AttachReads):
    """An index that vectors are attached to. Arguments as `ElasticsearchBackend`."""

    _has_scripts = True
    # Name and uuid of the index that this backend is bound to.
    _bound: tuple[str, str] | None = None

    @property
    def vector_name(self) -> str:
        """The sparse field."""
        return self._field

    def pinned(self) -> Steps[Self]:
        """Bound to the index itself: an alias may be moved, filtered, or route documents."""
        try:
            schema = yield from self._read_schema()
        except NotFound:
            return self
        if schema.index != self._index:
            yield from self._check_behind(schema.index)
        other = copy.copy(self)
        other._path = f"/{quote(schema.index, safe='')}"
        other._bound = schema.index, schema.uuid
        return other

    def _check_behind(self, index: str) -> Steps[None]:
        """Privileges on an alias do not hold for requests that name its index."""
        if not self._dialect.tells_privileges:
            return
        lacking = yield from missing_privileges(index, SEARCH)
        if lacking:
            raise AccessDenied(
                f"{self.location}: vectors are attached to the index behind the alias, {index}, "
                f"where this user lacks {', '.join(lacking)}; an admin grants what the README lists"
            )

    def marks(self, asked: bool) -> Steps[bool]:
        """Always: `rank_features` cannot be asked for otherwise."""
        yield from ()
        return True

    def ensure(self, manifest: IndexManifest, *, write_manifest: bool, mark: bool) -> Steps[None]:
        """Field, marker and manifest, in one change of the mapping."""
        yield from self._check_same()
        yield from self._prepare(manifest, {}, write_manifest)

    def attachment_size(self, item: Attachment) -> int:
        """About how many bytes it takes."""
        return _BYTES_PER_TERM * len(item.vector) + len(str(item.id)) + 200

    def attach(self, items: Sequence[Attachment]) -> Steps[list[AttachOutcome]]:
        """One bulk request of partial updates, each of exactly the version that was read."""
        changes = [
            {"doc": attached_fields(item.vector, item.marker, self._field, self._keys)}
            for item in items
        ]
        found = [item.found for item in items]
        return (yield from self._outcomes(found, (yield from self._bulk(found, changes))))

    def clear(self, found: Sequence[Found]) -> Steps[list[AttachOutcome]]:
        """Take field and marker out of `_source`; where there are no scripts, empty them."""
        names = [self._field, marker_name(self._field)]
        script = {"source": _SCRIPT, "lang": "painless", "params": {"names": names}}
        if self._has_scripts:
            answer = yield from self._bulk(found, [{"script": script}] * len(found))
            if not _lacks_scripts(answer):
                return (yield from self._outcomes(found, answer))
            self._has_scripts = False
        emptied = [{"doc": without_fields(self._field)}] * len(found)
        return (yield from self._outcomes(found, (yield from self._bulk(found, emptied))))

    def withdrawal(self) -> Steps[tuple[tuple[str, ...], tuple[str, ...]]]:
        """Our part of `_meta` goes; fields cannot be taken out of a mapping."""
        yield from self._known_schema()
        removes = (f"the entry of {self._field!r} in the mapping's _meta",)
        schema = self._schema
        alone = schema is not None and not without_vector(schema.meta, self._field)
        remains = (
            *(("an empty _meta stays in the mapping",) if alone else ()),
            f"the empty fields {self._field!r} and {marker_name(self._field)!r} stay in the "
            "mapping: the server cannot remove a mapped field",
            "where the server runs no scripts (painless), each document's _source keeps both names "
            "with an empty list",
        )
        return removes, remains

    def withdraw(self) -> Steps[None]:
        """Write `_meta` without our part."""
        schema = yield from self._read_schema()
        meta = without_vector(schema.meta, self._field)
        yield HttpRequest("PUT", f"{self._path}/_mapping", {"_meta": meta})
        yield from self._read_schema()

    def renamed(self, vector_name: str) -> Self:
        """The same index with exactly this sparse field."""
        other = copy.copy(self)
        other._asked_field = other._field = vector_name
        other._exactly = True
        other._schema = None
        return other

    def switch(self, vector_name: str) -> Steps[None]:
        """One change of `_meta`."""
        schema = yield from self._read_schema()
        meta = switched(schema.meta, self._asked_field, vector_name)
        yield HttpRequest("PUT", f"{self._path}/_mapping", {"_meta": meta})
        yield from self._read_schema()

    def former(self) -> Steps[str | None]:
        """As `_meta` says."""
        schema = yield from self._read_schema()
        return former_of(schema.meta, self._asked_field)

    def _bulk(self, found: Sequence[Found], changes: Sequence[Mapping[str, Any]]) -> Steps[Any]:
        """The answer to updates of the index that was looked at."""
        yield from self._check_same()
        return (yield HttpRequest("POST", f"{self._path}/_bulk", update_lines(found, changes)))

    def _outcomes(self, found: Sequence[Found], answer: Any) -> Steps[list[AttachOutcome]]:
        outcomes = update_outcomes(found, answer, self.location)
        if all(isinstance(outcome, Gone) for outcome in outcomes):
            yield from self._check_same()
        return outcomes

    def _check_same(self) -> Steps[None]:
        """Stop where the index was deleted or replaced meanwhile.

        An update would make a new index of its name, or write to a stranger with the same ids;
        sequence numbers do not tell two indices apart.
        """
        if self._bound is None:
            return
        index, uuid = self._bound
        params = {"filter_path": "*.settings.index.uuid"}
        try:
            answer = yield HttpRequest("GET", f"{self._path}/_settings/index.uuid", None, params)
        except NotFound:
            answer = {}
        now = answer[index]["settings"]["index"]["uuid"] if index in answer else None
        if now != uuid:
            raise NotFound(
                f"{self.location}: the index {index} was deleted or replaced during the run, which "
                "ends here: what has its name now was not touched"
            )


def _lacks_scripts(answer: Mapping[str, Any]) -> bool:
    """Whether the server has no script language: it says so of the first document."""
    error = (answer["items"][0]["update"].get("error") or {}) if answer["items"] else {}
    text = str(error)
    return "script" in text and ("does not exist" in text or "not supported" in text)
