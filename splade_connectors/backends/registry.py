"""Finding adapters by scheme or client, and naming what has to be installed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from splade_connectors.backends.protocol import Adapter
from splade_connectors.errors import ConfigurationError

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

GROUP = "splade_connectors.adapters"


def adapter_for_scheme(scheme: str) -> Adapter:
    """The adapter that serves targets of this scheme.

    Raises:
        ConfigurationError: when none is installed, naming those that are.
        MissingDependency: when its database client is not installed.
    """
    found = _entry_points()
    if scheme not in found:
        known = ", ".join(sorted(found)) or "none (is splade-connectors installed with pip?)"
        raise ConfigurationError(f"no adapter for {scheme!r}; installed are: {known}")
    return cast(Adapter, found[scheme].load())


def adapter_for_client(client: object) -> tuple[str, Adapter]:
    """Scheme and adapter of a database client object.

    Raises:
        ConfigurationError: when no adapter knows the object's class.
    """
    # A subclass of a client's class, in somebody's own module, is that client too.
    modules = {kind.__module__.partition(".")[0] for kind in type(client).__mro__}
    for scheme, entry in sorted(_entry_points().items()):
        adapter = cast(Adapter, entry.load())
        if modules & set(adapter.client_modules):
            return scheme, adapter
    kind = f"{type(client).__module__}.{type(client).__qualname__}"
    raise ConfigurationError(
        f"cannot connect with a {kind}: pass a target such as 'edge:PATH', a QdrantClient or an "
        "Elasticsearch client"
    )


def _entry_points() -> dict[str, EntryPoint]:
    from importlib.metadata import entry_points

    return {entry.name: entry for entry in entry_points(group=GROUP)}


def is_async_client(client: Any) -> bool:
    """Whether a client object is of the awaiting kind, by the name all of them share."""
    return any(kind.__name__.startswith("Async") for kind in type(client).__mro__)
