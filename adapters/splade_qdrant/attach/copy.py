"""A copy of a collection beside it, for servers that cannot add a vector to what exists.

The copy gets the same settings, payload indexes and points, vectors and all. It is made page by
page and compared page by page; what is there already and equal is left alone, so that a copy that
was stopped goes on. The original is only read.
"""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Callable, Mapping
from typing import Any, Self

import numpy as np

from splade_connectors.backends.attaching import CopyReport
from splade_connectors.errors import ConfigurationError, NotSupported, SchemaConflict
from splade_connectors.runtime.effects import Steps
from splade_qdrant.attach.write import AttachVerbs
from splade_qdrant.names import check_collection_name

# Points of a page: with dense vectors of 1,536 numbers about 4 MB of JSON.
_PAGE = 100
# How far a normalized vector may move when it is normalized again [local mode: 6e-8].
_ROUNDING = 1e-6
# Passes until two in a row find the same: the original may be written to meanwhile.
_MOST_PASSES = 10


class CopyVerbs(AttachVerbs):
    """A collection that can be copied. Arguments as `QdrantBackend`."""

    def copied_to(self, name: str) -> Self:
        """The verbs of a collection beside this one, on the same server."""
        if not self._collection:
            raise NotSupported(
                f"{self.location}: the embedded engine can add a vector to what exists; leave "
                "--copy-to away"
            )
        if name == self._collection:
            raise ConfigurationError(f"--copy-to names a new collection, not {name!r} itself")
        check_collection_name(name)
        other = copy.copy(self)
        other._collection = other._other_collection = name
        other.location = f"{self.location.rpartition('/')[0]}/{name}"
        other._schema = None
        return other

    def copy_to(self, other: Any, on_points: Callable[[int], None]) -> Steps[CopyReport]:
        """Make or complete the copy.

        Args:
            other: of `copied_to`.
            on_points: called with the number of points of each page.

        Raises:
            SchemaConflict: when the copy is there with other vectors.
        """
        yield from self._create_copy(other)
        report = CopyReport(collection=other._collection)
        for _ in range(_MOST_PASSES):
            written, points, here = yield from self._copy_pass(other, on_points)
            report.written += written
            removed, there = yield from self._copied_state(other)
            report.points, report.checksum = points, here
            if not written and not removed and here == there:
                report.equal = True
                break
        return report

    def switch_alias(self, alias: str, name: str) -> Steps[None]:
        """From now on this alias names the collection; in one step.

        Raises:
            ConfigurationError: when the name is a collection's.
        """
        check_collection_name(alias, "alias")
        if alias in (yield self._request("collections")):
            raise ConfigurationError(
                f"{alias!r} is a collection, and an alias cannot take its name: let the "
                "application use an alias first"
            )
        exists = alias in (yield self._request("aliases"))
        yield self._request("switch_alias", {"alias": alias, "to": name, "exists": exists})

    def _create_copy(self, other: Any) -> Steps[None]:
        info = yield self._request("schema")
        if not (yield other._request("exists")):
            # What the first collection's vectors were made with is not true of the copy's.
            body = {"config": info["config"], "add_sparse_vector": self._vector}
            yield other._request("create_like", body)
        schema = yield from self._read_schema()
        copied = yield from other._read_schema()
        if copied.dense != schema.dense or self._vector not in copied.sparse:
            raise SchemaConflict(
                f"{other.location} exists and has other vectors than {self.location}: choose a new "
                "name for the copy"
            )
        there = (yield other._request("schema")).get("payload_schema") or {}
        for field, index in (info.get("payload_schema") or {}).items():
            if field not in there:
                yield other._request("create_payload_index", {"field": field, "index": index})

    def _copy_pass(
        self, other: Any, on_points: Callable[[int], None]
    ) -> Steps[tuple[int, int, str]]:
        """Write what the copy lacks; how many that were, how many there are, and their checksum."""
        digest = hashlib.sha256()
        written = count = 0
        after: Any = None
        while True:
            points, after = yield from _page(self, after)
            ids = [point["id"] for point in points]
            there = {}
            if ids:
                answer = yield other._request("retrieve", {"ids": ids, **_WHOLE})
                there = {str(point["id"]): point for point in answer}
            lacking = []
            for point in points:
                digest.update(_canonical(point, self._vector).encode())
                if not self._is_copied(point, there.get(str(point["id"]))):
                    lacking.append(_as_written(point, self._vector))
            if lacking:
                yield other._request("upsert", {"points": lacking})
            written += len(lacking)
            count += len(points)
            on_points(len(points))
            if after is None:
                return written, count, digest.hexdigest()

    def _copied_state(self, other: Any) -> Steps[tuple[int, str]]:
        """Remove from the copy what is no more in the original; how many, and the checksum.

        The checksum is that of the original where every point of the copy is the same.
        """
        digest = hashlib.sha256()
        removed = 0
        after: Any = None
        while True:
            points, after = yield from _page(other, after)
            ids = [point["id"] for point in points]
            answer = (yield self._request("retrieve", {"ids": ids, **_WHOLE})) if ids else []
            here = {str(point["id"]): point for point in answer}
            gone = [id for id in ids if str(id) not in here]
            if gone:
                yield other._request("delete", {"points": gone})
            removed += len(gone)
            for point in points:
                original = here.get(str(point["id"]))
                if original is not None:
                    same = self._is_copied(original, point)
                    shown = _canonical(original if same else point, self._vector)
                    digest.update(shown.encode())
            if after is None:
                return removed, digest.hexdigest()

    def _is_copied(self, original: Mapping[str, Any], found: Mapping[str, Any] | None) -> bool:
        """Whether the copy has this point, but for the rounding of cosine vectors.

        They are normalized whenever they are written, which may move them in their last digits.
        """
        if found is None:
            return False
        mine, its = _as_written(original, self._vector), _as_written(found, self._vector)
        if mine == its:
            return True
        distances = self._schema.distances if self._schema else {}
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


def _page(backend: Any, after: Any) -> Steps[tuple[list[Any], Any]]:
    body = {"limit": backend._at_most(_PAGE), "offset": after, **_WHOLE}
    answer = yield backend._request("scroll", body)
    return answer["points"], answer["next"]


def _as_written(point: Mapping[str, Any], sparse: str) -> dict[str, Any]:
    return {
        "id": point["id"],
        "vector": _others(point.get("vector"), sparse),
        "payload": dict(point.get("payload") or {}),
    }


def _canonical(point: Mapping[str, Any], sparse: str) -> str:
    """The point as text, without the vector that is to be attached: equal for equal points."""
    return json.dumps(_as_written(point, sparse), sort_keys=True, separators=(",", ":"))


def _by_name(vector: Any) -> Mapping[str, Any]:
    return vector if isinstance(vector, Mapping) else {"": vector}


def _is_close(left: Any, right: Any) -> bool:
    one, other = np.asarray(left), np.asarray(right)
    return one.shape == other.shape and bool(np.all(np.abs(one - other) <= _ROUNDING))


def _others(vector: Any, sparse: str) -> Any:
    """The vectors of a point without ours; the unnamed one is a list, or stands under ""."""
    if not isinstance(vector, Mapping):
        return {} if vector is None else vector
    rest = {name: value for name, value in vector.items() if name != sparse}
    return rest[""] if set(rest) == {""} else rest
