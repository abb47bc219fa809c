"""Send requests through elasticsearch-py, blocking or awaited."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Mapping
from typing import Any

from splade_connectors.backends.secrets import Secrets
from splade_connectors.errors import SpladeConnectorsError
from splade_connectors.extras import require
from splade_elasticsearch.errors import from_client
from splade_lucene.requests import HttpRequest
from splade_lucene.transport import bound_awaiting, bound_blocking, stay_here

_JSON = "application/json"
_NDJSON = "application/x-ndjson"


class ClientCalls:
    """Executes requests with a client.

    Args:
        client: an `Elasticsearch` or an `AsyncElasticsearch`; its own retries are turned off,
            so that waits do not multiply with ours.
        location: the target, for messages.
        own: whether the client was created here, so that its responses can be bounded.
    """

    def __init__(self, client: Any, location: str, *, own: bool = False) -> None:
        nodes = client.transport.node_pool.all()
        stay_here(nodes)
        if own:
            bound_blocking(nodes)
        self.client = client.options(max_retries=0, retry_on_timeout=False, retry_on_status=())
        self._location = location
        self._secrets = Secrets((getattr(client, "_headers", None) or {}).get("authorization"))
        library = require("elasticsearch", "elasticsearch", "Elasticsearch")
        self._client_major = int(library.__version__[0])

    def send(self, request: HttpRequest) -> Any:
        """Execute with a blocking client."""
        try:
            return self._perform(request).body
        except Exception as error:  # the client's and its transport's classes share no base
            failure = self._failure(error, request)
        raise failure

    async def asend(self, request: HttpRequest) -> Any:
        """Execute with an async client."""
        try:
            await bound_awaiting(self.client.transport.node_pool.all())
            return (await self._perform(request)).body
        except Exception as error:  # the client's and its transport's classes share no base
            failure = self._failure(error, request)
        raise failure

    def _failure(self, error: Exception, request: HttpRequest) -> SpladeConnectorsError:
        known = from_client(
            error,
            self._location,
            self._client_major,
            mask=self._secrets.masked,
            has_documents=request.has_documents,
        )
        return self._secrets.caused(known, error, quoted=request.has_documents)

    def _perform(self, request: HttpRequest) -> Any:
        """The client's response, or an awaitable of it."""
        content = _JSON if isinstance(request.body, Mapping) else _NDJSON
        headers = {"accept": _JSON} | ({"content-type": content} if request.body else {})
        client = self.client
        if request.parse_float is not None:
            client = self._reading_floats(request.parse_float)
        return client.perform_request(
            request.method,
            request.path,
            params=dict(request.params),
            headers=headers,
            body=request.body,
        )

    def _reading_floats(self, parse_float: Callable[[str], float]) -> Any:
        """The client with another JSON parser, on the same connections."""
        transport = copy.copy(self.client.transport)
        transport.serializers = _FloatReaders(parse_float)
        client = copy.copy(self.client)
        client._transport = transport
        return client


class _FloatReaders:
    """Replaces the transport's collection of serializers.

    Args:
        parse_float: parses numbers with a fraction or an exponent.
    """

    def __init__(self, parse_float: Callable[[str], float]) -> None:
        self._parse_float = parse_float

    def dumps(self, data: Any, mimetype: str | None = None) -> bytes:
        """Serialize a JSON body."""
        return data if isinstance(data, bytes) else json.dumps(data).encode()

    def loads(self, data: bytes, mimetype: str | None = None) -> Any:
        """Parse a JSON response."""
        return json.loads(data, parse_float=self._parse_float)
