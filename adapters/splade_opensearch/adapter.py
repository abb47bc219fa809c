"""Entry point: turn a target or a client into a backend and its sender."""

from __future__ import annotations

import base64
from typing import Any, ClassVar

from splade_connectors.backends.feature_names import Keys
from splade_connectors.backends.protocol import Opened, does_nothing
from splade_connectors.backends.targets import Target
from splade_connectors.errors import ConfigurationError
from splade_connectors.extras import require
from splade_connectors.options import ConnectOptions
from splade_lucene.backend import LuceneBackend
from splade_lucene.target import (
    bearer_token,
    certificates,
    check_supported,
    check_transport,
    index_address,
    user_and_password,
)
from splade_opensearch.client import ClientCalls
from splade_opensearch.dialect import OPENSEARCH

_CONNECTIONS = 10
_PORT = 9200


class OpenSearchAdapter:
    """`opensearch://HOST[:PORT]/INDEX`, and clients of opensearch-py."""

    client_modules: ClassVar[tuple[str, ...]] = ("opensearchpy",)

    @staticmethod
    def open(target: Target, keys: Keys, options: ConnectOptions, *, asynchronous: bool) -> Opened:
        """Create a client; nothing is sent yet."""
        library = require("opensearchpy", "opensearch", "an opensearch:// target")
        if asynchronous:
            require("aiohttp", "opensearch", "awaiting opensearch:// targets")
        check_transport(target)
        backend = LuceneBackend(index_address(target, keys, options, OPENSEARCH))
        kind = library.AsyncOpenSearch if asynchronous else library.OpenSearch
        host = {
            "host": target.host,
            "port": target.port or _PORT,
            "use_ssl": target.transport == "https",
            "url_prefix": target.prefix,
        }
        client = kind(
            hosts=[host],
            headers=_credentials(target, options),
            timeout=options.timeout_s,
            max_retries=0,
            # By default the blocking client keeps one connection; the awaited one keeps ten.
            **({} if asynchronous else {"pool_maxsize": _CONNECTIONS}),
            **certificates(target, options),
        )
        calls = ClientCalls(client, str(target), own=True)
        if asynchronous:
            return Opened(backend=backend, send=calls.asend, close=calls.aclose)
        return Opened(backend=backend, send=calls.send, close=calls.close)

    @staticmethod
    def wrap(
        client: Any, target: Target, keys: Keys, options: ConnectOptions, *, asynchronous: bool
    ) -> Opened:
        """Use the caller's client, which the caller closes."""
        for host in getattr(getattr(client, "transport", None), "hosts", None) or ():
            check_supported(str(host.get("host")), str(target))
        backend = LuceneBackend(index_address(target, keys, options, OPENSEARCH))
        calls = ClientCalls(client, str(target))
        send = calls.asend if asynchronous else calls.send
        return Opened(backend=backend, send=send, close=does_nothing(asynchronous))


def _credentials(target: Target, options: ConnectOptions) -> dict[str, str]:
    """The header; the client's own argument takes only Latin-1 user names and passwords."""
    token = bearer_token(target, options, "OPENSEARCH")
    if token:
        return {"authorization": f"Bearer {token}"}
    if options.api_key:
        raise ConfigurationError(
            "OpenSearch has no API keys: pass ConnectOptions(username=…, password=…), or your own "
            "client"
        )
    pair = user_and_password(target, options, "OPENSEARCH")
    return {"authorization": f"Basic {base64.b64encode(pair).decode()}"} if pair else {}
