"""Legs spelled out on the command line: one `--leg KIND:setting=value,…` each."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from splade_connectors.cli.dense import dense_encoder
from splade_connectors.errors import ConfigurationError, InvalidVector
from splade_connectors.shown import reason_of

if TYPE_CHECKING:
    from splade_connectors.fusion.legs import Leg
    from splade_connectors.vectors import SparseVector

EXAMPLE = "sparse:field=second,model=FOLDER,name=second"
# Kind -> its settings.
_SETTINGS = {
    "sparse": ("field", "model", "vector", "candidates", "name"),
    "dense": ("field", "model", "vector", "candidates", "exact", "name"),
    "text": ("field", "text", "candidates", "name"),
}


def parse_legs(specs: Sequence[str]) -> list[Leg]:
    """Parse the values of --leg, in order; models are loaded on first use.

    Raises:
        ConfigurationError: naming the value that is not a leg.
    """
    return [_parsed(spec) for spec in specs]


def read_query_vector(path: Path) -> SparseVector:
    """Read a sparse vector that was encoded elsewhere from a JSON file.

    Accepts {"indices": […], "values": […]} (Qdrant), [{"index": …, "value": …}] (Text Embeddings
    Inference), and the output of `encode --query TEXT --ids --json`.

    Raises:
        ConfigurationError: if it is none of these.
    """
    from splade_connectors.vectors import SparseVector

    found = _read_json(path)
    try:
        pairs = _pairs(found)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ConfigurationError(
            f'{path} is not a sparse vector: expected {{"indices": […], "values": […]}}, '
            '[{"index": …, "value": …}], or the output of encode --query TEXT --ids --json'
        ) from error
    try:
        return SparseVector.from_pairs(pairs)[0]
    except InvalidVector as error:
        raise ConfigurationError(f"the sparse vector in {path} is invalid: {error}") from error


def _parsed(spec: str) -> Leg:
    from splade_connectors.fusion.legs import DEFAULT_CANDIDATES

    kind, _, rest = spec.partition(":")
    if kind not in _SETTINGS:
        known = ", ".join(_SETTINGS)
        raise ConfigurationError(
            f"--leg {spec}: the leg must be one of {known}, for example {EXAMPLE}"
        )
    given = {}
    for part in filter(None, rest.split(",")):
        key, equals, value = part.partition("=")
        if not equals or key not in _SETTINGS[kind]:
            raise ConfigurationError(
                f"--leg {spec}: unknown setting {part!r}; a {kind} leg takes "
                f"{', '.join(_SETTINGS[kind])}"
            )
        given[key] = value
    name = {"name": given["name"]} if "name" in given else {}
    window = given.get("candidates", "")
    if window and not window.isdecimal():
        raise ConfigurationError(f"--leg {spec}: candidates must be a whole number, not {window!r}")
    candidates = int(window) if window else DEFAULT_CANDIDATES
    try:
        return _MAKERS[kind](given, {"candidates": candidates, **name})
    except ConfigurationError as error:
        raise ConfigurationError(f"--leg {spec}: {error}") from error


def _sparse(given: Mapping[str, str], shared: Mapping[str, Any]) -> Leg:
    from splade_connectors.encoders import load_encoder
    from splade_connectors.fusion.legs import SparseLeg

    vector = read_query_vector(Path(given["vector"])) if "vector" in given else None
    model = load_encoder(given["model"], queries_only=True) if "model" in given else None
    return SparseLeg(field=given.get("field"), encoder=model, vector=vector, **shared)


def _dense(given: Mapping[str, str], shared: Mapping[str, Any]) -> Leg:
    from splade_connectors.fusion.legs import DenseLeg

    if ("model" in given) == ("vector" in given):
        raise ConfigurationError("a dense leg needs either model=… or vector=FILE")
    exact = given.get("exact", "no")
    if exact not in ("yes", "no"):
        raise ConfigurationError(f"exact must be yes or no, not {exact!r}")
    vector: Any = dense_encoder(given.get("model"))
    if vector is None:
        vector = _read_json(Path(given["vector"]))
    return DenseLeg(vector=vector, field=given.get("field"), exact=exact == "yes", **shared)


def _text(given: Mapping[str, str], shared: Mapping[str, Any]) -> Leg:
    from splade_connectors.fusion.legs import TextLeg

    return TextLeg(text=given.get("text"), fields=(given.get("field", "text"),), **shared)


_MAKERS: dict[str, Callable[[Mapping[str, str], Mapping[str, Any]], Leg]] = {
    "sparse": _sparse,
    "dense": _dense,
    "text": _text,
}


def _read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"cannot read {path} as JSON: {reason_of(error)}") from error


def _pairs(found: Any) -> list[tuple[int, float]]:
    """(term, weight) pairs, from any of the accepted forms."""
    if isinstance(found, list):
        return [(_term(item["index"]), float(item["value"])) for item in found]
    if "terms" in found:
        return [(int(index), float(weight)) for index, weight in found["terms"].items()]
    pairs = zip(found["indices"], found["values"], strict=True)
    return [(_term(index), float(value)) for index, value in pairs]


def _term(index: Any) -> int:
    """A term's number; never a part of it."""
    if int(index) != index:
        raise ValueError(f"a term is a whole number, not {index!r}")
    return int(index)
