"""The server's version and other facts kept between verbs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from splade_connectors.backends.versions import parse_version
from splade_connectors.errors import AccessDenied, RequestRejected
from splade_connectors.runtime.effects import Steps
from splade_lucene.address import IndexAddress
from splade_lucene.answers import asked
from splade_lucene.dialect import Version
from splade_lucene.requests import HttpRequest

_NOT_ALLOWED = 405


@dataclass(slots=True)
class Remembered:
    """What a backend keeps between verbs: unlike a schema, it cannot go stale.

    Attributes:
        version: of the server; () until it is known.
        scripts: whether to try updates by script; off once the server has said that it has none.
        text_fields: (index, field) of text fields known to exist.
        grouped_by: (index, field) of fields whose values were looked at for grouping.
    """

    version: Version = ()
    scripts: bool = True
    text_fields: set[tuple[str, str]] = field(default_factory=set)
    grouped_by: set[tuple[str, str]] = field(default_factory=set)


def read_version(address: IndexAddress, remembered: Remembered) -> Steps[Version]:
    """The server's version, read once; () for users without the cluster privilege `monitor`.

    Such users may still read and write an existing index.
    """
    if not remembered.version:
        try:
            remembered.version = parse_version((yield from _number(address)))
        except AccessDenied:
            return ()
    return remembered.version


def _number(address: IndexAddress) -> Steps[str]:
    """The version number from the root, or from _nodes for builds without a root."""

    def of_root(answer: Any) -> str:
        return address.dialect.number_in(answer["version"], address.location)

    try:
        return (yield from asked(HttpRequest("GET", "/"), of_root, address))
    except RequestRejected as error:
        if error.status != _NOT_ALLOWED:
            raise
    params = {"filter_path": "nodes.*.version"}
    return (yield from asked(HttpRequest("GET", "/_nodes", None, params), _oldest, address))


def _oldest(answer: Mapping[str, Any]) -> str:
    return str(min((node["version"] for node in answer["nodes"].values()), key=parse_version))
