"""`splade-connectors verify TARGET`."""

from __future__ import annotations

from typing import Annotated

import typer

from splade_connectors.cli import common, parameters, printing, progress
from splade_connectors.cli.attach import print_remedy, print_verification


def command(
    target: parameters.TargetArgument,
    sample: Annotated[int, typer.Option(min=1, help="Documents drawn at random.")] = 100,
    everything: Annotated[
        bool,
        typer.Option(
            "--all",
            help="Every document: by the hash of its text where it carries one, else by encoding.",
        ),
    ] = False,
    recheck: Annotated[
        bool, typer.Option("--recheck", help="Every document, by encoding its text.")
    ] = False,
    prune_top_k: parameters.PruneTopK = None,
    prune_max_ratio: parameters.PruneMaxRatio = None,
    model: parameters.Model = None,
    engine: parameters.Engine = None,
    precision: parameters.Precision = "auto",
    username: parameters.Username = None,
    ca_certs: parameters.CaCerts = None,
    client_cert: parameters.ClientCert = None,
    client_key: parameters.ClientKey = None,
    timeout: parameters.Timeout = 30.0,
    manifest: parameters.Manifest = None,
    override_manifest: parameters.OverrideManifest = False,
    json: parameters.Json = False,
) -> None:
    """Compare stored vectors with fresh encodings of the stored texts.

    Exit code 1 when a document lacks its vector, or has another one.
    """
    encoder = common.make_encoder(model, engine, precision)
    with (
        common.open_store(
            target,
            encoder,
            username=username,
            ca_certs=ca_certs,
            client_cert=client_cert,
            client_key=client_key,
            timeout=timeout,
            manifest=manifest,
            override_manifest=override_manifest,
            prune=common.prune_options(prune_top_k, prune_max_ratio),
        ) as store,
        progress.progress_bar("verifying") as show,
    ):
        found = store.verify(
            sample=sample, everything=everything, recheck=recheck, on_progress=show
        )
    if json:
        printing.print_json(found.to_json())
    else:
        print_verification(found)
        print_remedy(found, target)
    if not found.complete:
        raise typer.Exit(1)
