"""Applications that use their store before they fork: for gunicorn --preload and Celery's prefork.

`$SPLADE_TARGET` names the store, `$SPLADE_BROKER` the folder that stands for Celery's broker.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from splade_connectors import connect, load_encoder

QUERY = "why does dough rise"
store = connect(os.environ["SPLADE_TARGET"], encoder=load_encoder(engine="onnx"))
parent = os.getpid()
# What a server does to be warm: it loads the model, and connects.
store.search(QUERY)


def found() -> dict[str, Any]:
    """What a worker finds, and who it is."""
    ids = [hit.id for hit in store.search(QUERY)]
    return {"ids": ids, "process": os.getpid(), "forked": os.getpid() != parent}


def application(environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
    """For gunicorn."""
    start("200 OK", [("content-type", "application/json")])
    return [json.dumps(found()).encode()]


def celery(folder: Path) -> Any:
    """Celery over a folder: what is put into it is what workers take."""
    from celery import Celery

    app = Celery("preloaded", broker="filesystem://", backend=f"file://{folder}/results")
    app.conf.broker_transport_options = {
        "data_folder_in": f"{folder}/messages",
        "data_folder_out": f"{folder}/messages",
        "control_folder": f"{folder}/control",
    }
    for name in ("results", "messages", "control"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    return app


if "SPLADE_BROKER" in os.environ:
    app = celery(Path(os.environ["SPLADE_BROKER"]))
    app.task(name="found")(found)
