"""Send requests through opensearch-py, blocking or awaited."""

from __future__ import annotations

import base64
import copy
import json
from collections.abc import Callable, Mapping
from typing import Any

from splade_connectors.backends.secrets import Secrets
from splade_connectors.errors import ConfigurationError, SpladeConnectorsError
from splade_lucene.errors import not_this
from splade_lucene.requests import HttpRequest
from splade_lucene.transport import bound_awaiting, bound_blocking, stay_here
from splade_opensearch.dialect import OPENSEARCH
from splade_opensearch.errors import from_client

_JSON = "application/json"
_NDJSON = "application/x-ndjson"


class ClientCalls:
    """Executes requests with a client.

    Args:
        client: an `OpenSearch` or an `AsyncOpenSearch`.
        location: the target, for messages.
        own: whether the client was created here, so that its responses can be bounded.
    """

    def __init__(self, client: Any, location: str, *, own: bool = False) -> None:
        connections = _connections(client)
        stay_here(connections)
        if own:
            bound_blocking(connections)
        self.client = client
        self._location = location
        self._secrets = Secrets(*_authorizations(client))
        self._closed = False

    def send(self, request: HttpRequest) -> Any:
        """Execute with a blocking client."""
        self._check_open()
        try:
            return self._checked(self._perform(request))
        except Exception as error:  # the client's and its libraries' classes share no base
            failure = self._failure(error, request)
        raise failure

    async def asend(self, request: HttpRequest) -> Any:
        """Execute with an async client."""
        self._check_open()
        try:
            # Creates the connections, once; before that a copy has nothing to share.
            await self.client.__aenter__()
            await bound_awaiting(_connections(self.client))
            return self._checked(await self._perform(request))
        except Exception as error:  # the client's and its libraries' classes share no base
            failure = self._failure(error, request)
        raise failure

    def close(self) -> None:
        """Close the client for good: it would reopen itself at the next request."""
        self._closed = True
        self.client.close()

    async def aclose(self) -> None:
        """As `close`, for an async client."""
        self._closed = True
        await self.client.close()

    def _perform(self, request: HttpRequest) -> Any:
        """The response, or an awaitable of it."""
        # A copy on the same connections, so that the caller's client keeps its own retries.
        transport = copy.copy(self.client.transport)
        transport.max_retries = 0
        if request.parse_float is not None:
            transport.deserializer = _FloatReader(request.parse_float)
        is_lines = request.body is not None and not isinstance(request.body, Mapping)
        headers = {"content-type": _NDJSON if is_lines else _JSON} if request.body else {}
        return transport.perform_request(
            request.method,
            request.path,
            params=dict(request.params),
            headers={"accept": _JSON, **headers},
            body=_lines(request.body, transport.serializer) if is_lines else request.body,
        )

    def _failure(self, error: Exception, request: HttpRequest) -> SpladeConnectorsError:
        if isinstance(error, SpladeConnectorsError):
            return error
        known = from_client(
            error,
            self._location,
            mask=self._secrets.masked,
            has_documents=request.has_documents,
        )
        return self._secrets.caused(known, error, quoted=request.has_documents)

    def _checked(self, answer: Any) -> Any:
        if not isinstance(answer, Mapping):
            raise not_this(self._location, OPENSEARCH)
        return answer

    def _check_open(self) -> None:
        if self._closed:
            raise ConfigurationError(
                f"this store of {self._location} has been closed; connect again"
            )


def _connections(client: Any) -> list[Any]:
    """The client's connections; an async client creates them on first use."""
    pool = getattr(client.transport, "connection_pool", None)
    return list(getattr(pool, "connections", ()))


def _authorizations(client: Any) -> list[str]:
    """The authorization headers that the client sends, also if it is the caller's client."""
    given = client.transport.kwargs
    headers = {name.lower(): value for name, value in (given.get("headers") or {}).items()}
    found = [str(headers.get("authorization") or "")]
    pair = given.get("http_auth")
    if isinstance(pair, str) or (isinstance(pair, tuple | list) and len(pair) == 2):
        joined = pair if isinstance(pair, str) else f"{pair[0]}:{pair[1]}"
        found.append(f"Basic {base64.b64encode(joined.encode()).decode()}")
    return found


def _lines(lines: Any, serializer: Any) -> str:
    return "".join(f"{serializer.dumps(line)}\n" for line in lines)


class _FloatReader:
    """Replaces the transport's deserializer.

    Args:
        parse_float: parses numbers with a fraction or an exponent.
    """

    def __init__(self, parse_float: Callable[[str], float]) -> None:
        self._parse_float = parse_float

    def loads(self, data: str, mimetype: str | None = None) -> Any:
        """Parse a JSON response."""
        return json.loads(data, parse_float=self._parse_float)
