"""Check that the fields of a text leg exist: others find nothing, and no server says so."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
from typing import Any

from splade_connectors.errors import AccessDenied, ConfigurationError, NotFound, RequestRejected
from splade_connectors.fusion.request import ResolvedLeg
from splade_connectors.runtime.effects import Steps
from splade_lucene.address import IndexAddress
from splade_lucene.answers import asked
from splade_lucene.requests import HttpRequest

# Field types without words, and those whose keys are not mapped.
_OBJECTS = {"object", "nested"}
_FLAT = {"flattened", "flat_object"}
_FIELDS_SHOWN = 8


def check_text_fields(
    leg: ResolvedLeg, address: IndexAddress, found: set[tuple[str, str]]
) -> Steps[None]:
    """Refuse text fields that do not exist.

    Each field is checked once. Without permission to check, any field is accepted.

    Args:
        leg: a text leg.
        address: of the index.
        found: (index, field) of fields known to exist; updated.

    Raises:
        ConfigurationError: if a field does not exist; names those that do.
    """
    names = {field.partition("^")[0] for field in leg.fields}
    names = {name for name in names if (address.index, name) not in found}
    if not names:
        return
    try:
        wanted = names | {up for name in names for up in _above(name)}
        types = yield from _types_of(wanted, address)
        absent = sorted(name for name in names if not _is_matched(name, types))
        known = (yield from _types_of({"*"}, address)) if absent else {}
    except (AccessDenied, NotFound, RequestRejected):
        return
    if absent:
        texts = sorted(name for name, kinds in known.items() if "text" in kinds)
        more = ", …" if len(texts) > _FIELDS_SHOWN else ""
        raise ConfigurationError(
            f"{address.location} has no field {absent[0]!r} for a text leg; its text fields are "
            f"{', '.join(map(repr, texts[:_FIELDS_SHOWN])) or 'none'}{more}: "
            "TextLeg(fields=('NAME',)) (--text-field NAME)"
        )
    found |= {(address.index, name) for name in names}


def _types_of(names: Iterable[str], address: IndexAddress) -> Steps[dict[str, set[str]]]:
    """Field -> its types, for existing fields with these names or patterns."""
    params = {"fields": ",".join(sorted(names)), "filter_path": "fields.*.*.type"}
    request = HttpRequest("GET", f"{address.path}/_field_caps", None, params)
    return asked(request, _types, address)


def _types(answer: Any) -> dict[str, set[str]]:
    fields: Mapping[str, Any] = answer.get("fields") or {}
    return {name: set(types) for name, types in fields.items()}


def _above(name: str) -> list[str]:
    """The objects that a field is in: "a.b.c" is in "a.b" and "a"."""
    parts = name.split(".")
    return [".".join(parts[:count]) for count in range(1, len(parts))]


def _is_matched(name: str, types: Mapping[str, set[str]]) -> bool:
    """Whether a field, or one that matches a pattern, can hold words; keys of flat objects may."""
    if any(types.get(above, set()) & _FLAT for above in _above(name)):
        return True
    return any(fnmatchcase(found, name) and not kinds & _OBJECTS for found, kinds in types.items())
