"""Parse responses; one in an unexpected shape becomes an error of this package."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar

from splade_connectors.errors import RequestRejected, SpladeConnectorsError, Unavailable
from splade_connectors.runtime.effects import Steps
from splade_lucene.address import IndexAddress
from splade_lucene.bulk import reason
from splade_lucene.errors import answers_otherwise
from splade_lucene.requests import HttpRequest

T = TypeVar("T")

# Failures of a shard that a retry meets again: its index maps a field differently.
_OF_THE_REQUEST = {"illegal_argument_exception", "query_shard_exception", "parse_exception"}

# A grouped search fails like this on a shard whose documents all lack a value: nothing is missed.
_NO_VALUES = "in order to collapse on"

# Exceptions from reading a JSON value in an unexpected shape.
_NOT_OF_THE_SHAPE = (AttributeError, KeyError, IndexError, TypeError, ValueError, OverflowError)


def asked(request: HttpRequest, parse: Callable[[Any], T], address: IndexAddress) -> Steps[T]:
    """Send a request and parse the response.

    Args:
        request: the request to send.
        parse: parses the response. Pure.
        address: for messages.

    Raises:
        ConfigurationError: if the response is not one of such a server.
    """
    answer = yield request
    with understood(address):
        return parse(answer)


@contextmanager
def understood(address: IndexAddress) -> Iterator[None]:
    """Turn failures to parse a response into an error of this package."""
    try:
        yield
    except SpladeConnectorsError:
        raise
    except _NOT_OF_THE_SHAPE as error:
        raise answers_otherwise(address.location, address.dialect) from error


def check_shards(answer: Mapping[str, Any], address: IndexAddress) -> None:
    """Refuse a response that lacks the documents of a shard.

    Raises:
        RequestRejected: if the shard cannot answer this request; says how many failed, and why.
        Unavailable: if it cannot answer now; likewise.
    """
    shards = answer.get("_shards") or {}
    if not shards.get("failed"):
        return
    failures = [failure.get("reason") or {} for failure in shards.get("failures") or ()]
    if failures and all(_NO_VALUES in str(failure.get("reason")) for failure in failures):
        return
    first = failures[0] if failures else {}
    why = f": {reason(first)}" if first else ""
    text = f"{shards['failed']} of {shards['total']} shards of {address.path} did not answer{why}"
    if first.get("type") in _OF_THE_REQUEST:
        raise RequestRejected(f"{address.location}: {text}")
    raise Unavailable(text)
