"""The fields of documents according to a mapping: how a condition can query them. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

Json = Mapping[str, Any]

# State of a field: mapped, an object of fields, not mapped (yet), or invisible to queries.
State = Literal["mapped", "object", "unmapped", "unseen"]

TEXTS = {"text", "match_only_text", "search_as_you_type", "annotated_text", "semantic_text"}
KEYWORDS = {"keyword", "constant_keyword", "wildcard"}
FLAT = {"flattened", "flat_object"}
DATES = {"date", "date_nanos"}
# Types of whole numbers with their smallest and largest value.
INTEGERS = {
    "long": (-(2**63), 2**63 - 1),
    "integer": (-(2**31), 2**31 - 1),
    "short": (-(2**15), 2**15 - 1),
    "byte": (-(2**7), 2**7 - 1),
    "unsigned_long": (0, 2**64 - 1),
}
# Types of other numbers with their largest value.
FLOATS = {
    "double": 1.7976931348623157e308,
    "float": 3.4028234663852886e38,
    "half_float": 65504.0,
    "scaled_float": float(2**53),
}
_OBJECTS = {"object", "nested"}
# Replaces the type if indices that are searched together map the field differently.
DIFFERS = "mapped differently by the indices of this name"


@dataclass(frozen=True, kw_only=True, slots=True)
class Field:
    """A field of the documents, as the index maps it.

    Attributes:
        path: name of the field in documents and queries.
        state: whether queries can see it.
        type: in the mapping; "" if there is none.
        entry: its mapping.
        nested: the innermost `nested` object around it, or None.
        beside: for a sub-field that exists only in the index: the field that documents have.
    """

    path: str
    state: State
    type: str = ""
    entry: Json = field(default_factory=dict)
    nested: str | None = None
    beside: str = ""

    @property
    def whole(self) -> tuple[str, Json] | None:
        """Name and mapping of the field that indexes its texts whole, or None."""
        # A normalizer changes what is compared.
        if self.type in KEYWORDS and not self.entry.get("normalizer"):
            return self.path, self.entry
        for name, entry in (self.entry.get("fields") or {}).items():
            if entry.get("type") in KEYWORDS and not entry.get("normalizer"):
                return f"{self.path}.{name}", entry
        return None


def field_at(mapping: Json, path: str) -> Field:
    """The field that a path names.

    Args:
        mapping: of the index.
        path: into the documents.
    """
    # Fields computed at search time, keyed by the whole path: Elasticsearch's term, OpenSearch's.
    for section in ("runtime", "derived"):
        computed = (mapping.get(section) or {}).get(path)
        if computed:
            return Field(path=path, state="mapped", type=str(computed["type"]), entry=computed)
    found = _walk(mapping, path.split("."), "", True, None)
    if found.type == "alias":
        return field_at(mapping, str(found.entry["path"]))
    return found


def _walk(
    above: Json, parts: Sequence[str], prefix: str, dynamic: Any, nested: str | None
) -> Field:
    """Descend through objects; field names may contain dots where no object is mapped."""
    path = prefix + ".".join(parts)
    dynamic = above.get("dynamic", dynamic)
    if above.get("enabled") is False:
        return Field(path=path, state="unseen")
    properties = above.get("properties") or {}
    for length in range(1, len(parts) + 1):
        name = ".".join(parts[:length])
        if name in properties:
            entry, rest = properties[name], parts[length:]
            return _entered(entry, rest, f"{prefix}{name}", dynamic, nested)
    state: State = "unseen" if str(dynamic).lower() == "false" else "unmapped"
    return Field(path=path, state=state, nested=nested)


def _entered(entry: Json, rest: Sequence[str], at: str, dynamic: Any, nested: str | None) -> Field:
    """The field at a mapped name, or below it."""
    kind = str(entry.get("type", "object"))
    if kind in _OBJECTS:
        nested = at if kind == "nested" else nested
        if rest:
            return _walk(entry, rest, f"{at}.", dynamic, nested)
        return Field(path=at, state="object", type=kind, nested=nested)
    path = ".".join([at, *rest])
    if kind in FLAT or not rest:
        return Field(path=path, state="mapped", type=kind, entry=entry, nested=nested)
    beside = at if rest[0] in (entry.get("fields") or {}) else ""
    return Field(path=path, state="unmapped", nested=nested, beside=beside)
