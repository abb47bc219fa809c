"""`connect` and `aconnect`: open a store from a target or a database client."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from splade_connectors.backends.feature_names import Keys
from splade_connectors.backends.protocol import Opened
from splade_connectors.backends.registry import (
    adapter_for_client,
    is_async_client,
)
from splade_connectors.backends.targets import Target, parse_target
from splade_connectors.encoders.base import SparseEncoder
from splade_connectors.encoders.load import load_encoder
from splade_connectors.errors import ConfigurationError
from splade_connectors.operations.session import Session
from splade_connectors.options import ConnectOptions, PruneOptions, RetryOptions
from splade_connectors.origin import EncoderLike, Origin
from splade_connectors.store import Store

if TYPE_CHECKING:
    from splade_connectors.async_store import AsyncStore


def connect(
    target: Any,
    collection: str | None = None,
    *,
    encoder: EncoderLike = None,
    prune: PruneOptions | None = None,
    retry: RetryOptions | None = None,
    options: ConnectOptions | None = None,
    override_manifest: bool = False,
    **parameters: str,
) -> Store:
    """Open a store. No request is sent before the first verb.

    Args:
        target: "edge:PATH", "qdrant://HOST[:PORT]/COLLECTION",
            "elasticsearch://HOST[:PORT]/INDEX", …; or your own client (`QdrantClient`,
            `Elasticsearch`), which you remain responsible for closing.
        collection: with a client: name of the collection or index.
        encoder: an encoder, or anything that `load_encoder` accepts; None means the bundled model,
            loaded on first use.
        prune: which document terms are dropped before storing; None means as the index was
            written, and no pruning for a new index.
        retry: when failed requests are retried; None tries a search 6 times, none of them after 3
            minutes, and retries a write for 15 minutes.
        options: credentials, TLS, timeout, manifest file.
        override_manifest: use the index even if it was written with another model or settings.
        **parameters: target parameters: vector, dense, field, kind, routing.

    Raises:
        ConfigurationError: if no adapter knows the target or client.
        MissingDependency: with the pip command for the database's client.
    """
    given = (encoder, prune, retry, options, override_manifest)
    return Store(*_open(target, collection, parameters, *given, asynchronous=False))


async def aconnect(
    target: Any,
    collection: str | None = None,
    *,
    encoder: EncoderLike = None,
    prune: PruneOptions | None = None,
    retry: RetryOptions | None = None,
    options: ConnectOptions | None = None,
    override_manifest: bool = False,
    **parameters: str,
) -> AsyncStore:
    """As `connect`, for `AsyncStore`; accepts `AsyncQdrantClient` and `AsyncElasticsearch`."""
    # Imported here because blocking programs do not need it.
    from splade_connectors.async_store import AsyncStore

    given = (encoder, prune, retry, options, override_manifest)
    return AsyncStore(*_open(target, collection, parameters, *given, asynchronous=True))


def reopened(origin: Origin) -> Store | AsyncStore:
    """Reopen a store that was pickled."""
    if not origin.asynchronous:
        return Store(*_by_url(origin))
    from splade_connectors.async_store import AsyncStore

    return AsyncStore(*_by_url(origin))


# The arguments of a store.
_Parts = tuple[Session, Opened, RetryOptions | None, Origin | None]


def _open(
    given: Any,
    collection: str | None,
    parameters: dict[str, str],
    encoder: EncoderLike,
    prune: PruneOptions | None,
    retry: RetryOptions | None,
    options: ConnectOptions | None,
    override_manifest: bool,
    *,
    asynchronous: bool,
) -> _Parts:
    options = options or ConnectOptions()
    if isinstance(given, str | Target):
        origin = Origin(
            target=_with_parameters(given, collection, parameters),
            encoder=encoder,
            prune=prune,
            retry=retry,
            options=options,
            override_manifest=override_manifest,
            asynchronous=asynchronous,
            reopened=reopened,
        )
        return _by_url(origin)
    scheme, adapter = adapter_for_client(given)
    _check_client(given, collection, asynchronous)
    target = Target(scheme=scheme, path=collection or "", parameters=parameters)
    source = _encoder_source(encoder)
    opened = adapter.wrap(given, target, Keys(source), options, asynchronous=asynchronous)
    return Session(opened.backend, source, prune, override_manifest), opened, retry, None


def _by_url(origin: Origin) -> _Parts:
    source = _encoder_source(origin.encoder)
    opened = origin.open(Keys(source))
    session = Session(opened.backend, source, origin.prune, origin.override_manifest)
    return session, opened, origin.retry, origin


def _encoder_source(encoder: EncoderLike) -> Any:
    if isinstance(encoder, SparseEncoder):
        return lambda: encoder
    return cache(lambda: load_encoder(encoder))


def _with_parameters(
    given: str | Target, collection: str | None, parameters: dict[str, str]
) -> Target:
    from dataclasses import replace

    if collection is not None:
        raise ConfigurationError("the target already names its collection; omit `collection`")
    target = parse_target(given) if isinstance(given, str) else given
    return replace(target, parameters=target.parameters | parameters)


def _check_client(client: Any, collection: str | None, asynchronous: bool) -> None:
    kind = type(client).__name__
    if not collection:
        raise ConfigurationError(f"your {kind} needs a collection name: connect(client, 'NAME')")
    if is_async_client(client) != asynchronous:
        wanted = "await aconnect(…)" if is_async_client(client) else "connect(…)"
        raise ConfigurationError(f"your {kind} needs {wanted}")
