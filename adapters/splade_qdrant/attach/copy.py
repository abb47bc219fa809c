"""Copy a collection, for servers that cannot add a vector to an existing one.

The copy gets the same settings, payload indexes and points with all their vectors. It is written
and compared page by page; points that are already equal are skipped, so that an interrupted copy
continues. The original is only read.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from operator import itemgetter
from typing import Any

import numpy as np

from splade_connectors.backends.attaching import CopyReport
from splade_connectors.backends.protocol import Backend, Description
from splade_connectors.errors import ConfigurationError, SchemaConflict
from splade_connectors.runtime.effects import Steps
from splade_connectors.writing.chunks import chunks
from splade_qdrant.address import Address
from splade_qdrant.look import Server, collection_info, look, schema_of
from splade_qdrant.names import check_collection_name
from splade_qdrant.schema import Schema

# Points per page: with dense vectors of 1,536 dimensions about 4 MB of JSON.
_PAGE = 100
# Qdrant's recommendation for one request; its limit is 32 MiB.
_MOST_BYTES = 5_000_000
# How far a normalized vector may move when it is normalized again [local mode: 6e-8].
_ROUNDING = 1e-6
# Maximum number of passes until the copy is equal: others may write to the original meanwhile.
_MOST_PASSES = 10


class QdrantCopying:
    """Copies a collection, and moves an alias to the copy.

    Args:
        address: of the original.
        server: what is known about the server.
        at: makes the backend of another address on the same server.
    """

    def __init__(self, address: Address, server: Server, at: Callable[[Address], Backend]) -> None:
        self._address = address
        self._server = server
        self._at = at

    def copied_to(self, name: str) -> Backend:
        """The backend of another collection on the same server."""
        if name == self._address.collection:
            raise ConfigurationError(
                f"--copy-to takes the name of a new collection, not {name!r} itself"
            )
        check_collection_name(name)
        location = f"{self._address.location.rpartition('/')[0]}/{name}"
        return self._at(replace(self._address, collection=name, location=location))

    def copy_to(self, other: Any, on_points: Callable[[int], None]) -> Steps[CopyReport]:
        """Create or complete the copy.

        Args:
            other: the backend returned by `copied_to`.
            on_points: called with the number of points of each page.

        Raises:
            SchemaConflict: if the copy exists with other vectors.
        """
        there: Address = other.address
        seen = yield from look(self._address, self._server)
        yield from self._create_copy(seen, there)
        schema = schema_of(seen, self._address)
        copying = _Copying(self._address, there, seen.vector, schema, on_points)
        return (yield from copying.run())

    def switch_alias(self, alias: str, name: str) -> Steps[None]:
        """Point the alias at the collection, atomically.

        Raises:
            ConfigurationError: if `alias` is the name of a collection.
        """
        check_collection_name(alias, "alias")
        if alias in (yield self._address.request("collections")):
            raise ConfigurationError(
                f"{alias!r} is a collection, and an alias cannot have the same name: make the "
                "application use an alias first"
            )
        exists = alias in (yield self._address.request("aliases"))
        change = {"alias": alias, "to": name, "exists": exists}
        yield self._address.request("switch_alias", change)

    def _create_copy(self, seen: Description, there: Address) -> Steps[None]:
        """Create the collection with the same settings and payload indexes."""
        schema = schema_of(seen, self._address)
        info = (yield from collection_info(self._address)) or {}
        copied = yield from look(there, self._server)
        if copied.schema is None:
            # Without a manifest: the original's is not true of the copy's vectors.
            body = {"config": info["config"], "add_sparse_vector": seen.vector}
            yield there.request("create_like", body)
            # Another process may have created it at the same time, with other vectors.
            copied = yield from look(there, self._server)
        made = schema_of(copied, there)
        if made.dense != schema.dense or seen.vector not in made.sparse:
            raise SchemaConflict(
                f"{there.location} exists but has other vectors than {self._address.location}: "
                "choose another name for the copy"
            )
        indexed = ((yield from collection_info(there)) or {}).get("payload_schema") or {}
        for field, index in (info.get("payload_schema") or {}).items():
            if field not in indexed:
                yield there.request("create_payload_index", {"field": field, "index": index})


@dataclass(frozen=True, slots=True)
class _Copying:
    """One run.

    Attributes:
        here: the original.
        there: the copy.
        vector: the sparse vector to be attached; it is not copied.
        schema: of the original.
        on_points: called with the number of points of each page.
    """

    here: Address
    there: Address
    vector: str
    schema: Schema
    on_points: Callable[[int], None]

    def run(self) -> Steps[CopyReport]:
        """Write what the copy lacks until a pass changes nothing and the checksums agree."""
        report = CopyReport(collection=self.there.collection)
        for _ in range(_MOST_PASSES):
            written, points, here = yield from self._write_lacking()
            report.written += written
            removed, there = yield from self._remove_rest()
            report.points, report.checksum = points, here
            if not written and not removed and here == there:
                report.equal = True
                break
        return report

    def _write_lacking(self) -> Steps[tuple[int, int, str]]:
        """Write what the copy lacks; return points written, points in all, and their checksum."""
        digest = hashlib.sha256()
        written = count = 0
        after: Any = None
        while True:
            points, after = yield from self._page(self.here, after)
            there = yield from _by_id(self.there, points)
            lacking: list[tuple[Any, int]] = []
            for point in points:
                canonical = _canonical(point, self.vector).encode()
                digest.update(canonical)
                if not self._is_copied(point, there.get(str(point["id"]))):
                    lacking.append((_as_written(point, self.vector), len(canonical)))
            for chunk in chunks(
                lacking, max_items=_PAGE, max_bytes=_MOST_BYTES, size=itemgetter(1)
            ):
                yield self.there.request("upsert", {"points": [point for point, _ in chunk]})
            written += len(lacking)
            count += len(points)
            self.on_points(len(points))
            if after is None:
                return written, count, digest.hexdigest()

    def _remove_rest(self) -> Steps[tuple[int, str]]:
        """Remove from the copy what is gone from the original; return how many, and the checksum.

        The checksum equals the original's if every point of the copy is the same.
        """
        digest = hashlib.sha256()
        removed = 0
        after: Any = None
        while True:
            points, after = yield from self._page(self.there, after)
            here = yield from _by_id(self.here, points)
            gone = [point["id"] for point in points if str(point["id"]) not in here]
            if gone:
                yield self.there.request("delete", {"points": gone})
            removed += len(gone)
            for point in points:
                original = here.get(str(point["id"]))
                if original is not None:
                    shown = original if self._is_copied(original, point) else point
                    digest.update(_canonical(shown, self.vector).encode())
            if after is None:
                return removed, digest.hexdigest()

    def _page(self, address: Address, after: Any) -> Steps[tuple[list[Any], Any]]:
        body = {"limit": self.schema.at_most(_PAGE), "offset": after, **_WHOLE}
        answer = yield address.request("scroll", body)
        return answer["points"], answer["next"]

    def _is_copied(self, original: Mapping[str, Any], found: Mapping[str, Any] | None) -> bool:
        """Whether the copy has this point, up to the rounding of cosine vectors.

        Every write normalizes them, which may change their last digits.
        """
        if found is None:
            return False
        mine, its = _as_written(original, self.vector), _as_written(found, self.vector)
        if mine == its:
            return True
        distances = self.schema.distances
        left, right = _by_name(mine.pop("vector")), _by_name(its.pop("vector"))
        return (
            mine == its
            and left.keys() == right.keys()
            and all(
                left[name] == right[name]
                or (distances.get(name) == "Cosine" and _is_close(left[name], right[name]))
                for name in left
            )
        )


_WHOLE = {"with_payload": True, "with_vector": True}


def _by_id(address: Address, points: Sequence[Mapping[str, Any]]) -> Steps[dict[str, Any]]:
    """The points with the same ids, with payload and vectors."""
    if not points:
        return {}
    ids = [point["id"] for point in points]
    answer = yield address.request("retrieve", {"ids": ids, **_WHOLE})
    return {str(point["id"]): point for point in answer}


def _as_written(point: Mapping[str, Any], sparse: str) -> dict[str, Any]:
    return {
        "id": point["id"],
        "vector": _others(point.get("vector"), sparse),
        "payload": dict(point.get("payload") or {}),
    }


def _canonical(point: Mapping[str, Any], sparse: str) -> str:
    """The point as text, without the vector to be attached: equal for equal points."""
    return json.dumps(_as_written(point, sparse), sort_keys=True, separators=(",", ":"))


def _by_name(vector: Any) -> Mapping[str, Any]:
    return vector if isinstance(vector, Mapping) else {"": vector}


def _is_close(left: Any, right: Any) -> bool:
    one, other = np.asarray(left), np.asarray(right)
    return one.shape == other.shape and bool(np.all(np.abs(one - other) <= _ROUNDING))


def _others(vector: Any, sparse: str) -> Any:
    """The other vectors of a point; the unnamed one is a list, or has the key ""."""
    if not isinstance(vector, Mapping):
        return {} if vector is None else vector
    rest = {name: value for name, value in vector.items() if name != sparse}
    return rest[""] if set(rest) == {""} else rest
