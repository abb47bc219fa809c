"""The servers that pages name by their usual ports: those of the test run, started when needed."""

from __future__ import annotations

import os
from types import TracebackType
from typing import Self

import httpx

from tests.fronts import QdrantRestFront
from tests.servers.shared import shared_server

_VARIABLES = {
    "elasticsearch": ("9.3.2", "ELASTICSEARCH_URL"),
    "opensearch": ("opensearch", "OPENSEARCH_URL"),
}


class KnownServers:
    """Finds a server by its name, and removes at the end what pages have made on it.

    Qdrant is a front over its client's local mode, unless `$QDRANT_URL` names a server: no package
    registry has one.

    Attributes:
        known: name -> address of those that were asked for.
    """

    def __init__(self) -> None:
        self.known: dict[str, str] = {}
        self._before: dict[str, set[str]] = {}
        self._front: QdrantRestFront | None = None

    def __call__(self, name: str) -> str:
        """The address of a server."""
        if name not in self.known:
            self.known[name] = self._find(name)
        return self.known[name]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._front:
            self._front.__exit__(kind, error, trace)

    def remove(self, indices: list[str]) -> None:
        """Indices that a page has made, if there are any."""
        for name, url in self.known.items():
            for index in indices if name in _VARIABLES else ():
                httpx.delete(f"{url}/{index}", params={"ignore_unavailable": "true"}, timeout=60)

    def _find(self, name: str) -> str:
        if name == "qdrant":
            return os.environ.get("QDRANT_URL") or self._qdrant()
        version, variable = _VARIABLES[name]
        return os.environ.get(variable) or shared_server(version).url

    def _qdrant(self) -> str:
        self._front = QdrantRestFront().__enter__()
        return self._front.url
