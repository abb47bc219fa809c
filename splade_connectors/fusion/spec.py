"""The fusions as values. Each has one definition, which `reference` computes in numpy."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from splade_connectors.errors import ConfigurationError
from splade_connectors.numeric import is_finite
from splade_connectors.shown import counted

Weights = tuple[float, ...]
Normalize = Literal["minmax", "theoretical-minmax"]

_NORMALIZATIONS = ("minmax", "theoretical-minmax")


@dataclass(frozen=True, kw_only=True, slots=True)
class Rrf:
    """Reciprocal rank fusion: Σ w / (k + rank), rank from 1, over the legs that found the document.

    Cormack, Clarke and Büttcher, "Reciprocal Rank Fusion outperforms Condorcet and individual Rank
    Learning Methods", SIGIR 2009; the weights are the usual extension. Qdrant's own RRF counts
    ranks from 0 and weights them differently; this definition is the same on every store.

    Attributes:
        k: the rank constant, > 0; the larger, the less the first ranks stand out.
        weights: one per leg, in the order of the legs; None for equal weights.
    """

    k: float = 60.0
    weights: Weights | None = None

    def __post_init__(self) -> None:
        if not is_finite(self.k) or self.k <= 0:
            raise ConfigurationError(f"k of Rrf must be greater than 0, not {self.k!r}")
        _check_weights(self.weights)


@dataclass(frozen=True, kw_only=True, slots=True)
class WeightedSum:
    """A linear combination of scores: Σ w · s / scale; a leg without the document adds nothing.

    With `normalize`, s is first mapped to [0, 1] within the leg's candidate window:

    - "minmax": (s - min) / (max - min) over the window; 1 if all its scores are equal.
    - "theoretical-minmax": (s - least) / (max - least), with the least score that the leg can give
      at all: 0 for sparse, text and dense legs (dense similarities range from 0 to 1 here).

    Bruch, Gai and Ingber, "An Analysis of Fusion Functions for Hybrid Retrieval", TOIS 2023.

    Attributes:
        weights: one per leg, in the order of the legs; None for equal weights.
        scale: divisor of each leg's scores, > 0; None for 1.
        normalize: how scores are normalized; None takes them unchanged.
    """

    weights: Weights | None = None
    scale: Weights | None = None
    normalize: Normalize | None = None

    def __post_init__(self) -> None:
        _check_weights(self.weights)
        if self.normalize not in (None, *_NORMALIZATIONS):
            known = " or ".join(map(repr, _NORMALIZATIONS))
            raise ConfigurationError(f"normalize must be {known}, not {self.normalize!r}")
        for scale in self.scale or ():
            if not is_finite(scale) or scale <= 0:
                raise ConfigurationError(f"a scale must be greater than 0, not {scale!r}")


@dataclass(frozen=True, kw_only=True, slots=True)
class DistributionBased:
    """Distribution-based score fusion: Σ w · (s - (μ - 3σ)) / 6σ, with μ and σ of the leg's window.

    σ is the sample standard deviation (divided by n - 1), as in Qdrant; if all scores of a window
    are equal, each counts 0.5. Nothing is clipped to [0, 1]. Mazzeschi, "Distribution-Based Score
    Fusion (DBSF), a new approach to Vector Search Ranking", 2023.

    Attributes:
        weights: one per leg, in the order of the legs; None for equal weights.
    """

    weights: Weights | None = None

    def __post_init__(self) -> None:
        _check_weights(self.weights)


Fusion = Rrf | WeightedSum | DistributionBased


def weights_of(fusion: Fusion, legs: int) -> Weights:
    """One weight per leg.

    Raises:
        ConfigurationError: if the numbers of weights and legs differ.
    """
    _check_count("weight", fusion.weights, legs)
    return fusion.weights or (1.0,) * legs


def scales_of(fusion: WeightedSum, legs: int) -> Weights:
    """One scale per leg, as `weights_of`."""
    _check_count("scale", fusion.scale, legs)
    return fusion.scale or (1.0,) * legs


def parse_fusion(text: str) -> Fusion:
    """Parse the short form of a fusion, as used on the command line.

    "rrf", "rrf:k=60,weights=2:1", "sum:weights=1:10,scale=20:1", "sum:normalize=minmax", "dbsf".

    Raises:
        ConfigurationError: if the text is not a fusion.
    """
    name, _, rest = text.partition(":")
    known: dict[str, tuple[Callable[..., Fusion], set[str]]] = {
        "rrf": (Rrf, {"k", "weights"}),
        "sum": (WeightedSum, {"weights", "scale", "normalize"}),
        "dbsf": (DistributionBased, {"weights"}),
    }
    if name not in known:
        raise ConfigurationError(f"the fusion must be one of {', '.join(known)}, not {name!r}")
    make, settings = known[name]
    arguments: dict[str, object] = {}
    for part in filter(None, rest.split(",")):
        key, equals, value = part.partition("=")
        if not equals or key not in settings:
            raise ConfigurationError(
                f"{name} takes the settings {', '.join(sorted(settings))}, not {part!r}; for "
                "example rrf:k=60,weights=2:1"
            )
        arguments[key] = _parsed(key, value)
    return make(**arguments)


def format_fusion(fusion: Fusion) -> str:
    """The short form of a fusion; the inverse of `parse_fusion`."""
    parts = []
    match fusion:
        case Rrf():
            name = "rrf"
            parts.append(f"k={_number(fusion.k)}")
        case WeightedSum():
            name = "sum"
        case DistributionBased():
            name = "dbsf"
    for key in ("weights", "scale"):
        values = getattr(fusion, key, None)
        if values:
            parts.append(f"{key}={':'.join(map(_number, values))}")
    if isinstance(fusion, WeightedSum) and fusion.normalize:
        parts.append(f"normalize={fusion.normalize}")
    return f"{name}:{','.join(parts)}" if parts else name


def _number(value: float) -> str:
    """The shortest text of a number: 2 rather than 2.0."""
    return repr(float(value)).removesuffix(".0")


def _parsed(key: str, value: str) -> object:
    if key == "normalize":
        return value
    try:
        numbers = tuple(float(part) for part in value.split(":"))
    except ValueError as error:
        example = "60" if key == "k" else "2:1"
        raise ConfigurationError(
            f"{key}={value} does not consist of numbers; for example {key}={example}"
        ) from error
    if key != "k":
        return numbers
    if len(numbers) > 1:
        raise ConfigurationError(f"k={value} must be one number; weights=… takes one per leg")
    return numbers[0]


def _check_weights(weights: Weights | None) -> None:
    if weights is None:
        return
    if not all(is_finite(weight) and weight >= 0 for weight in weights):
        raise ConfigurationError(f"weights must be finite and >= 0, not {weights!r}")
    if not any(weights):
        raise ConfigurationError(f"at least one weight must be greater than 0, not {weights!r}")


def _check_count(what: str, given: Weights | None, legs: int) -> None:
    if given is not None and len(given) != legs:
        raise ConfigurationError(
            f"{counted(len(given), what)} for {counted(legs, 'leg')}: give one per leg, or none"
        )
