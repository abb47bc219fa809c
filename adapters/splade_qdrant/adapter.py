"""Entry points: turn a target or a client into a backend and its sender."""

from __future__ import annotations

import asyncio
import os
import warnings
from pathlib import Path
from typing import Any, ClassVar

from splade_connectors.backends.feature_names import Keys
from splade_connectors.backends.protocol import Opened, does_nothing
from splade_connectors.backends.secrets import check_header
from splade_connectors.backends.targets import Target
from splade_connectors.backends.tls import check_files, context, proxy_in_plain_sight
from splade_connectors.errors import ConfigurationError
from splade_connectors.extras import require
from splade_connectors.options import ConnectOptions
from splade_qdrant.address import Address
from splade_qdrant.backend import QdrantBackend
from splade_qdrant.client import ClientCalls
from splade_qdrant.edge.engine import EdgeEngine
from splade_qdrant.look import Server
from splade_qdrant.names import check_collection_name, check_vector_name

DEFAULT_VECTOR = "splade"
_PORTS = {"": 6333, "https": 6333, "grpc": 6334}


class EdgeAdapter:
    """`edge:PATH`: the Qdrant engine in this process, on disk."""

    client_modules: ClassVar[tuple[str, ...]] = ()

    @staticmethod
    def open(target: Target, keys: Keys, options: ConnectOptions, *, asynchronous: bool) -> Opened:
        """Prepare the engine; the first request opens the folder."""
        engine = EdgeEngine(_folder(target), str(target))
        backend = _backend(target, options, collection="")
        if not asynchronous:
            return Opened(backend=backend, send=engine.send, close=engine.close, one_process=True)

        async def send(request: Any) -> Any:
            return await asyncio.to_thread(engine.send, request)

        async def close() -> None:
            await asyncio.to_thread(engine.close)

        return Opened(backend=backend, send=send, close=close, one_process=True)

    @staticmethod
    def wrap(
        client: Any, target: Target, keys: Keys, options: ConnectOptions, *, asynchronous: bool
    ) -> Opened:
        """Refuse: the embedded engine has no client objects."""
        raise ConfigurationError("open an embedded store by its path: connect('edge:PATH')")


def _folder(target: Target) -> Path:
    """The absolute folder of an embedded store: the working directory may change later.

    Raises:
        ConfigurationError: when no file system allows a folder of that name.
    """
    if "\0" in target.path:
        raise ConfigurationError(
            "the path after edge: contains a null character, which no folder name may have"
        )
    try:
        return Path(target.path).expanduser().absolute()
    except RuntimeError as error:
        raise ConfigurationError(
            f"{target} begins with the home directory of a user unknown on this machine; for a "
            f"folder of that name write edge:./{target.path}"
        ) from error


class QdrantAdapter:
    """`qdrant://HOST[:PORT]/COLLECTION`, and clients of qdrant-client."""

    client_modules: ClassVar[tuple[str, ...]] = ("qdrant_client",)

    @staticmethod
    def open(target: Target, keys: Keys, options: ConnectOptions, *, asynchronous: bool) -> Opened:
        """Create a client; nothing is sent yet."""
        library = require("qdrant_client", "qdrant", "a qdrant:// target")
        if target.transport not in _PORTS:
            raise ConfigurationError(
                f"unknown scheme qdrant+{target.transport}: write qdrant, qdrant+https or "
                "qdrant+grpc"
            )
        kind = library.AsyncQdrantClient if asynchronous else library.QdrantClient
        key = _api_key(target, options)
        proxy = proxy_in_plain_sight(target.host) if key and target.transport != "https" else None
        if proxy:
            warnings.warn(
                f"the API key is sent to the proxy {proxy} as plain text: write qdrant+https://, "
                f"or list {target.host} in NO_PROXY",
                stacklevel=2,
            )
        client = kind(
            https=target.transport == "https",
            api_key=key,
            timeout=max(1, round(options.timeout_s)),
            check_compatibility=False,  # it would connect here, and warn instead of raising
            **_address(target),
            **_tls(target, options),
        )
        return _opened(client, target, options, asynchronous, client.close)

    @staticmethod
    def wrap(
        client: Any, target: Target, keys: Keys, options: ConnectOptions, *, asynchronous: bool
    ) -> Opened:
        """Use the caller's client, which the caller closes."""
        return _opened(client, target, options, asynchronous, does_nothing(asynchronous))


def _api_key(target: Target, options: ConnectOptions) -> str | None:
    """The API key: the argument overrides the URL, and the URL overrides the environment."""
    key = options.api_key or target.password or os.environ.get("QDRANT_API_KEY")
    return check_header(key, "the API key") if key else None


def _tls(target: Target, options: ConnectOptions) -> dict[str, Any]:
    """The TLS settings of httpx, if certificate files were given."""
    if options.bearer_token:
        raise ConfigurationError(
            "Qdrant takes no bearer token: pass the API key or JSON web token as api_key, or in "
            "QDRANT_API_KEY"
        )
    check_files(target, options)
    named = options.ca_certs or options.client_cert
    return {"verify": context(options)} if named else {}


def _address(target: Target) -> dict[str, Any]:
    port = target.port or _PORTS[target.transport]
    if target.transport == "grpc":
        if target.prefix:
            raise ConfigurationError(
                f"{target}: gRPC has no path prefix before the collection; write qdrant:// or "
                "qdrant+https://"
            )
        return {"host": target.host, "grpc_port": port, "prefer_grpc": True}
    return {"host": target.host, "port": port, "prefix": target.prefix or None}


def _opened(
    client: Any, target: Target, options: ConnectOptions, asynchronous: bool, close: Any
) -> Opened:
    check_collection_name(target.path)
    backend = _backend(target, options, collection=target.path)
    calls = ClientCalls(client, target.path, str(target))
    return Opened(backend=backend, send=calls.asend if asynchronous else calls.send, close=close)


def _backend(target: Target, options: ConnectOptions, collection: str) -> QdrantBackend:
    if "routing" in target.parameters:
        raise ConfigurationError("routing= is for Elasticsearch and OpenSearch; omit it")
    for name in ("field", "kind"):
        if name in target.parameters:
            raise ConfigurationError(
                f"{name}= is for Elasticsearch; on Qdrant name the sparse vector with vector=NAME"
            )
    vector = target.parameters.get("vector", DEFAULT_VECTOR)
    check_vector_name(vector)
    address = Address(
        collection=collection,
        vector=vector,
        dense=target.parameters.get("dense", ""),
        location=str(target),
        manifest_file=Path(options.manifest_file) if options.manifest_file else None,
    )
    return QdrantBackend(address, Server())
