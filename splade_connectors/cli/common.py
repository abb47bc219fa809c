"""Options that several commands share, and how they print."""

from __future__ import annotations

import json
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rich.console import Console

    from splade_connectors.encoders.base import SparseEncoder
    from splade_connectors.options import OnProgress
    from splade_connectors.store import Store

TargetArgument = Annotated[
    str,
    typer.Argument(
        metavar="TARGET",
        show_default=False,
        help="edge:PATH, qdrant://HOST/COLLECTION, elasticsearch://HOST/INDEX",
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
    int | None, typer.Option(min=8, help="Most tokens of a text; the model's own when left away.")
]
LongText = Annotated[
    str, typer.Option(help="Longer texts: truncate, or windows (overlapping, maximum over them).")
]


def make_encoder(
    model: str | None,
    backend: str,
    *,
    batch_size: int = 64,
    threads: int | None = None,
    max_length: int | None = None,
    long_text: str = "truncate",
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


@contextmanager
def open_store(
    target: str,
    encoder: SparseEncoder | None = None,
    *,
    username: str | None = None,
    ca_certs: str | None = None,
    timeout: float = 30.0,
    manifest: str | None = None,
    override_manifest: bool = False,
    **more: Any,
) -> Iterator[Store]:
    """The store that the options name, closed at the end."""
    from splade_connectors.backend import ConnectOptions
    from splade_connectors.connect import connect

    options = ConnectOptions(
        username=username, ca_certs=ca_certs, timeout_s=timeout, manifest_file=manifest
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
    )
    with Progress(*columns, console=screen, transient=True, disable=not screen.is_terminal) as bar:
        task = bar.add_task(label, total=None, done=0, rate="-")

        def show(step: Any) -> None:
            seconds = bar.tasks[0].elapsed or 0
            share = step.done / step.total if step.total else (fraction() if fraction else None)
            rate = f"{step.done / seconds:.0f}" if seconds else "-"
            total = None if share is None else 1.0
            bar.update(task, total=total, completed=share or 0.0, done=step.done, rate=rate)

        yield show
