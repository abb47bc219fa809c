"""Sends requests through elasticsearch-py, blocking or awaited."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from splade_connectors.registry import require
from splade_elasticsearch.errors import from_client
from splade_elasticsearch.requests import HttpRequest

_JSON = "application/json"
_NDJSON = "application/x-ndjson"


class ClientCalls:
    """Executes requests with a client.

    Args:
        client: an `Elasticsearch` or an `AsyncElasticsearch`; its own retries are turned off,
            so that waits do not multiply with ours.
        location: the target, for messages.
    """

    def __init__(self, client: Any, location: str) -> None:
        self.client = client.options(max_retries=0, retry_on_timeout=False, retry_on_status=())
        self._location = location
        library = require("elasticsearch", "elasticsearch", "Elasticsearch")
        self._client_major = int(library.__version__[0])

    def send(self, request: HttpRequest) -> Any:
        """Execute with a blocking client."""
        try:
            return self._perform(request).body
        except Exception as error:  # the client's and its transport's classes share no base
            raise from_client(error, self._location, self._client_major) from error

    async def asend(self, request: HttpRequest) -> Any:
        """Execute with an awaiting client."""
        try:
            return (await self._perform(request)).body
        except Exception as error:  # the client's and its transport's classes share no base
            raise from_client(error, self._location, self._client_major) from error

    def _perform(self, request: HttpRequest) -> Any:
        """The client's response, or its awaitable."""
        content = _JSON if isinstance(request.body, Mapping) else _NDJSON
        headers = {"accept": _JSON} | ({"content-type": content} if request.body else {})
        return self.client.perform_request(
            request.method,
            request.path,
            params=dict(request.params),
            headers=headers,
            body=request.body,
        )
