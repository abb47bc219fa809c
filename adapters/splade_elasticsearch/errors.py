"""Convert errors of elasticsearch-py to this package's errors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from splade_connectors.errors import (
    NotSupported,
    SpladeConnectorsError,
)
from splade_elasticsearch.dialect import ELASTICSEARCH
from splade_lucene.errors import as_it_is, explanation, from_failure, from_status, not_this


def from_client(
    error: Exception,
    location: str,
    client_major: int,
    *,
    mask: Callable[[Any], Any] = as_it_is,
    has_documents: bool = False,
) -> SpladeConnectorsError:
    """The error of a client call.

    Args:
        error: as raised by elasticsearch-py or its transport.
        location: the target, for messages.
        client_major: major version of the installed client.
        mask: removes secrets from a text or a JSON value.
        has_documents: whether documents were sent, which the response may quote.
    """
    raw: Any = error
    status = getattr(raw, "status_code", None) or getattr(
        getattr(raw, "meta", None), "status", None
    )
    if type(error).__name__ == "UnsupportedProductError":
        return not_this(location, ELASTICSEARCH)
    if not status:
        text = mask(str(getattr(error, "message", None) or error))
        return from_failure(error, text, location, ELASTICSEARCH)
    body = mask(getattr(raw, "body", None))
    text = explanation(body)
    if "media_type_header_exception" in text or "compatible-with" in text:
        return NotSupported(
            f"the client is {client_major}.x, but the server at {location} is older: "
            f"pip install 'elasticsearch>={client_major - 1},<{client_major}'"
        )
    headers = getattr(getattr(raw, "meta", None), "headers", None) or {}
    return from_status(
        int(status), body, headers, location, ELASTICSEARCH, has_documents=has_documents
    )
