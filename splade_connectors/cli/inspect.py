"""`splade-connectors inspect TARGET`."""

from __future__ import annotations

from typing import Any

from splade_connectors.cli import common, parameters, printing
from splade_connectors.shown import counted

EXAMPLES = (
    "inspect edge:articles",
    "inspect qdrant+https://qdrant.example.com/articles --json",
)


def command(
    target: parameters.TargetArgument,
    *,
    connection: parameters.Connection,
    json: parameters.Json = False,
) -> None:
    """Show server, fields, number of documents and manifest."""
    with common.open_store(target, connection) as store:
        found = store.inspect().to_json()
    if json:
        printing.print_json(found)
    else:
        _print(found)


def _print(found: dict[str, Any]) -> None:
    from splade_connectors.cli.screen import Table

    table = Table(header=False)
    table.column(style="dim")
    table.column()
    settings = found.pop("manifest")
    for name, value in found.items():
        table.row(name.replace("_", " "), _words(value))
    tuning = (settings or {}).pop("tuning", None)
    for name, value in (settings or {}).items():
        table.row(f"manifest: {name.replace('_', ' ')}", _words(value))
    if tuning is not None:
        table.row("tuning", _tuning(tuning))
    if settings is None:
        table.row("manifest", "none")
    printing.print_table(table)


def _tuning(kept: dict[str, Any]) -> str:
    """The fusion that `tune --save` stored, with its measured quality."""
    from splade_connectors.errors import ConfigurationError
    from splade_connectors.fusion.tuning import Tuning

    try:
        tuning = Tuning.from_json(kept)
    except ConfigurationError as error:
        return f"unusable: {error}"
    return (
        f"{tuning.summary()}, for the legs {', '.join(tuning.legs)}; nDCG@10 {tuning.held_out:.4f} "
        f"on {counted(tuning.queries, 'held-out query', 'held-out queries')} of "
        f"{tuning.dataset or 'an unnamed dataset'}"
    )


def _words(value: Any) -> str:
    match value:
        case None | "" | [] | {}:
            return "-"
        case bool():
            return "yes" if value else "no"
        case int():
            return f"{value:,}"
        case list():
            return ", ".join(map(str, value))
        case dict():
            return ", ".join(f"{name or '(unnamed)'}: {entry}" for name, entry in value.items())
    return str(value)
