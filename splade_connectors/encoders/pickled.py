"""Pickling encoders by the name of their model instead of its weights."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from splade_connectors.errors import ModelError
from splade_connectors.options import EncodeOptions

if TYPE_CHECKING:
    from splade_connectors.encoders.base import SparseEncoder
    from splade_connectors.encoders.spec import EncoderSpec


@dataclass(frozen=True, kw_only=True, slots=True)
class Loaded:
    """The arguments with which `load_encoder` made an encoder; a folder's path is absolute."""

    model: str | None
    engine: str | None
    precision: str
    options: EncodeOptions | None
    activation: str | None
    device: str | None
    revision: str | None
    queries_only: bool


def named_absolutely(model: str | Path | None) -> str | None:
    """The name of a model for a process that may have another working directory."""
    if model is None or not Path(model).exists():
        return None if model is None else str(model)
    return str(Path(model).absolute())


def unpickled(loaded: Loaded, spec: EncoderSpec) -> SparseEncoder:
    """Restore a pickled encoder; all encoders of a process share the model.

    Raises:
        ModelError: if the model is a different one in this process.
    """
    encoder = _loaded(loaded)
    mine = encoder.spec
    if (mine.revision, mine.tokenizer) != (spec.revision, spec.tokenizer):
        raise ModelError(
            f"{spec.model} is not the same model in this process as in the one that pickled the "
            "encoder: both need the same folder, or the same revision"
        )
    return encoder.fitted(spec.max_length, spec.long_text, spec.passage_overlap, spec.precision)


@cache
def _loaded(loaded: Loaded) -> SparseEncoder:
    # Imported here: it imports the encoders, which import this module.
    from splade_connectors.encoders.load import load_encoder

    given: dict[str, Any] = {name: getattr(loaded, name) for name in Loaded.__slots__}
    return load_encoder(given.pop("model"), **given)
