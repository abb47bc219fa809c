"""Legs in full on the command line: `--leg KIND:setting=value,…`, one for each."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from splade_connectors.cli.dense import dense_encoder
from splade_connectors.errors import ConfigurationError, InvalidVector

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
    """The legs that --leg names, in this order; models are loaded when they are needed.

    Raises:
        ConfigurationError: saying which of them is none.
    """
    return [_parsed(spec) for spec in specs]


def read_query_vector(path: Path) -> SparseVector:
    """A sparse vector that was encoded elsewhere, from a JSON file.

    {"indices": […], "values": […]} as Qdrant writes it, [{"index": …, "value": …}] as Text
    Embeddings Inference answers, or what `encode --query TEXT --ids --json` prints.

    Raises:
        ConfigurationError: when it is none of these.
    """
    from splade_connectors.vectors import SparseVector

    found = _read_json(path)
    try:
        pairs = _pairs(found)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ConfigurationError(
            f'{path} holds no sparse vector: {{"indices": […], "values": […]}}, [{{"index": …, '
            '"value": …}], or what encode --query TEXT --ids --json prints'
        ) from error
    try:
        return SparseVector.from_pairs(pairs)[0]
    except InvalidVector as error:
        raise ConfigurationError(f"the sparse vector in {path} is none: {error}") from error


def _parsed(spec: str) -> Leg:
    from splade_connectors.fusion.legs import DEFAULT_CANDIDATES

    kind, _, rest = spec.partition(":")
    if kind not in _SETTINGS:
        known = ", ".join(_SETTINGS)
        raise ConfigurationError(f"--leg {spec}: a leg is one of {known}; for example {EXAMPLE}")
    given = {}
    for part in filter(None, rest.split(",")):
        key, equals, value = part.partition("=")
        if not equals or key not in _SETTINGS[kind]:
            raise ConfigurationError(
                f"--leg {spec}: {kind} has the settings {', '.join(_SETTINGS[kind])}, not {part!r}"
            )
        given[key] = value
    name = {"name": given["name"]} if "name" in given else {}
    window = given.get("candidates", "")
    if window and not window.isdecimal():
        raise ConfigurationError(f"--leg {spec}: candidates is a whole number, not {window!r}")
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
        raise ConfigurationError("a dense leg has either model=… or vector=FILE")
    exact = given.get("exact", "no")
    if exact not in ("yes", "no"):
        raise ConfigurationError(f"exact is yes or no, not {exact!r}")
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
        raise ConfigurationError(f"{path} cannot be read as JSON: {error}") from error


def _pairs(found: Any) -> list[tuple[int, float]]:
    """(term, weight), of any of the forms."""
    if isinstance(found, list):
        return [(int(item["index"]), float(item["value"])) for item in found]
    if "terms" in found:
        return [(int(index), float(weight)) for index, weight in found["terms"].items()]
    pairs = zip(found["indices"], found["values"], strict=True)
    return [(int(index), float(value)) for index, value in pairs]
