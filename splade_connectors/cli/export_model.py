"""`splade-connectors export-model MODEL -o DIR`."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from splade_connectors.cli import parameters, printing

if TYPE_CHECKING:
    from splade_connectors.encoders.precision import PrecisionRecord

EXAMPLES = (
    "export-model prithivida/Splade_PP_en_v1 --output my-model",
    "export-model ./my-splade --output my-splade-int8 --precision int8",
)


def command(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="Model folder or Hugging Face id.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder to create.")],
    precision: Annotated[
        str,
        typer.Option(help="Precision: fp32, int8, or auto (int8 if the measured loss is small)."),
    ] = "auto",
    force: Annotated[
        bool, typer.Option("--force", help="Use int8 even if the loss exceeds the bound.")
    ] = False,
    max_length: Annotated[
        int | None,
        typer.Option(min=8, help="Maximum number of tokens per text. Default: the model's own."),
    ] = None,
    revision: Annotated[
        str | None, typer.Option(help="Revision of the Hugging Face model.")
    ] = None,
    json: parameters.Json = False,
) -> None:
    """Export a model to a folder that needs neither torch nor the Hugging Face Hub.

    int8 weights are compared with the fp32 model on sample texts; the differences are printed and
    written to precision.json in that folder.
    """
    from splade_connectors.encoders.export.folder import export_model
    from splade_connectors.options import EncodeOptions

    record = export_model(
        model,
        output,
        precision=precision,  # type: ignore[arg-type]  # an unknown one is refused there
        force=force,
        options=EncodeOptions(max_length=max_length),
        revision=revision,
    )
    size = sum(path.stat().st_size for path in output.iterdir())
    if json:
        printing.print_json({"folder": str(output), "bytes": size} | asdict(record))
    else:
        _print(record, output, size)


def _print(record: PrecisionRecord, output: Path, size: int) -> None:
    printing.say("{}: {}, {:.1f} MB", output, record.precision, size / 1e6)
    if record.differences:
        found = record.differences
        printing.say(
            "int8 vs. fp32 on {} texts: minimum cosine {:.4f}, median {:.4f}; weights differ by at "
            "most {:.3f}; loss bound {}",
            found["texts"],
            found["smallest_cosine"],
            found["median_cosine"],
            found["largest_weight"],
            record.bound,
        )
    if record.reason:
        printing.say("int8 was not used: {}", record.reason)
