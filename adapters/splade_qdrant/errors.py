"""Convert errors of qdrant-client and the engine to this package's errors."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

from splade_connectors.backends.retry_after import retry_after_s
from splade_connectors.errors import (
    AccessDenied,
    ConfigurationError,
    NotFound,
    NotSupported,
    RequestRejected,
    SpladeConnectorsError,
    StorageFull,
    StoreLocked,
    Unavailable,
)

_GRPC_STATUS = {
    "UNAUTHENTICATED": 401,
    "PERMISSION_DENIED": 403,
    "NOT_FOUND": 404,
    "ALREADY_EXISTS": 409,
    "OUT_OF_RANGE": 413,  # the message is too long
    "RESOURCE_EXHAUSTED": 429,
    "UNAVAILABLE": 503,
    "DEADLINE_EXCEEDED": 504,
    "UNIMPLEMENTED": 501,
    "INVALID_ARGUMENT": 400,
    "FAILED_PRECONDITION": 400,
}

# gRPC's messages about a port that speaks another protocol, in old and new versions.
_NO_GRPC = ("Failed parsing HTTP/2", "http1.x server", "http2 header with status: 404")

# gRPC's message about a request that is too long; its code is that of "slow down".
_TOO_LONG = "message larger than max"

# gRPC's messages if it got no connection at all.
_NO_CONNECTION = ("failed to connect", "DNS resolution failed")


def as_it_is(text: str) -> str:
    """The text unchanged: for messages that cannot quote a document."""
    return text


def from_client(
    error: Exception, location: str, say: Callable[[str], str] = as_it_is
) -> SpladeConnectorsError:
    """The error of a client call, over any transport.

    Args:
        error: as raised by qdrant-client.
        location: the target, for messages.
        say: removes from a text what must not be shown.
    """
    kind = type(error).__name__
    if kind == "UnexpectedResponse":
        return _from_response(error, location, say)
    if kind == "ResourceExhaustedResponse":
        wait = float(getattr(error, "retry_after_s", 0) or 0)
        return Unavailable(
            f"{location} asks the client to slow down: {say(_line(error))}", retry_after_s=wait
        )
    if kind == "QdrantException" and "Retry-After" in str(error):
        # A date instead of seconds, which the client cannot parse; its message quotes the date.
        wait_s = retry_after_s(str(error))
        return Unavailable(f"{location} asks the client to slow down", retry_after_s=wait_s)
    if kind == "ResponseHandlingException":
        return _from_transport(getattr(error, "source", error), location, say)
    if kind == "JSONDecodeError":
        return no_qdrant(location)
    if hasattr(error, "code") and hasattr(error, "details"):
        return _from_grpc(error, location, say)
    if isinstance(error, ValueError) and "not found" in str(error):
        return NotFound(f"{location}: {say(str(error))}")
    return RequestRejected(f"{location} refused the request: {say(_line(error))}")


def unquoted(text: str) -> str:
    """An error message without its quotations, which may be parts of a document.

    Removes everything from the first quotation mark to the last: a quotation may contain marks.
    """
    for mark in ('"', "`", "'"):
        text = re.sub(rf"(?<!\w){mark}.*{mark}", "…", text, flags=re.DOTALL)
    return text


def from_status(
    status: int, message: str, location: str, retry_after_s: float | None = None
) -> SpladeConnectorsError:
    """The error for an HTTP status."""
    if status in (401, 403):
        return AccessDenied(
            f"{location} refused the credentials ({status}): {message}; set QDRANT_API_KEY to a "
            "key with read and write access to this collection"
        )
    if status == 404:
        return NotFound(f"{location}: {message} (404)")
    if status == 501:
        return NotSupported(f"{location} does not know this call (501): {message}")
    if status == 507:
        return StorageFull(
            f"{location} is out of disk space (507): {message}. Acknowledged documents are safe; "
            "free some space and run the same command again"
        )
    # 408 is the server's own timeout: the server was busy, the request was fine.
    if status in (408, 429) or status >= 500:
        return Unavailable(
            f"{location} is not available ({status}): {message}", retry_after_s=retry_after_s
        )
    return RequestRejected(f"{location} refused the request ({status}): {message}", status=status)


def locked(location: str) -> StoreLocked:
    """The error if another process or store has the shard open."""
    return StoreLocked(
        f"{location} is open in another process, or in another store of this process: close it "
        "there first, or run a Qdrant server to share it"
    )


def from_engine(
    error: Exception, location: str, say: Callable[[str], str] = as_it_is
) -> SpladeConnectorsError:
    """The error of the embedded engine, which raises a bare `Exception` with a message."""
    text = say(_line(error))
    if "WouldBlock" in text:
        return locked(location)
    if "No space left" in text or "os error 28" in text:
        return StorageFull(
            f"the disk of {location} is full: {text}. Acknowledged documents are safe; free some "
            "space and run the same command again"
        )
    return RequestRejected(f"{location} refused the request: {text}")


def _from_response(
    response: Any, location: str, say: Callable[[str], str]
) -> SpladeConnectorsError:
    """The error of an unsuccessful REST response."""
    status = int(response.status_code or 0)
    message = _own_words(response.content)
    # Qdrant explains in JSON why it found nothing; another service lacks these paths. Any other
    # status may come from a proxy in front of Qdrant.
    if message is None and status in (404, 405, 501):
        return no_qdrant(location, status)
    return from_status(
        status,
        _plain_text(say(_decoded(response.content))) if message is None else say(message),
        location,
        retry_after_s=retry_after_s(response.headers.get("retry-after")),
    )


def _from_grpc(error: Any, location: str, say: Callable[[str], str]) -> SpladeConnectorsError:
    code, text = error.code().name, say(str(error.details()))
    if any(said in text for said in _NO_GRPC):
        return no_qdrant(location)
    if code == "UNAVAILABLE" and any(said in text for said in _NO_CONNECTION):
        # "failed to connect to all addresses; last error: UNKNOWN: …: Connection refused"
        return _unreachable(location, text.rpartition(": ")[2])
    if _TOO_LONG in text:
        return from_status(413, text, location)
    return from_status(_GRPC_STATUS.get(code, 500), text, location)


def _from_transport(error: Any, location: str, say: Callable[[str], str]) -> SpladeConnectorsError:
    text = say(_line(error))
    kind = type(error).__name__
    if "WRONG_VERSION_NUMBER" in text or "record layer" in text.lower():
        return ConfigurationError(
            f"{location} does not speak TLS on this port; write qdrant:// instead of qdrant+https://"
        )
    if "CERTIFICATE_VERIFY" in text:
        return ConfigurationError(
            f"the certificate of {location} is not trusted ({text}); name its certificate "
            "authority: --ca-certs FILE"
        )
    if kind == "ValidationError":
        # JSON, but from another service, or from a server much newer than the client.
        return no_qdrant(location, more="; if they are right, update qdrant-client")
    # Other protocol errors come from servers that close the connection, as in a restart.
    if kind == "RemoteProtocolError" and "illegal" in text:
        return no_qdrant(location)
    return _unreachable(location, text)


def no_qdrant(location: str, status: int | None = None, *, more: str = "") -> ConfigurationError:
    """The error if a response is not from Qdrant."""
    shown = f" ({status})" if status else ""
    return ConfigurationError(
        f"the server at {location} does not answer like Qdrant{shown}; check host, port "
        f"(6333, or 6334 for qdrant+grpc) and scheme (qdrant+https for TLS){more}"
    )


def _unreachable(location: str, text: str) -> Unavailable:
    return Unavailable(
        f"{location} cannot be reached ({text}); is Qdrant running there? The port is 6333 for "
        "REST, 6334 for qdrant+grpc"
    )


def _own_words(content: bytes) -> str | None:
    """Qdrant's own error message; None if the response is not in its format."""
    try:
        return str(json.loads(content)["status"]["error"])
    except (ValueError, TypeError, KeyError):
        return None


def _decoded(content: bytes) -> str:
    return content.decode("utf-8", "replace").strip()


def _plain_text(text: str) -> str:
    return "an HTML page" if text.startswith("<") else text[:300] or "no explanation"


def _line(error: object) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
