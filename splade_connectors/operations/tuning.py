"""The fusion that an index keeps as the default of its hybrid searches."""

from __future__ import annotations

from dataclasses import replace

from splade_connectors.backends.protocol import Description
from splade_connectors.errors import ConfigurationError
from splade_connectors.fusion.tuning import Tuning, no_manifest
from splade_connectors.operations.session import Session
from splade_connectors.runtime.effects import Steps


def tuning_in(seen: Description, location: str) -> Tuning | None:
    """The tuning that an index keeps, None without one.

    Raises:
        ConfigurationError: when what is kept is none, or one of a later version.
    """
    if seen.manifest is None or seen.manifest.tuning is None:
        return None
    try:
        return Tuning.from_json(seen.manifest.tuning)
    except ConfigurationError as error:
        raise ConfigurationError(
            f"the tuning in {location} cannot be used: {error}; name a fusion, or "
            "remove it: store.save_tuning(None) (tune --forget)"
        ) from error


def tuning(session: Session) -> Steps[Tuning | None]:
    """As `tuning_in`, of the store's index."""
    return tuning_in((yield from session.look()), session.backend.location)


def save_tuning(session: Session, tuning: Tuning | None) -> Steps[None]:
    """Keep a tuning in the manifest, in place of an earlier one; None removes that.

    Raises:
        ConfigurationError: without a manifest, or when that names another sparse model.
    """
    # A manifest is written whole: what others have changed in it since is not to be undone.
    manifest = (yield from session.look_again()).manifest
    where = session.backend.location
    if manifest is None:
        raise no_manifest(where)
    if tuning and tuning.model != manifest.model:
        raise ConfigurationError(
            f"the tuning was made with the model {tuning.model!r}, {where} "
            f"holds vectors of {manifest.model!r}; tune again on this index"
        )
    changed = replace(manifest, tuning=tuning.to_json() if tuning else None)
    if changed != manifest:
        session.keep((yield from session.backend.write_manifest(changed)))
