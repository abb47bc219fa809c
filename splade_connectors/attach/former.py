"""What a replaced model has left behind."""

from __future__ import annotations

from typing import TYPE_CHECKING

from splade_connectors.attach.backend import attach_backend
from splade_connectors.errors import NotFound
from splade_connectors.steps import Steps

if TYPE_CHECKING:
    from splade_connectors.verbs import Verbs


def former_verbs(verbs: Verbs) -> Steps[Verbs]:
    """The verbs of the vector that was searched before the model was replaced.

    Raises:
        NotFound: when no model was replaced.
    """
    backend = attach_backend(verbs.backend)
    name = yield from backend.former()
    if name is None:
        raise NotFound(f"{verbs.backend.location} has no former vectors: no model was replaced")
    return verbs.over(backend.renamed(name))
