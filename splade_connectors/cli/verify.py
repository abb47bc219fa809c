"""`splade-connectors verify TARGET`."""

from __future__ import annotations

from typing import Annotated

import typer

from splade_connectors.cli import common
from splade_connectors.cli.attach import print_remedy, print_verification


def command(
    target: common.TargetArgument,
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
    prune_top_k: common.PruneTopK = None,
    prune_max_ratio: common.PruneMaxRatio = None,
    model: common.Model = None,
    backend: common.Backend = "onnx",
    username: common.Username = None,
    ca_certs: common.CaCerts = None,
    client_cert: common.ClientCert = None,
    client_key: common.ClientKey = None,
    timeout: common.Timeout = 30.0,
    manifest: common.Manifest = None,
    override_manifest: common.OverrideManifest = False,
    json: common.Json = False,
) -> None:
    """Compare stored vectors with fresh encodings of the stored texts.

    Exit code 1 when a document lacks its vector, or has another one.
    """
    encoder = common.make_encoder(model, backend)
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
        common.progress_bar("verifying") as show,
    ):
        found = store.verify(
            sample=sample, everything=everything, recheck=recheck, on_progress=show
        )
    if json:
        common.print_json(found.to_json())
    else:
        print_verification(found)
        print_remedy(found, target)
    if not found.complete:
        raise typer.Exit(1)
