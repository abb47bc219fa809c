"""The mappings of several indices as one; fields that they map differently are marked. Pure."""

from __future__ import annotations

from typing import Any

from splade_lucene.fields import DIFFERS, Json

# What decides how a query on a field is understood, beside `fields` and `ignore_above`.
_DECISIVE = ("type", "normalizer", "null_value", "index", "doc_values", "enabled", "path", "value")
_UNSEEN = {"type": DIFFERS}


def merged_mapping(one: Json, other: Json, dynamic: tuple[Any, Any] = (True, True)) -> Json:
    """The fields of both mappings, or of both objects; those that differ have the type `DIFFERS`.

    Args:
        one: a mapping, or the entry of an object in it.
        other: likewise.
        dynamic: what holds in each of them for fields that are not mapped, unless they say so.
    """
    here = (one.get("dynamic", dynamic[0]), other.get("dynamic", dynamic[1]))
    both = {**one, **other}
    if any(map(_is_off, here)):
        # A field that neither maps may have values that no query sees.
        both["dynamic"] = "false"
    both["properties"] = _properties(one, other, here)
    for section in ("runtime", "derived"):
        found = one.get(section) or {}, other.get(section) or {}
        both[section] = {
            name: found[0][name] if found[0].get(name) == found[1].get(name) else _UNSEEN
            for name in {**found[0], **found[1]}
        }
    return both


def _properties(one: Json, other: Json, dynamic: tuple[Any, Any]) -> dict[str, Any]:
    first, second = one.get("properties") or {}, other.get("properties") or {}
    merged: dict[str, Any] = {}
    for name in {**first, **second}:
        if name in first and name in second:
            merged[name] = _merged_field(first[name], second[name], dynamic)
        else:
            # An index that does not map a field has no values of it, unless it maps nothing new.
            unseen = _is_off(dynamic[1] if name in first else dynamic[0])
            merged[name] = _UNSEEN if unseen else {**second, **first}[name]
    return merged


def _merged_field(one: Json, other: Json, dynamic: tuple[Any, Any]) -> Json:
    if any(_kept(one, key) != _kept(other, key) for key in _DECISIVE):
        return _UNSEEN
    if "properties" in one or "properties" in other:
        return merged_mapping(one, other, dynamic)
    limits = [entry["ignore_above"] for entry in (one, other) if "ignore_above" in entry]
    return {
        **one,
        **other,
        "fields": _merged_fields(one.get("fields") or {}, other.get("fields") or {}),
        **({"ignore_above": min(limits)} if limits else {}),
    }


def _merged_fields(one: Json, other: Json) -> dict[str, Any]:
    """Sub-fields that both have: one that an index lacks finds nothing there."""
    merged = {
        name: _merged_field(one[name], other[name], (True, True)) for name in one if name in other
    }
    return {name: entry for name, entry in merged.items() if entry.get("type") != DIFFERS}


def _kept(entry: Json, key: str) -> Any:
    return entry.get(key, "object" if key == "type" else None)


def _is_off(dynamic: Any) -> bool:
    return str(dynamic).lower() == "false"
