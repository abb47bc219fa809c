"""Requests to Elasticsearch and OpenSearch as plain HTTP with JSON, sent by a client."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from splade_connectors.runtime.effects import Request


@dataclass(slots=True)
class HttpRequest(Request):
    """One HTTP request.

    Attributes:
        method: "GET", "POST", …
        path: below the server's address, starting with "/".
        body: a JSON object, or the lines of an NDJSON body, or None.
        params: of the query string.
        parse_float: parses numbers with a fraction or an exponent in the response; None parses
            them as usual.
    """

    method: str
    path: str
    body: Mapping[str, Any] | Sequence[Mapping[str, Any]] | None = None
    params: Mapping[str, str] = field(default_factory=dict)
    parse_float: Callable[[str], float] | None = None

    @property
    def purpose(self) -> str:
        """Method and last part of the path, such as "POST _search"; "INDEX" for the index."""
        last = self.path.rpartition("/")[2]
        return f"{self.method} {last if last.startswith('_') else last and 'INDEX'}".rstrip()

    @property
    def has_documents(self) -> bool:
        """Whether the body holds parts of documents, so that no error may quote it."""
        return self.path.endswith("/_bulk") or "/_update/" in self.path
