"""Convert error responses and failures of Elasticsearch and OpenSearch to this package's errors."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from splade_connectors.backends.retry_after import retry_after_s
from splade_connectors.errors import (
    AccessDenied,
    ConfigurationError,
    NotFound,
    NotSupported,
    RequestRejected,
    SpladeConnectorsError,
    Unavailable,
)
from splade_lucene.bulk import reason, stops_all, without_values
from splade_lucene.dialect import KINDS, Dialect
from splade_lucene.transport import refused_answer

# "No handler for type" up to 7.x, "The mapper type … does not exist" from 8.x on.
_NO_TYPE = re.compile(
    r"No handler for type \[(\w+)\]|mapper type \[(\w+)\] declared on field \[.*?\] does not exist"
)

# urllib3's and aiohttp's messages about a response that is not HTTP.
_NO_HTTP = re.compile("BadStatusLine|Bad status line")

# The message of the library requests, which stops at the first redirect (`transport.stay_here`).
_TOO_MANY_REDIRECTS = re.compile(r"Exceeded \d+ redirects")

# Statuses with which a web server or a proxy answers requests for these servers.
_OF_WEB_SERVERS = (301, 302, 303, 307, 308, 400, 404, 501)

# The server, or a proxy in front of it, was busy or down; the request was fine.
_AWAY = (408, 429, 502, 503, 504)
# Statuses from here on come from proxies that did not reach the server.
_OF_PROXIES = 520


def as_it_is(words: Any) -> Any:
    """The text unchanged: for messages without secrets."""
    return words


def from_status(
    status: int,
    body: Any,
    headers: Mapping[str, str],
    location: str,
    dialect: Dialect,
    *,
    has_documents: bool = False,
) -> SpladeConnectorsError:
    """The error for an HTTP status and its body."""
    if status in _OF_WEB_SERVERS and not isinstance(body, Mapping):
        return not_this(location, dialect)
    if 300 <= status < 400:
        return _redirects(location)
    detail = explanation(body)
    text = explanation(body, without_values) if has_documents else detail
    error = body.get("error") if isinstance(body, Mapping) else None
    stop = stops_all(error, location) if isinstance(error, Mapping) else None
    if stop is not None and not isinstance(stop, AccessDenied):
        return stop
    if status == 401:
        return AccessDenied(f"{location} refused the credentials (401): set {dialect.credentials}")
    if status == 403:
        return AccessDenied(f"{location} does not allow this (403): {text}")
    if status == 404:
        return NotFound(f"{location} was not found (404): {text}")
    if is_outage(status, has_documents=has_documents):
        wait = retry_after_s(headers.get("retry-after"))
        return Unavailable(f"{location} is not available ({status}): {text}", retry_after_s=wait)
    missing = _NO_TYPE.search(text)
    if missing:
        return _missing_type(missing[1] or missing[2], location, dialect)
    return RequestRejected(
        f"{location} refused the request ({status}): {text}",
        status=status,
        detail="" if detail == text else detail,
    )


def is_outage(status: int, *, has_documents: bool) -> bool:
    """Whether a retry may succeed.

    A 500 for a query may be permanent; but documents are refused one by one, so a bulk request that
    fails with it has met a node that is stopping or starting.
    """
    return status in _AWAY or status >= _OF_PROXIES or (status == 500 and has_documents)


def not_this(location: str, dialect: Dialect) -> ConfigurationError:
    """The error if another server responds."""
    return ConfigurationError(
        f"the server at {location} is not {dialect.not_this}; "
        f"check host, port (9200) and scheme ({dialect.scheme}+https for TLS)"
    )


def answers_otherwise(location: str, dialect: Dialect) -> ConfigurationError:
    """The error for a response in an unexpected shape."""
    return ConfigurationError(
        f"the server at {location} does not answer like {dialect.name}; check host, port "
        f"(9200) and scheme ({dialect.scheme}+https for TLS)"
    )


def _redirects(location: str) -> ConfigurationError:
    return ConfigurationError(
        f"{location} redirects to another address, which is not followed: connect to that address"
    )


def _missing_type(kind: str, location: str, dialect: Dialect) -> NotSupported:
    if kind not in KINDS or len(dialect.kinds) == 1:
        return NotSupported(f"{location} has no {kind} fields: the server lacks a module")
    (other,) = set(KINDS) - {kind}
    return NotSupported(
        f"{location} has no {kind} fields (the server lacks a module, or its version is too old or "
        f"too new); try kind={other}"
    )


def from_failure(
    error: Exception, text: str, location: str, dialect: Dialect
) -> SpladeConnectorsError:
    """The error for a request without a usable response.

    Args:
        error: the client's error.
        text: its message, without secrets.
        location: the target, for messages.
        dialect: of the expected server.
    """
    refused = refused_answer(error)
    if refused is None:
        return from_transport(type(error).__name__, text, location, dialect)
    return RequestRejected(
        f"the server at {location} sent {refused}; the rest was not read. Request fewer large "
        "documents at a time: limit=…, WriteOptions(portion_documents=…)"
    )


def from_transport(kind: str, text: str, location: str, dialect: Dialect) -> SpladeConnectorsError:
    """The error for a request without a response.

    Args:
        kind: name of the client's error class.
        text: its message.
        location: the target, for messages.
        dialect: of the expected server.
    """
    scheme = dialect.scheme
    if "is closed" in text:
        return ConfigurationError(f"this store of {location} has been closed; connect again")
    if _TOO_MANY_REDIRECTS.search(text):
        return _redirects(location)
    if "WRONG_VERSION_NUMBER" in text or "record layer" in text.lower():
        return ConfigurationError(
            f"{location} does not speak TLS on this port; write {scheme}:// instead of "
            f"{scheme}+https://"
        )
    if "CERTIFICATE_VERIFY" in text or kind in ("TlsError", "SSLError"):
        return ConfigurationError(
            f"the TLS connection to {location} failed ({text}); name the certificate authority "
            "with --ca-certs FILE"
        )
    if kind == "ConnectionTimeout":
        return Unavailable(
            f"{location} did not answer in time; raise ConnectOptions(timeout_s=…) to wait longer"
        )
    if kind == "SerializationError" or _NO_HTTP.search(text):
        return answers_otherwise(location, dialect)
    if "RemoteDisconnected" in text or "Server disconnected" in text:
        return Unavailable(
            f"{location} closed the connection; does the server speak TLS? Then write "
            f"{scheme}+https://"
        )
    return Unavailable(
        f"{location} cannot be reached ({_short(text)}); is {dialect.name} running there? The "
        "usual port is 9200"
    )


def explanation(body: Any, of_error: Callable[[Any], str] = reason) -> str:
    """The server's explanation; the start of any other body, unless it may quote documents."""
    if isinstance(body, Mapping) and "error" in body:
        return of_error(body["error"])
    return str(body)[:300] if body and of_error is reason else "no explanation"


def _short(text: str) -> str:
    """The reason in a message of urllib3 or aiohttp, without the rest."""
    found = re.sub(r"<[^>]*>:? ?|\w+\([^)]*\): |\(?Caused by.*| ssl:default", "", text)
    return found.strip(" (") or "no connection"
