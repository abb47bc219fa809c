"""elasticsearch-py for servers of another major version than its own, in tests only.

The client states its major version in the headers of every request (`compatible-with=9`), and
8.x refuses one that is newer than itself. The nodes made here state the server's instead. Users
are to install the client that fits their server.
"""

import re
from functools import cache
from typing import Any, Literal, overload

from elastic_transport import AiohttpHttpNode, BaseNode, HttpHeaders, Urllib3HttpNode
from elasticsearch import AsyncElasticsearch, Elasticsearch

_STATED_VERSION = re.compile(r"compatible-with=\d+")


@overload
def client_for(url: str, major: int, async_: Literal[False] = ..., **kw: Any) -> Elasticsearch: ...
@overload
def client_for(url: str, major: int, async_: Literal[True], **kw: Any) -> AsyncElasticsearch: ...
def client_for(
    url: str, major: int, async_: bool = False, **kw: Any
) -> Elasticsearch | AsyncElasticsearch:
    """A client that passes for one of version `major`; `kw` goes to the client as it is."""
    client = AsyncElasticsearch if async_ else Elasticsearch
    return client(url, node_class=node_class(major, async_), **kw)


@cache
def node_class(major: int, async_: bool = False) -> type[BaseNode]:
    """A node class for the client which states version `major` in every request."""
    return _async_node_class(major) if async_ else _sync_node_class(major)


def _sync_node_class(major: int) -> type[BaseNode]:
    class Node(Urllib3HttpNode):
        def perform_request(self, *args: Any, **kw: Any) -> Any:
            return super().perform_request(*args, **_restated(kw, major))

    return Node


def _async_node_class(major: int) -> type[BaseNode]:
    class AsyncNode(AiohttpHttpNode):
        async def perform_request(self, *args: Any, **kw: Any) -> Any:  # type: ignore[override]
            return await super().perform_request(*args, **_restated(kw, major))

    return AsyncNode


def _restated(request: dict[str, Any], major: int) -> dict[str, Any]:
    """The request with `major` as the version in its headers, `Accept` and `Content-Type`."""
    stated = f"compatible-with={major}"
    headers = {
        name: _STATED_VERSION.sub(stated, value)
        for name, value in (request.get("headers") or {}).items()
    }
    return {**request, "headers": HttpHeaders(headers)}
