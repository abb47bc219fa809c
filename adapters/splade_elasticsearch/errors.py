"""What elasticsearch-py raises, as this package's errors."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from splade_connectors.errors import (
    AccessDenied,
    ConfigurationError,
    NotFound,
    NotSupported,
    RequestRejected,
    SpladeConnectorsError,
    Unavailable,
)
from splade_elasticsearch.bulk import reason

_COMPATIBILITY = re.compile(r"compatible-with=(\d+)|found (\d+)")
_NO_HANDLER = re.compile(r"[Nn]o (?:handler for type|field data type|type handler) \[([\w.]+)\]")


def from_client(error: Exception, location: str, client_major: int) -> SpladeConnectorsError:
    """The error of a client call.

    Args:
        error: what elasticsearch-py or its transport raised.
        location: the target, for messages.
        client_major: major version of the installed client.
    """
    raw: Any = error
    status = getattr(raw, "status_code", None) or getattr(
        getattr(raw, "meta", None), "status", None
    )
    if type(error).__name__ == "UnsupportedProductError":
        return ConfigurationError(
            f"what answers at {location} is not Elasticsearch (OpenSearch has a scheme of its own: "
            "opensearch://); check host, port and scheme"
        )
    if status:
        headers = getattr(getattr(raw, "meta", None), "headers", None) or {}
        return from_status(int(status), getattr(raw, "body", None), headers, location, client_major)
    return _from_transport(error, location)


def from_status(
    status: int, body: Any, headers: Mapping[str, str], location: str, client_major: int
) -> SpladeConnectorsError:
    """The error for an HTTP status and its body."""
    text = _explanation(body)
    if "media_type_header_exception" in text or "compatible-with" in text:
        return NotSupported(
            f"the client is {client_major}.x, the server at {location} is older: "
            f"pip install 'elasticsearch>={client_major - 1},<{client_major}'"
        )
    if status == 401:
        return AccessDenied(
            f"{location} refused the credentials (401); set ELASTICSEARCH_API_KEY, or "
            "ELASTICSEARCH_USERNAME and ELASTICSEARCH_PASSWORD"
        )
    if status == 403:
        return AccessDenied(f"{location} does not allow this (403): {text}")
    if status == 404:
        return NotFound(f"{location} was not found (404): {text}")
    if status in (429, 502, 503, 504):
        wait = _seconds(headers.get("retry-after"))
        return Unavailable(f"{location} is not available ({status}): {text}", retry_after_s=wait)
    missing_type = _NO_HANDLER.search(text)
    if missing_type:
        return NotSupported(
            f"{location} has no {missing_type[1]} fields (the mapper-extras module is missing, or "
            "the version is too old); try the other kind: kind=sparse_vector or kind=rank_features"
        )
    return RequestRejected(f"{location} refused the request ({status}): {text}", status=status)


def _from_transport(error: Exception, location: str) -> SpladeConnectorsError:
    text = str(getattr(error, "message", None) or error)
    if "is closed" in text:
        return ConfigurationError(f"this store of {location} has been closed; connect again")
    if "WRONG_VERSION_NUMBER" in text or "record layer" in text.lower():
        return ConfigurationError(
            f"{location} does not speak TLS on this port; write elasticsearch:// instead of "
            "elasticsearch+https://"
        )
    if "CERTIFICATE_VERIFY" in text or type(error).__name__ == "TlsError":
        return ConfigurationError(
            f"the TLS connection to {location} failed ({text}); name the certificate authority "
            "with --ca-certs FILE"
        )
    if type(error).__name__ == "SerializationError" or "BadStatusLine" in text:
        return ConfigurationError(
            f"what answers at {location} does not answer as Elasticsearch does; check host, port "
            "(9200) and scheme (elasticsearch+https for TLS)"
        )
    if "RemoteDisconnected" in text or "Server disconnected" in text:
        return Unavailable(
            f"{location} closed the connection; does the server speak TLS? Then write "
            "elasticsearch+https://"
        )
    return Unavailable(
        f"{location} cannot be reached ({_short(text)}); is Elasticsearch running there? The "
        "usual port is 9200"
    )


def _explanation(body: Any) -> str:
    if isinstance(body, Mapping) and "error" in body:
        return reason(body["error"])
    return str(body)[:300] if body else "no explanation"


def _short(text: str) -> str:
    """Without the connection objects' reprs that urllib3 puts into its messages."""
    return re.sub(r"<[^>]*>:? ?|\(?Caused by.*", "", text).strip(" (") or "no connection"


def _seconds(header: str | None) -> float | None:
    try:
        return float(header) if header else None
    except ValueError:
        return None  # a date: the usual backoff will do
