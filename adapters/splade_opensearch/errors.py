"""What opensearch-py raises, as this package's errors."""

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
        error: what opensearch-py raised.
        location: the target, for messages.
        mask: takes secrets out of a text, or of a JSON value.
        has_documents: whether documents were sent, which the answer may quote.
    """
    raw: Any = error
    # "N/A" and "TIMEOUT" stand there for requests that got no answer.
    status = getattr(raw, "status_code", None)
    if isinstance(status, int):
        # The client keeps no headers of answers that are errors.
        body = mask(_body(raw))
        return from_status(status, body, {}, location, OPENSEARCH, has_documents=has_documents)
    text = mask(str(raw.error) if hasattr(raw, "error") else str(error))
    return from_failure(error, text, location, OPENSEARCH)


def _body(error: Any) -> Any:
    """The answer: parsed by the blocking client, left as text by the awaiting one (3.2.0)."""
    if isinstance(error.info, Mapping):
        return error.info
    try:
        return json.loads(error.error)
    except (TypeError, ValueError):
        return error.error
