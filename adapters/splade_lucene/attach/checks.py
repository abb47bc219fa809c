"""Checks of an index before attaching: blocks, lost fields, changed values. Pure."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from splade_lucene.dialect import Dialect, Version

# Text in values of these types is still found in the sample.
_NO_TEXT = {
    *("object", "nested", "alias", "boolean", "histogram", "geo_point", "geo_shape"),
    *("long", "integer", "short", "byte", "double", "float", "half_float", "scaled_float"),
    *("unsigned_long", "dense_vector", "sparse_vector", "rank_feature", "rank_features"),
    "knn_vector",
}
_BLOCKS = {
    "read_only": "read-only",
    "read_only_allow_delete": "read-only (its disk was full, or its owner set the block)",
    "write": "blocked for writing",
    "metadata": "blocked for mapping changes",
}


def blocked(settings: Mapping[str, Any], index: str) -> list[str]:
    """Why an index's settings block writing to it; [] if they do not."""
    blocks = settings.get("blocks") or {}
    return [
        f"{index} is {what}: remove the block with PUT /{index}/_settings "
        f'{{"index.blocks.{name}": null}}'
        for name, what in _BLOCKS.items()
        if str(blocks.get(name)).lower() == "true"
    ]


def is_data_stream(index: str) -> bool:
    """Whether an index belongs to a data stream, by its name."""
    return index.startswith((".ds-", "partial-.ds-", "restored-.ds-"))


def lost_fields(
    mapping: Mapping[str, Any],
    settings: Mapping[str, Any],
    version: Version,
    dialect: Dialect,
) -> str | None:
    """Why an update would lose the owner's fields; None if it would not.

    `_update` reads `_source`, changes it, and rewrites all fields from it: fields that `_source`
    omits are lost [ran 7.17.29, 9.3.2, OpenSearch 3.6.0].
    """
    source = mapping.get("_source") or {}
    if source.get("enabled") is False:
        return "its _source is disabled, so an update would erase every field"
    mode = source.get("mode") or _source_mode(settings)
    if mode in ("synthetic", "disabled"):
        return f"its _source is {mode}, so an update would write a reconstructed document"
    fields = dict(_flattened(mapping.get("properties") or {}))
    lost = [name for name in fields if _is_left_out(name, source)]
    if dialect.keeps_vectors_apart(version):
        vectors = ("dense_vector", "sparse_vector")
        lost = [name for name in lost if fields[name].get("type") not in vectors]
    if not lost and source.get("includes"):
        # Later fields may be omitted too, and ours would be.
        patterns = ", ".join(source["includes"])
        return f"its _source keeps only {patterns}, so an update would erase any other field"
    if lost:
        names = ", ".join(map(repr, lost))
        return f"its _source omits {names}, which an update would erase"
    return None


def hidden_ours(mapping: Mapping[str, Any], ours: Sequence[str]) -> str | None:
    """Why others' later updates would erase our fields; None if they would not."""
    source = mapping.get("_source") or {}
    lost = [name for name in ours if _is_left_out(name, source)]
    if not lost:
        return None
    names = ", ".join(map(repr, lost))
    return f"its _source omits {names}, so the next update by anyone would erase it: ?field="


def text_field_names(mapping: Mapping[str, Any]) -> list[str]:
    """The mapped fields that may hold text, as paths, without sub-fields."""
    fields = _flattened(mapping.get("properties") or {})
    return [name for name, entry in fields if entry.get("type", "object") not in _NO_TEXT]


def changed_numbers(source: Any, path: str = "") -> Iterator[str]:
    """The numbers of a `_source` that an update would rewrite: "price: 1.10 -> 1.1".

    Args:
        source: parsed with `LiteralFloat` for numbers with a fraction or an exponent.
        path: of the value.
    """
    match source:
        case LiteralFloat():
            if source.rewritten != source.literal:
                yield f"{path}: {source.literal} -> {source.rewritten}"
        case Mapping():
            for name, value in source.items():
                yield from changed_numbers(value, f"{path}.{name}" if path else str(name))
        case list():
            for value in source:
                yield from changed_numbers(value, path)


class LiteralFloat(float):
    """A number that remembers its literal."""

    def __new__(cls, literal: str) -> LiteralFloat:
        """The number in a JSON literal."""
        made = super().__new__(cls, literal)
        made.literal = literal
        return made

    literal: str

    @property
    def rewritten(self) -> str:
        """The number as written by Java's `Double.toString`, and so by updates."""
        magnitude = abs(self)
        if magnitude == 0 or 1e-3 <= magnitude < 1e7:
            return f"{float(self)!r}"
        digits, _, exponent = f"{float(self)!r}".partition("e")
        if not exponent:
            digits, _, exponent = _shortest_scientific(float(self)).partition("e")
        digits = digits if "." in digits else f"{digits}.0"
        return f"{digits}E{int(exponent)}"


def _shortest_scientific(value: float) -> str:
    """The shortest literal with an exponent that parses to the value."""
    for precision in range(17):
        text = f"{value:.{precision}e}"
        if float(text) == value:
            return text
    return f"{value:.17e}"


def _source_mode(settings: Mapping[str, Any]) -> str | None:
    mapping: Any = settings.get("mapping") or {}
    source: Any = mapping.get("source") or {}
    mode = source.get("mode")
    return None if mode is None else str(mode)


def _flattened(
    properties: Mapping[str, Any], prefix: str = ""
) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for name, entry in properties.items():
        path = f"{prefix}{name}"
        inner = entry.get("properties")
        if inner:
            yield from _flattened(inner, f"{path}.")
        else:
            yield path, entry


def _is_left_out(name: str, source: Mapping[str, Any]) -> bool:
    includes, excludes = source.get("includes") or (), source.get("excludes") or ()
    if _matches(name, excludes):
        return True
    return bool(includes) and not _matches(name, includes)


def _matches(name: str, patterns: Sequence[str]) -> bool:
    """Whether a pattern matches the field, or an object above it."""
    parts = name.split(".")
    prefixes = [".".join(parts[:length]) for length in range(1, len(parts) + 1)]
    patterns = [patterns] if isinstance(patterns, str) else patterns
    return any(
        fnmatch.fnmatchcase(prefix, pattern) or fnmatch.fnmatchcase(name, pattern)
        for pattern in patterns
        for prefix in prefixes
    )
