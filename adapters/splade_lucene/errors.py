"""Answers and failures of servers of the Elasticsearch family, as errors of this package."""

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

# urllib3's and aiohttp's words for it.
_NO_HTTP = re.compile("BadStatusLine|Bad status line")

# The library requests, which stops at the first one (see `transport.stay_here`).
_TOO_MANY_REDIRECTS = re.compile(r"Exceeded \d+ redirects")

# Statuses with which a web server or a proxy says that it knows nothing of these servers.
_OF_WEB_SERVERS = (301, 302, 303, 307, 308, 400, 404, 501)

# The server, or what stands before it, was busy or away; the request was well.
_AWAY = (408, 429, 502, 503, 504)
# From here on statuses are made up by proxies that did not reach the server.
_OF_PROXIES = 520


def as_it_is(words: Any) -> Any:
    """Where there are no secrets to mask."""
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
        return AccessDenied(f"{location} refused the credentials (401); set {dialect.credentials}")
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
    """Whether sending the same request again may succeed.

    A 500 may be about a query, which fails as often as it is sent; documents are refused one by
    one, so a bulk request that fails with it has met a node that is going down or coming up.
    """
    return status in _AWAY or status >= _OF_PROXIES or (status == 500 and has_documents)


def not_this(location: str, dialect: Dialect) -> ConfigurationError:
    """For answers of something else than the server."""
    return ConfigurationError(
        f"what answers at {location} is not {dialect.not_this}; "
        f"check host, port (9200) and scheme ({dialect.scheme}+https for TLS)"
    )


def answers_otherwise(location: str, dialect: Dialect) -> ConfigurationError:
    """For answers that are not as the server gives them."""
    return ConfigurationError(
        f"what answers at {location} does not answer as {dialect.name} does; check host, port "
        f"(9200) and scheme ({dialect.scheme}+https for TLS)"
    )


def _redirects(location: str) -> ConfigurationError:
    return ConfigurationError(
        f"{location} redirects to another address, which nothing follows: name that address"
    )


def _missing_type(kind: str, location: str, dialect: Dialect) -> NotSupported:
    if kind not in KINDS or len(dialect.kinds) == 1:
        return NotSupported(f"{location} has no {kind} fields: a module is missing there")
    (other,) = set(KINDS) - {kind}
    return NotSupported(
        f"{location} has no {kind} fields (a module is missing there, or the version is too old "
        f"or too new); try kind={other}"
    )


def from_failure(
    error: Exception, text: str, location: str, dialect: Dialect
) -> SpladeConnectorsError:
    """The error for a request without a usable answer.

    Args:
        error: the client's.
        text: what it says, with no secret in it.
        location: the target, for messages.
        dialect: which server was expected.
    """
    refused = refused_answer(error)
    if refused is None:
        return from_transport(type(error).__name__, text, location, dialect)
    return RequestRejected(
        f"what answers at {location} sent {refused}: the rest was not read. Of large documents ask "
        "for fewer at once: limit=…, WriteOptions(portion_documents=…)"
    )


def from_transport(kind: str, text: str, location: str, dialect: Dialect) -> SpladeConnectorsError:
    """The error for a request that got no answer.

    Args:
        kind: name of the client's error class.
        text: what it says.
        location: the target, for messages.
        dialect: which server was expected.
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
            f"{location} did not answer in time; ConnectOptions(timeout_s=…) waits longer"
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
    """What the server says; of a body that is not its own error, only what is harmless."""
    if isinstance(body, Mapping) and "error" in body:
        return of_error(body["error"])
    return str(body)[:300] if body and of_error is reason else "no explanation"


def _short(text: str) -> str:
    """Without what urllib3 and aiohttp put into their messages beside the reason."""
    found = re.sub(r"<[^>]*>:? ?|\w+\([^)]*\): |\(?Caused by.*| ssl:default", "", text)
    return found.strip(" (") or "no connection"
