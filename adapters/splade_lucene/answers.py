"""Reading answers: what is not as a server of this family says it ends in a sentence."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar

from splade_connectors.errors import SpladeConnectorsError, Unavailable
from splade_connectors.runtime.effects import Steps
from splade_lucene.address import IndexAddress
from splade_lucene.errors import answers_otherwise
from splade_lucene.requests import HttpRequest

T = TypeVar("T")

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
        Unavailable: naming how many did not answer.
    """
    shards = answer.get("_shards") or {}
    if shards.get("failed"):
        raise Unavailable(
            f"{shards['failed']} of {shards['total']} shards of {address.path} did not answer"
        )
