"""How a store was opened, so that it can be reopened in a forked child or from a pickle."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from splade_connectors.backends.feature_names import Keys
from splade_connectors.backends.protocol import Opened
from splade_connectors.backends.registry import adapter_for_scheme
from splade_connectors.backends.targets import Target
from splade_connectors.encoders.base import SparseEncoder
from splade_connectors.errors import ConfigurationError
from splade_connectors.options import ConnectOptions, PruneOptions, RetryOptions

EncoderLike = SparseEncoder | str | Path | None


@dataclass(frozen=True, kw_only=True)
class Origin:
    """The target and the other arguments of `connect` that a store was opened with."""

    target: Target
    encoder: EncoderLike
    prune: PruneOptions | None
    retry: RetryOptions | None
    options: ConnectOptions
    override_manifest: bool
    asynchronous: bool
    # Rebuilds the store; passed in because the store modules import this one.
    reopened: Callable[[Origin], Any]

    def open(self, keys: Keys) -> Opened:
        """Open a client for this process."""
        adapter = adapter_for_scheme(self.target.scheme)
        return adapter.open(self.target, keys, self.options, asynchronous=self.asynchronous)

    def without_secrets(self) -> Origin:
        """Return a copy to pickle: the unpickling process reads secrets from its environment."""
        options = replace(self.options, api_key=None, password=None, bearer_token=None)
        return replace(self, target=replace(self.target, password=None), options=options)


def opened_in_child(opened: Opened, origin: Origin | None, keys: Keys, *, used: bool) -> Opened:
    """Return what a forked child uses in place of what its parent opened.

    Args:
        opened: what the parent opened.
        origin: how it was opened; None for the user's own client.
        keys: term keys of the store's encoder.
        used: whether the parent has sent a request.

    Raises:
        ConfigurationError: if the user's own client holds the parent's connections.
    """
    if opened.one_process or (origin is None and not used):
        return opened
    if origin is None:
        raise ConfigurationError(
            f"the store of {opened.backend.location} was used with your own client before this "
            "process was forked, so the connections belong to the parent; create client and store "
            "in the process that uses them, or connect by URL, which renews its client"
        )
    here = origin.open(keys)
    return replace(opened, send=here.send, close=here.close)


def refuse_pickling(location: str) -> Any:
    """Refuse to pickle a store that wraps the user's own client.

    Raises:
        ConfigurationError: always.
    """
    raise ConfigurationError(
        f"the store of {location} cannot be pickled because it was not opened by URL; connect in "
        "the process that uses it"
    )
