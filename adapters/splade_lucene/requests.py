"""Requests to Elasticsearch: plain HTTP with JSON, made by the backend, sent by a client."""

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
        path: below the server's address, beginning with "/".
        body: a JSON object, or the lines of an NDJSON body, or None.
        params: of the query string.
        parse_float: reads the numbers of the answer that have a fraction or an exponent; None
            is as usual.
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
        """Whether documents, or parts of them, are sent: no error may quote the body."""
        return self.path.endswith("/_bulk") or "/_update/" in self.path
