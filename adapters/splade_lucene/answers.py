"""Reading answers: what is not as a server of this family says it ends in a sentence."""

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

# Failures of a shard that the same request meets again: its index maps a field in another way.
_OF_THE_REQUEST = {"illegal_argument_exception", "query_shard_exception", "parse_exception"}

# Of a search that is grouped: no document there has a value, and those without are left out.
_NO_VALUES = "in order to collapse on"

# What reading a JSON value raises that is not of the expected shape.
_NOT_OF_THE_SHAPE = (AttributeError, KeyError, IndexError, TypeError, ValueError, OverflowError)


def asked(request: HttpRequest, parse: Callable[[Any], T], address: IndexAddress) -> Steps[T]:
    """What the answer to a request says.

    Args:
        request: to be sent.
        parse: reads the answer. Pure.
        address: for the message.

    Raises:
        ConfigurationError: when the answer is not one of such a server.
    """
    answer = yield request
    with understood(address):
        return parse(answer)


@contextmanager
def understood(address: IndexAddress) -> Iterator[None]:
    """Around the reading of an answer: one of another shape becomes an error of this package."""
    try:
        yield
    except SpladeConnectorsError:
        raise
    except _NOT_OF_THE_SHAPE as error:
        raise answers_otherwise(address.location, address.dialect) from error


def check_shards(answer: Mapping[str, Any], address: IndexAddress) -> None:
    """Refuse an answer without what one of the shards holds: documents would be missed.

    Raises:
        RequestRejected: when the shard cannot answer such a request.
        Unavailable: when it cannot answer now. Both name how many shards failed, and why.
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
