"""Where a store came from: it is opened again in the child of a fork, and from a pickle."""

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
from splade_connectors.forks import kept_for_ever
from splade_connectors.options import ConnectOptions, PruneOptions, RetryOptions

EncoderLike = SparseEncoder | str | Path | None


@dataclass(frozen=True, kw_only=True)
class Origin:
    """What a store was opened by: a target, and what `connect` was told besides."""

    target: Target
    encoder: EncoderLike
    prune: PruneOptions | None
    retry: RetryOptions | None
    options: ConnectOptions
    override_manifest: bool
    asynchronous: bool
    # Makes the store of it: it is given, because stores know this module.
    reopened: Callable[[Origin], Any]

    def open(self, keys: Keys) -> Opened:
        """A client of this process."""
        adapter = adapter_for_scheme(self.target.scheme)
        return adapter.open(self.target, keys, self.options, asynchronous=self.asynchronous)

    def without_secrets(self) -> Origin:
        """To be pickled: who opens it takes them from its own environment."""
        options = replace(self.options, api_key=None, password=None, bearer_token=None)
        return replace(self, target=replace(self.target, password=None), options=options)


def opened_in_child(opened: Opened, origin: Origin | None, keys: Keys, *, used: bool) -> Opened:
    """What the child of a fork works with instead of what its parent opened.

    Args:
        opened: by the parent.
        origin: None for a client of the user's.
        keys: of the store's encoder.
        used: whether the parent has sent anything.

    Raises:
        ConfigurationError: when a client of the user's has connections of the parent.
    """
    if opened.one_process or (origin is None and not used):
        return opened
    if origin is None:
        raise ConfigurationError(
            f"this store of {opened.backend.location} was used before this process was forked, "
            "with a client of yours, whose connections are the parent's: make client and store in "
            "the process that uses them, or open the store by its URL, which renews its client"
        )
    # Its destructor would speak of, or wait for, what is the parent's.
    kept_for_ever(opened)
    here = origin.open(keys)
    return replace(opened, send=here.send, close=here.close)


def refuse_pickling(location: str) -> Any:
    """Say why a store has no pickle.

    Raises:
        ConfigurationError: always.
    """
    raise ConfigurationError(
        f"the store of {location} cannot be pickled, because it was not opened by a URL: pickle "
        "what makes it, and connect in the process that uses it"
    )
