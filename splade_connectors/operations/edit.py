"""The verbs for single documents: get, known, update."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from splade_connectors.documents import DocumentId, check_id
from splade_connectors.errors import ConfigurationError, InvalidDocument
from splade_connectors.payloads import payload_reason

# Documents asked for in one request when only their presence matters.
_FETCHED_AT_ONCE = 200


def id_list(ids: Sequence[DocumentId]) -> list[DocumentId]:
    """The ids, each of them checked; one id alone is refused."""
    if isinstance(ids, str | int):
        raise ConfigurationError(f"expected a list of ids, got {ids!r}: pass [{ids!r}]")
    for id in ids:
        check_id(id)
    return list(ids)


def checked_changes(payload: Mapping[str, Any] | None) -> dict[str, Any]:
    """The fields to change.

    Raises:
        InvalidDocument: when they are no mapping, or no JSON.
    """
    if payload is None:
        return {}
    if not isinstance(payload, Mapping):
        raise InvalidDocument(f"the payload is {type(payload).__name__}, not a mapping")
    reason = payload_reason(payload)
    if reason:
        raise InvalidDocument(reason)
    return dict(payload)


def _only_field(fields: Sequence[str]) -> str:
    if len(fields) > 1:
        raise ConfigurationError(
            f"the text of this index is made of {', '.join(fields)}: change them with "
            "payload={…}, the vector follows"
        )
    return fields[0]
