"""What qdrant-client and the engine raise, as this package's errors."""

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

# What gRPC says of a port that speaks something else, in old and new versions.
_NO_GRPC = ("Failed parsing HTTP/2", "http1.x server", "http2 header with status: 404")

# Why gRPC got no connection at all.
_NO_CONNECTION = ("failed to connect", "DNS resolution failed")


def as_it_is(text: str) -> str:
    """Where there is nothing to take out of a server's words."""
    return text


def from_client(
    error: Exception, location: str, say: Callable[[str], str] = as_it_is
) -> SpladeConnectorsError:
    """The error of a client call, whichever transport it came over.

    Args:
        error: what qdrant-client raised.
        location: the target, for messages.
        say: takes out of a text what is not to be shown.
    """
    kind = type(error).__name__
    if kind == "UnexpectedResponse":
        return _from_response(error, location, say)
    if kind == "ResourceExhaustedResponse":
        wait = float(getattr(error, "retry_after_s", 0) or 0)
        return Unavailable(f"{location} asks to slow down: {say(_line(error))}", retry_after_s=wait)
    if kind == "QdrantException" and "Retry-After" in str(error):
        # A date instead of seconds, which the client cannot read; its complaint repeats it.
        wait_s = retry_after_s(str(error))
        return Unavailable(f"{location} asks to slow down", retry_after_s=wait_s)
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
    """Words about a request without what they quote of it: it may be of a document.

    From the first quotation mark to the last: there may be marks in what is quoted, too.
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
            "key that may read and write this collection"
        )
    if status == 404:
        return NotFound(f"{location}: {message} (404)")
    if status == 501:
        return NotSupported(f"{location} does not know this call (501): {message}")
    if status == 507:
        return StorageFull(
            f"{location} has no room left (507): {message}. What was acknowledged is kept; make "
            "room and run the same command again"
        )
    # 408 is the server's own timeout: it was busy, the request was well.
    if status in (408, 429) or status >= 500:
        return Unavailable(
            f"{location} is not available ({status}): {message}", retry_after_s=retry_after_s
        )
    return RequestRejected(f"{location} refused the request ({status}): {message}", status=status)


def locked(location: str) -> StoreLocked:
    """The error where somebody else has a shard open."""
    return StoreLocked(
        f"{location} is open in another process, or in another store of this one: close that "
        "first, or run a Qdrant server for several at once"
    )


def from_engine(
    error: Exception, location: str, say: Callable[[str], str] = as_it_is
) -> SpladeConnectorsError:
    """The error of the embedded engine, which raises bare `Exception`s with a text."""
    text = say(_line(error))
    if "WouldBlock" in text:
        return locked(location)
    if "No space left" in text or "os error 28" in text:
        return StorageFull(
            f"the disk of {location} is full: {text}. What was acknowledged is kept; make room and "
            "run the same command again"
        )
    return RequestRejected(f"{location} refused the request: {text}")


def _from_response(
    response: Any, location: str, say: Callable[[str], str]
) -> SpladeConnectorsError:
    """The error of an answer over REST that is not a success."""
    status = int(response.status_code or 0)
    message = _own_words(response.content)
    # Qdrant explains in JSON why it found nothing; another service does not have our paths. With
    # other statuses it may be a proxy before Qdrant that speaks.
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
            f"the certificate of {location} is not trusted ({text}); name its authority: "
            "--ca-certs FILE"
        )
    if kind == "ValidationError":
        # JSON, but of another service, or of a server that is much newer than the client.
        return no_qdrant(location, more="; if all are right, update qdrant-client")
    # Other protocol errors are servers that hang up, for example while they restart.
    if kind == "RemoteProtocolError" and "illegal" in text:
        return no_qdrant(location)
    return _unreachable(location, text)


def no_qdrant(location: str, status: int | None = None, *, more: str = "") -> ConfigurationError:
    """The error where an answer is none of Qdrant's."""
    shown = f" ({status})" if status else ""
    return ConfigurationError(
        f"what answers at {location} does not answer as Qdrant does{shown}; check host, port "
        f"(6333, or 6334 for qdrant+grpc) and scheme (qdrant+https for TLS){more}"
    )


def _unreachable(location: str, text: str) -> Unavailable:
    return Unavailable(
        f"{location} cannot be reached ({text}); is Qdrant running there? The port is 6333 for "
        "REST, 6334 for qdrant+grpc"
    )


def _own_words(content: bytes) -> str | None:
    """What Qdrant says went wrong, None if the answer is not in its form."""
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
