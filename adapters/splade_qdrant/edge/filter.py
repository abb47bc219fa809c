"""Convert Qdrant's JSON filters to the embedded engine's filter objects."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from splade_connectors.errors import ConfigurationError
from splade_connectors.extras import require

Json = Mapping[str, Any]


def edge_filter(given: Any) -> Any:
    """The engine's `Filter` of a filter in JSON.

    Raises:
        ConfigurationError: if the filter or a condition in it is not one of Qdrant's.
    """
    engine = require("qdrant_edge", "qdrant", "an edge: target")
    if not isinstance(given, Mapping):
        raise ConfigurationError(f"not a Qdrant filter: {given!r}")
    return engine.Filter(
        must=_conditions(given.get("must")),
        should=_conditions(given.get("should")),
        must_not=_conditions(given.get("must_not")),
        min_should=_min_should(given.get("min_should")),
    )


def _min_should(given: Any) -> Any:
    engine = require("qdrant_edge", "qdrant", "an edge: target")
    match given:
        case None:
            return None
        case {"conditions": conditions, "min_count": int(count)}:
            return engine.MinShould(_conditions(conditions), count)
    raise ConfigurationError(f"min_should takes conditions and min_count, not {given!r}")


def _conditions(given: Any) -> list[Any] | None:
    if given is None:
        return None
    # Qdrant accepts a single condition in place of a list of one.
    return [_condition(item) for item in (given if isinstance(given, list) else [given])]


def _condition(given: Any) -> Any:
    engine = require("qdrant_edge", "qdrant", "an edge: target")
    match given:
        case {"has_id": ids}:
            return engine.HasIdCondition(set(ids))
        case {"has_vector": name}:
            return engine.HasVectorCondition(name)
        case {"is_empty": {"key": key}}:
            return engine.IsEmptyCondition(key)
        case {"is_null": {"key": key}}:
            return engine.IsNullCondition(key)
        case {"nested": {"key": key, "filter": inner}}:
            return engine.NestedCondition(key, edge_filter(inner))
        case {"key": str(key)}:
            return engine.FieldCondition(key, **_field_arguments(given))
        case {"must": _} | {"should": _} | {"must_not": _} | {"min_should": _}:
            return edge_filter(given)
    raise ConfigurationError(f"not a Qdrant condition: {given!r}")


def _field_arguments(given: Json) -> dict[str, Any]:
    found = {name: value for name, value in given.items() if name != "key" and value is not None}
    unknown = sorted(set(found) - set(_FIELD))
    if unknown or not found:
        raise ConfigurationError(
            f"the filter condition on {given['key']!r} has {', '.join(unknown) or 'no test'}; "
            f"it takes {', '.join(sorted(_FIELD))}"
        )
    try:
        return {name: _FIELD[name](value) for name, value in found.items()}
    except (KeyError, TypeError, AttributeError) as error:
        reason = str(error).partition("\n")[0]
        raise ConfigurationError(f"not a Qdrant condition: {given!r} ({reason})") from error


def _match(given: Json) -> Any:
    engine = require("qdrant_edge", "qdrant", "an edge: target")
    kinds = {
        "value": engine.MatchValue,
        "any": engine.MatchAny,
        "except": engine.MatchExcept,
        "text": engine.MatchText,
        "text_any": engine.MatchTextAny,
        "phrase": engine.MatchPhrase,
    }
    for name, kind in kinds.items():
        if name in given:
            value = given[name]
            # The engine treats Python's booleans as 1 and 0, but not numpy's [0.9.0].
            return kind(np.bool_(value) if isinstance(value, bool) else value)
    raise ConfigurationError(
        f"a match condition takes one of {', '.join(kinds)}, not {', '.join(given) or 'nothing'}"
    )


def _range(given: Json) -> Any:
    engine = require("qdrant_edge", "qdrant", "an edge: target")
    dates = any(isinstance(value, str) for value in given.values())
    return (engine.RangeDateTime if dates else engine.RangeFloat)(**_present(given))


def _values_count(given: Json) -> Any:
    engine = require("qdrant_edge", "qdrant", "an edge: target")
    return engine.ValuesCount(**_present(given))


def _present(given: Json) -> dict[str, Any]:
    return {name: value for name, value in given.items() if value is not None}


def _box(given: Json) -> Any:
    engine = require("qdrant_edge", "qdrant", "an edge: target")
    return engine.GeoBoundingBox(_place(given["top_left"]), _place(given["bottom_right"]))


def _radius(given: Json) -> Any:
    engine = require("qdrant_edge", "qdrant", "an edge: target")
    return engine.GeoRadius(_place(given["center"]), given["radius"])


def _polygon(given: Json) -> Any:
    engine = require("qdrant_edge", "qdrant", "an edge: target")
    rings = [given["exterior"], *(given.get("interiors") or [])]
    exterior, *interiors = [[_place(point) for point in ring["points"]] for ring in rings]
    return engine.GeoPolygon(exterior, interiors or None)


def _place(given: Json) -> Any:
    engine = require("qdrant_edge", "qdrant", "an edge: target")
    return engine.GeoPoint(given["lon"], given["lat"])


def _same(given: Any) -> Any:
    return given


_FIELD: dict[str, Callable[[Any], Any]] = {
    "match": _match,
    "range": _range,
    "values_count": _values_count,
    "geo_bounding_box": _box,
    "geo_radius": _radius,
    "geo_polygon": _polygon,
    "is_empty": _same,
    "is_null": _same,
}
