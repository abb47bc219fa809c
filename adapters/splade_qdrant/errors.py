"""What qdrant-client and the engine raise, as this package's errors."""

from __future__ import annotations

import json
from typing import Any

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
    "RESOURCE_EXHAUSTED": 429,
    "UNAVAILABLE": 503,
    "DEADLINE_EXCEEDED": 504,
    "UNIMPLEMENTED": 501,
    "INVALID_ARGUMENT": 400,
    "FAILED_PRECONDITION": 400,
}


def from_client(error: Exception, location: str) -> SpladeConnectorsError:
    """The error of a client call, whichever transport it came over."""
    kind = type(error).__name__
    if kind == "UnexpectedResponse":
        raw: Any = error
        return from_status(int(raw.status_code or 0), _message(raw.content), location)
    if kind == "ResourceExhaustedResponse":
        wait = float(getattr(error, "retry_after_s", 0) or 0)
        return Unavailable(f"{location} asks to slow down", retry_after_s=wait)
    if kind == "ResponseHandlingException":
        return _from_transport(getattr(error, "source", error), location)
    if hasattr(error, "code") and hasattr(error, "details"):
        details: Any = error
        status = _GRPC_STATUS.get(details.code().name, 500)
        return from_status(status, str(details.details()), location)
    if isinstance(error, ValueError) and "not found" in str(error):
        return NotFound(f"{location}: {error}")
    return RequestRejected(f"{location} refused the request: {_line(error)}")


def from_status(status: int, message: str, location: str) -> SpladeConnectorsError:
    """The error for an HTTP status."""
    if status in (401, 403):
        return AccessDenied(
            f"{location} refused the credentials ({status}): {message}; set QDRANT_API_KEY to a "
            "key that may read and write this collection"
        )
    if status == 404:
        return NotFound(f"{location} was not found (404): {message}")
    if status == 501:
        return NotSupported(f"{location} does not know this call (501): {message}")
    if status == 429 or status >= 500:
        return Unavailable(f"{location} is not available ({status}): {message}")
    return RequestRejected(f"{location} refused the request ({status}): {message}", status=status)


def from_engine(error: Exception, location: str) -> SpladeConnectorsError:
    """The error of the embedded engine, which raises bare `Exception`s with a text."""
    text = _line(error)
    if "WouldBlock" in text:
        return StoreLocked(
            f"{location} is open in another process; stop that one, or run a Qdrant server for "
            "several processes"
        )
    if "No space left" in text or "os error 28" in text:
        return StorageFull(
            f"the disk of {location} is full: {text}. What was acknowledged is kept; make room and "
            "run the same command again"
        )
    return RequestRejected(f"{location} refused the request: {text}")


def _from_transport(error: Any, location: str) -> SpladeConnectorsError:
    text = _line(error)
    if "WRONG_VERSION_NUMBER" in text or "record layer" in text.lower():
        return ConfigurationError(
            f"{location} does not speak TLS on this port; write qdrant:// instead of qdrant+https://"
        )
    if "CERTIFICATE_VERIFY" in text:
        return ConfigurationError(
            f"the certificate of {location} is not trusted ({text}); name its authority: "
            "--ca-certs FILE"
        )
    if type(error).__name__ in ("ValidationError", "JSONDecodeError", "RemoteProtocolError"):
        return ConfigurationError(
            f"what answers at {location} does not answer as Qdrant does; check host, port "
            "(6333, or 6334 for qdrant+grpc) and scheme (qdrant+https for TLS)"
        )
    return Unavailable(
        f"{location} cannot be reached ({text}); is Qdrant running there? The port is 6333 for "
        "REST, 6334 for qdrant+grpc"
    )


def _message(content: Any) -> str:
    text = content.decode("utf-8", "replace") if isinstance(content, bytes) else str(content)
    try:
        return str(json.loads(text)["status"]["error"])
    except (ValueError, TypeError, KeyError):
        return text[:300] or "no explanation"


def _line(error: object) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
