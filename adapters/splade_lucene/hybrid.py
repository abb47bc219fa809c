"""The verbs of a hybrid search that an index of Elasticsearch and one of OpenSearch share."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

from splade_connectors.backends.protocol import Plan
from splade_connectors.backends.versions import version_text
from splade_connectors.documents import Hit
from splade_connectors.errors import (
    AccessDenied,
    ConfigurationError,
    NotFound,
    RequestRejected,
    Unavailable,
)
from splade_connectors.fusion.legs import check_dense_query, choose_dense
from splade_connectors.fusion.reference import LegRanking, leg_ranking
from splade_connectors.fusion.request import FusionPath, HybridQuery, ResolvedLeg
from splade_connectors.runtime.effects import Steps
from splade_lucene.bulk import reason
from splade_lucene.compile.legs import msearch_lines
from splade_lucene.dialect import Version
from splade_lucene.index import ElasticsearchBackend
from splade_lucene.requests import HttpRequest

# Field types without words of their own, and those whose keys are not mapped.
_OBJECTS = {"object", "nested"}
_FLAT = {"flattened", "flat_object"}
_FIELDS_SHOWN = 8


class HybridVerbs(ElasticsearchBackend):
    """An index that is searched by several legs at once. Arguments as `ElasticsearchBackend`."""

    _text_fields: frozenset[str] = frozenset()

    def dense_field(self, asked: str | None) -> Steps[str]:
        """As `HybridBackend.dense_field`."""
        schema = self._schema or (yield from self._read_schema())
        what = f"{self._dialect.dense_type} field"
        return choose_dense(asked, self._dense, schema.dense, what=what, where=self.location)

    def plan_hybrid(self, query: HybridQuery, path: FusionPath) -> Steps[Plan]:
        """The best request that does not change the fusion's meaning."""
        version = yield from self._read_version()
        if self._schema is None:
            yield from self._read_schema()
        for leg in query.legs:
            if leg.dense is not None:
                self._check_dense(leg, query, version)
            if leg.kind == "text":
                yield from self._check_text(leg)
        return (yield from self._compile(query, path))

    def search_fused(self, plan: Plan, query: HybridQuery) -> Steps[list[Hit]]:
        """Send the one request; equal scores are in the order of shards and segments."""
        return (yield from self.search(plan))

    def refused(self, plan: Plan) -> bool:
        """As `HybridBackend.refused`; by default there is no other path."""
        return False

    def search_legs(self, query: HybridQuery) -> Steps[list[LegRanking]]:
        """One `_msearch`. Dense scores are similarities from 0 to 1 as they are."""
        lines = msearch_lines((yield from self._searches(query)))
        answer = yield HttpRequest("POST", f"{self._path}/_msearch", lines)
        rankings = []
        for leg, response in zip(query.legs, answer["responses"], strict=True):
            if "error" in response:
                raise _leg_error(leg.name, response, self.location)
            hits = response["hits"]["hits"]
            ids = [hit["_id"] for hit in hits]
            rankings.append(leg_ranking(leg.name, ids, [float(hit["_score"]) for hit in hits]))
        return rankings

    def _compile(self, query: HybridQuery, path: FusionPath) -> Steps[Plan]:
        """The plan, on this server."""
        raise NotImplementedError

    def _searches(self, query: HybridQuery) -> Steps[Sequence[Mapping[str, Any]]]:
        """A search body for each leg, for its window."""
        raise NotImplementedError

    def _check_text(self, leg: ResolvedLeg) -> Steps[None]:
        """Refuse text fields that are not there: they match nothing, and the server says nothing.

        Asked once for each field. Where that is not allowed, whatever is named is searched.
        """
        names = {field.partition("^")[0] for field in leg.fields} - self._text_fields
        if not names:
            return
        try:
            types = yield from self._types_of(names | {up for name in names for up in _above(name)})
            absent = sorted(name for name in names if not _is_matched(name, types))
            if absent:
                known = yield from self._types_of({"*"})
        except (AccessDenied, NotFound, RequestRejected):
            return
        if absent:
            texts = sorted(name for name, kinds in known.items() if "text" in kinds)
            more = ", …" if len(texts) > _FIELDS_SHOWN else ""
            raise ConfigurationError(
                f"{self.location} has no field {absent[0]!r} for a text leg; its text fields are "
                f"{', '.join(map(repr, texts[:_FIELDS_SHOWN])) or 'none'}{more}: "
                "TextLeg(fields=('NAME',)) (--text-field NAME)"
            )
        self._text_fields |= names

    def _types_of(self, names: Iterable[str]) -> Steps[dict[str, set[str]]]:
        """Field -> its types, of those of these names or patterns that are there."""
        params = {"fields": ",".join(sorted(names)), "filter_path": "fields.*.*.type"}
        answer = yield HttpRequest("GET", f"{self._path}/_field_caps", None, params)
        return {name: set(types) for name, types in (answer.get("fields") or {}).items()}

    def _check_dense(self, leg: ResolvedLeg, query: HybridQuery, version: Version) -> None:
        """Refuse a dense leg that the server, or the field, cannot search."""
        name, first = self._dialect.name, self._dialect.first_knn
        if version and version < first:
            raise ConfigurationError(
                f"{self.location}: a dense leg needs {name} {version_text(first)}, the server is "
                "older"
            )
        assert self._schema is not None
        assert leg.dense is not None
        mapping = self._schema.dense_mappings.get(leg.field or "", {})
        check_dense_query(
            leg.dense,
            self._schema.dense.get(leg.field or "", 0),
            by_angle=leg.exact or self._dialect.by_angle(mapping),
            field=repr(leg.field),
            where=self.location,
        )


def _above(name: str) -> list[str]:
    """The objects that a field is in: "a.b.c" is in "a.b" and "a"."""
    parts = name.split(".")
    return [".".join(parts[:count]) for count in range(1, len(parts))]


def _is_matched(name: str, types: Mapping[str, set[str]]) -> bool:
    """Whether a field, or one of a pattern's, can hold words; keys in flat objects are unknown."""
    if any(types.get(above, set()) & _FLAT for above in _above(name)):
        return True
    return any(fnmatchcase(found, name) and not kinds & _OBJECTS for found, kinds in types.items())


def _leg_error(name: str, response: dict[str, object], location: str) -> Exception:
    status = int(str(response.get("status") or 400))
    error = response["error"]
    # 9.3.2 says "all shards failed" and no more, but for each shard.
    shards = error.get("failed_shards") if isinstance(error, Mapping) else None
    detail = reason(shards[0].get("reason") if shards else error)
    text = f"{location}: the {name} leg failed ({status}): {detail}"
    return Unavailable(text) if status in (429, 502, 503) else RequestRejected(text, status=status)
