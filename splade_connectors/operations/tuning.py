"""The saved tuning of an index: the default fusion of its hybrid searches."""

from __future__ import annotations

from dataclasses import replace

from splade_connectors.backends.protocol import Description
from splade_connectors.errors import ConfigurationError
from splade_connectors.fusion.tuning import Tuning, no_manifest
from splade_connectors.operations.session import Session
from splade_connectors.runtime.effects import Steps


def tuning_in(seen: Description, location: str) -> Tuning | None:
    """Return the tuning saved in an index; None if there is none.

    Raises:
        ConfigurationError: if it is invalid or of a later version.
    """
    if seen.manifest is None or seen.manifest.tuning is None:
        return None
    try:
        return Tuning.from_json(seen.manifest.tuning)
    except ConfigurationError as error:
        raise ConfigurationError(
            f"the tuning in {location} cannot be used: {error}; name a fusion, or remove the "
            "tuning with store.save_tuning(None) (tune --forget)"
        ) from error


def tuning(session: Session) -> Steps[Tuning | None]:
    """As `tuning_in`, for the store's index."""
    return tuning_in((yield from session.look()), session.backend.location)


def save_tuning(session: Session, tuning: Tuning | None) -> Steps[None]:
    """Save a tuning in the manifest, replacing an earlier one; None removes it.

    Raises:
        ConfigurationError: if there is no manifest, or it names another sparse model.
    """
    # The manifest is written as a whole: read it again so as not to undo another process's change.
    manifest = (yield from session.look_again()).manifest
    where = session.backend.location
    if manifest is None:
        raise no_manifest(where)
    if tuning and tuning.model != manifest.model:
        raise ConfigurationError(
            f"the tuning is for the model {tuning.model!r}, but {where} contains vectors of "
            f"{manifest.model!r}; tune again on this index"
        )
    changed = replace(manifest, tuning=tuning.to_json() if tuning else None)
    if changed != manifest:
        session.keep((yield from session.backend.write_manifest(changed)))
