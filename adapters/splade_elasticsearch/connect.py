"""Entry point: targets and clients become a backend with its sender."""

from __future__ import annotations

import base64
import os
from pathlib import Path
from typing import Any, ClassVar

from splade_connectors.backend import ConnectOptions, Opened
from splade_connectors.errors import ConfigurationError
from splade_connectors.keys import Keys
from splade_connectors.registry import require
from splade_connectors.targets import Target
from splade_elasticsearch.client import ClientCalls
from splade_elasticsearch.fields import DEFAULT_DENSE
from splade_elasticsearch.hybrid_backend import ElasticsearchHybridBackend
from splade_elasticsearch.schema import KINDS, check_field_name, check_index_name

DEFAULT_FIELD = "splade"
_PORT = 9200


class ElasticsearchAdapter:
    """`elasticsearch://HOST[:PORT]/INDEX`, and clients of elasticsearch-py."""

    client_modules: ClassVar[tuple[str, ...]] = ("elasticsearch",)

    @staticmethod
    def open(target: Target, keys: Keys, options: ConnectOptions, *, asynchronous: bool) -> Opened:
        """Make a client; it sends nothing yet."""
        library = require("elasticsearch", "elasticsearch", "elasticsearch:// targets")
        if target.transport not in ("", "https"):
            raise ConfigurationError(
                f"elasticsearch+{target.transport} is not known; write elasticsearch or "
                "elasticsearch+https"
            )
        kind = library.AsyncElasticsearch if asynchronous else library.Elasticsearch
        scheme = target.transport or "http"
        client = kind(
            f"{scheme}://{_host(target.host)}:{target.port or _PORT}",
            request_timeout=options.timeout_s,
            **_credentials(target, options),
            **_certificates(target, options.ca_certs),
        )
        return _opened(client, target, keys, options, asynchronous, client.close)

    @staticmethod
    def wrap(
        client: Any, target: Target, keys: Keys, options: ConnectOptions, *, asynchronous: bool
    ) -> Opened:
        """Use the user's client; closing it stays the user's business."""

        def nothing() -> None:
            return None

        async def anothing() -> None:
            return None

        close = anothing if asynchronous else nothing
        return _opened(client, target, keys, options, asynchronous, close)


def _host(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _credentials(target: Target, options: ConnectOptions) -> dict[str, Any]:
    """Arguments win over the URL, the URL over the environment."""
    if options.api_key:
        return _api_key(options.api_key)
    username = options.username or target.username
    password = options.password or target.password
    if not username and os.environ.get("ELASTICSEARCH_API_KEY"):
        return _api_key(os.environ["ELASTICSEARCH_API_KEY"])
    username = username or os.environ.get("ELASTICSEARCH_USERNAME")
    password = password or os.environ.get("ELASTICSEARCH_PASSWORD")
    if username and not password:
        raise ConfigurationError(
            f"there is no password for the user {username!r}: set ELASTICSEARCH_PASSWORD"
        )
    # Encoded here: elasticsearch-py 9.5 takes pairs of ASCII strings only.
    pair = f"{username}:{password}".encode()
    return {"basic_auth": base64.b64encode(pair).decode()} if username else {}


def _certificates(target: Target, path: str | None) -> dict[str, str]:
    if not path:
        return {}
    if not target.transport:
        raise ConfigurationError("ca_certs (--ca-certs) is for TLS: write elasticsearch+https://")
    if not Path(path).is_file():
        raise ConfigurationError(f"there is no file {path} with certificates (--ca-certs)")
    return {"ca_certs": path}


def _api_key(key: str) -> dict[str, str]:
    # The HTTP library would repeat the whole key in its complaint.
    if not key.isascii() or not key.isprintable():
        raise ConfigurationError(
            "the API key has characters that no key has (a line break at its end?); it is the "
            "string 'encoded' that Elasticsearch answered with when it was made"
        )
    return {"api_key": key}


def _opened(
    client: Any,
    target: Target,
    keys: Keys,
    options: ConnectOptions,
    asynchronous: bool,
    close: Any,
) -> Opened:
    if options.manifest_file:
        raise ConfigurationError(
            "Elasticsearch keeps the manifest in the mapping; leave manifest_file away"
        )
    if "vector" in target.parameters:
        raise ConfigurationError(
            "vector= is for Qdrant; Elasticsearch's sparse field is named by field=NAME"
        )
    field = target.parameters.get("field", DEFAULT_FIELD)
    kind = target.parameters.get("kind")
    if kind not in (None, *KINDS):
        raise ConfigurationError(f"kind must be one of {', '.join(KINDS)}, not {kind!r}")
    check_index_name(target.path)
    check_field_name(field)
    backend = ElasticsearchHybridBackend(
        target.path,
        field=field,
        kind=kind,
        dense_name=target.parameters.get("dense", DEFAULT_DENSE),
        keys=keys,
        location=str(target),
    )
    calls = ClientCalls(client, str(target))
    return Opened(backend=backend, send=calls.asend if asynchronous else calls.send, close=close)
