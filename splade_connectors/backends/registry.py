"""Find adapters by scheme or client object, and name what has to be installed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from splade_connectors.backends.protocol import Adapter
from splade_connectors.errors import ConfigurationError

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

GROUP = "splade_connectors.adapters"


def adapter_for_scheme(scheme: str) -> Adapter:
    """The adapter for targets of this scheme.

    Raises:
        ConfigurationError: if none is installed; names those that are.
        MissingDependency: if its database client is not installed.
    """
    found = _entry_points()
    if scheme not in found:
        known = ", ".join(sorted(found)) or "none (is splade-connectors installed with pip?)"
        raise ConfigurationError(f"no adapter for {scheme!r}; installed adapters: {known}")
    return cast(Adapter, found[scheme].load())


def adapter_for_client(client: object) -> tuple[str, Adapter]:
    """Scheme and adapter of a database client object.

    Raises:
        ConfigurationError: if no adapter knows the object's class.
    """
    # A subclass of a client class, defined in any module, counts as that client.
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
    """Whether a client object is async: all async clients have a class named Async…."""
    return any(kind.__name__.startswith("Async") for kind in type(client).__mro__)
