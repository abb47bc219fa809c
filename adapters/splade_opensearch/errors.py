"""Convert errors of opensearch-py to this package's errors."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from splade_connectors.errors import SpladeConnectorsError
from splade_lucene.errors import as_it_is, from_failure, from_status
from splade_opensearch.dialect import OPENSEARCH


def from_client(
    error: Exception,
    location: str,
    *,
    mask: Callable[[Any], Any] = as_it_is,
    has_documents: bool = False,
) -> SpladeConnectorsError:
    """The error of a client call.

    Args:
        error: as raised by opensearch-py.
        location: the target, for messages.
        mask: removes secrets from a text or a JSON value.
        has_documents: whether documents were sent, which the response may quote.
    """
    raw: Any = error
    # It is "N/A" or "TIMEOUT" for requests without a response.
    status = getattr(raw, "status_code", None)
    if isinstance(status, int):
        # The client drops the headers of error responses.
        body = mask(_body(raw))
        return from_status(status, body, {}, location, OPENSEARCH, has_documents=has_documents)
    text = mask(str(raw.error) if hasattr(raw, "error") else str(error))
    return from_failure(error, text, location, OPENSEARCH)


def _body(error: Any) -> Any:
    """The response body: parsed by the blocking client, left as text by the async one (3.2.0)."""
    if isinstance(error.info, Mapping):
        return error.info
    try:
        return json.loads(error.error)
    except (TypeError, ValueError):
        return error.error
