"""Entry point: turn a target or a client into a backend and its sender."""

from __future__ import annotations

import base64
import os
from typing import Any, ClassVar

from splade_connectors.backends.feature_names import Keys
from splade_connectors.backends.protocol import Opened, does_nothing
from splade_connectors.backends.secrets import check_header
from splade_connectors.backends.targets import Target
from splade_connectors.extras import require
from splade_connectors.options import ConnectOptions
from splade_elasticsearch.client import ClientCalls
from splade_elasticsearch.dialect import ELASTICSEARCH
from splade_lucene.backend import LuceneBackend
from splade_lucene.target import (
    bearer_token,
    certificates,
    check_transport,
    host_name,
    index_address,
    user_and_password,
)

_PORT = 9200


class ElasticsearchAdapter:
    """`elasticsearch://HOST[:PORT]/INDEX`, and clients of elasticsearch-py."""

    client_modules: ClassVar[tuple[str, ...]] = ("elasticsearch",)

    @staticmethod
    def open(target: Target, keys: Keys, options: ConnectOptions, *, asynchronous: bool) -> Opened:
        """Create a client; nothing is sent yet."""
        library = require("elasticsearch", "elasticsearch", "an elasticsearch:// target")
        check_transport(target)
        kind = library.AsyncElasticsearch if asynchronous else library.Elasticsearch
        scheme = target.transport or "http"
        host = f"{scheme}://{host_name(target.host)}:{target.port or _PORT}"
        client = kind(
            f"{host}/{target.prefix}" if target.prefix else host,
            request_timeout=options.timeout_s,
            **_credentials(target, options),
            **certificates(target, options),
        )
        return _opened(client, target, keys, options, asynchronous, client.close, own=True)

    @staticmethod
    def wrap(
        client: Any, target: Target, keys: Keys, options: ConnectOptions, *, asynchronous: bool
    ) -> Opened:
        """Use the caller's client, which the caller closes."""
        close = does_nothing(asynchronous)
        return _opened(client, target, keys, options, asynchronous, close, own=False)


def _credentials(target: Target, options: ConnectOptions) -> dict[str, Any]:
    """The client's arguments: options override the URL, and the URL overrides the environment."""
    token = bearer_token(target, options, "ELASTICSEARCH")
    if token:
        return {"bearer_auth": token}
    if options.api_key:
        return _api_key(options.api_key)
    named = options.username or target.username
    if not named and os.environ.get("ELASTICSEARCH_API_KEY"):
        return _api_key(os.environ["ELASTICSEARCH_API_KEY"])
    pair = user_and_password(target, options, "ELASTICSEARCH")
    # Encoded here: elasticsearch-py 9.5 takes only pairs of ASCII strings.
    return {"basic_auth": base64.b64encode(pair).decode()} if pair else {}


def _api_key(key: str) -> dict[str, str]:
    more = "; pass the value of 'encoded' that Elasticsearch returned when the key was created"
    return {"api_key": check_header(key, "the API key", more)}


def _opened(
    client: Any,
    target: Target,
    keys: Keys,
    options: ConnectOptions,
    asynchronous: bool,
    close: Any,
    *,
    own: bool,
) -> Opened:
    backend = LuceneBackend(index_address(target, keys, options, ELASTICSEARCH))
    calls = ClientCalls(client, str(target), own=own)
    return Opened(backend=backend, send=calls.asend if asynchronous else calls.send, close=close)
