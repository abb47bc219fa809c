"""Legs and fusions given by options."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from splade_connectors.cli import parameters
from splade_connectors.cli.dense import dense_encoder
from splade_connectors.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from splade_connectors.cli.parameters import LegOptions
    from splade_connectors.evaluate.data import Judged
    from splade_connectors.fusion.legs import Leg
    from splade_connectors.fusion.spec import Fusion

FUSION_HELP = "rrf, rrf:k=60,weights=2:1, sum:weights=1:2,scale=20:1, sum:normalize=minmax, dbsf"

FusionOption = Annotated[
    str | None,
    typer.Option(
        help=f"How to fuse several legs: {FUSION_HELP}.", rich_help_panel=parameters.HYBRID
    ),
]


def make_legs(options: LegOptions, dense: Any) -> list[Leg]:
    """Return the sparse leg and those that the options add: dense, text. Weights use this order."""
    from splade_connectors.fusion.legs import DEFAULT_CANDIDATES, DenseLeg, SparseLeg, TextLeg

    window = DEFAULT_CANDIDATES if options.candidates is None else options.candidates
    legs: list[Leg] = [SparseLeg(candidates=window)] if options.sparse else []
    if dense is not None:
        legs.append(DenseLeg(vector=dense, field=options.dense_field, candidates=window))
    if options.text_fields:
        legs.append(TextLeg(fields=options.text_fields, candidates=window))
    return legs


def fusing(fusion: str | None, legs: LegOptions, **given: Any) -> dict[str, Any]:
    """Return the legs and the fusion that the options name; empty for the sparse leg alone.

    Raises:
        ConfigurationError: for options, `given` included, that need several legs.
    """
    dense = dense_encoder(legs.dense_model)
    if legs.legs:
        return _in_full(fusion, legs)
    if dense is None and not legs.text_fields:
        options = {
            "--fusion": fusion,
            "--candidates": legs.candidates,
            "--dense-field": legs.dense_field,
            "--no-sparse": None if legs.sparse else "",
            **{f"--{name}": value for name, value in given.items()},
        }
        for option, value in options.items():
            if value is not None:
                raise ConfigurationError(
                    f"{option} needs a second leg; add --dense-model, --text-field or --leg"
                )
        return {}
    made = make_legs(legs, dense)
    (chosen,) = parse_fusions([fusion], made) if fusion is not None else (None,)
    return {"legs": made, "fusion": chosen}


def _in_full(fusion: str | None, legs: LegOptions) -> dict[str, Any]:
    """The legs given by --leg, which excludes the shorter options."""
    from splade_connectors.cli.legs import parse_legs

    others = {
        "--dense-model": legs.dense_model,
        "--dense-field": legs.dense_field,
        "--text-field": legs.text_fields or None,
        "--candidates": legs.candidates,
        "--no-sparse": None if legs.sparse else "",
    }
    for option, value in others.items():
        if value is not None:
            raise ConfigurationError(
                f"--leg spells out all legs; omit {option}, or write it as another --leg"
            )
    made = parse_legs(legs.legs)
    (chosen,) = parse_fusions([fusion], made) if fusion is not None else (None,)
    return {"legs": made, "fusion": chosen}


def judged_legs(options: LegOptions, judged: Judged) -> list[Leg]:
    """Return the legs for judged queries, whose dense vectors may come from a file."""
    from splade_connectors.evaluate import QueryVectors

    if options.dense_model and options.dense_vectors:
        raise ConfigurationError("pass either --dense-model or --dense-vectors, not both")
    if options.dense_vectors:
        return make_legs(options, QueryVectors(options.dense_vectors, judged))
    dense = dense_encoder(options.dense_model)
    if dense is not None:
        dense.expect(list(judged.queries.values()))
    return make_legs(options, dense)


def warm(legs: Sequence[Leg]) -> None:
    """Encode all judged queries up front, so that no query's latency includes it."""
    from splade_connectors.encoders.dense import DenseModel

    for leg in legs:
        source = getattr(leg, "vector", None)
        if isinstance(source, DenseModel):
            source.warm()


def parse_fusions(specs: Sequence[str], legs: Sequence[Leg]) -> list[Fusion]:
    """Parse the values of --fusion, which need one weight per leg.

    Raises:
        ConfigurationError: naming the value that is not a fusion.
    """
    from splade_connectors.fusion.spec import WeightedSum, parse_fusion, scales_of, weights_of

    found = []
    names = ", ".join(leg.name for leg in legs)
    for spec in specs:
        hint = ""
        try:
            fusion = parse_fusion(spec)
            hint = f"; the legs are {names}, in this order"
            weights_of(fusion, len(legs))
            if isinstance(fusion, WeightedSum):
                scales_of(fusion, len(legs))
        except ConfigurationError as error:
            raise ConfigurationError(f"--fusion {spec}: {error}{hint}") from error
        found.append(fusion)
    return found
