"""What tests would otherwise make again and again: the model in a process, vectors on disk."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

import splade_connectors
from splade_connectors import SparseBatch, SparseEncoder
from tests.servers.cache import cache_folder, locked

_PACKAGE = Path(splade_connectors.__file__).parent
_BUNDLED = _PACKAGE / "models"
# What vectors depend on beside the spec, which names the weights and the tokenizer by their hashes.
_RUNTIMES = ("onnxruntime", "tokenizers", "numpy")
_CODE = ("encoders", "vectors.py", "options.py")


def encoded(encoder: SparseEncoder, name: str, texts: Sequence[str]) -> SparseBatch:
    """As `encoder.encode_documents(texts)`, kept on disk for later runs and other processes.

    Args:
        encoder: with default options but for what its spec says.
        name: of the texts, for the file's name.
        texts: any.
    """
    with locked(f"vectors-{name}"):  # whoever comes second finds what the first has encoded
        path = cache_folder() / "vectors" / f"{name}-{_key(encoder, texts)}.npz"
        if not path.is_file():
            found = encoder.encode_documents(texts)
            path.parent.mkdir(exist_ok=True)
            unfinished = path.with_suffix(".unfinished")
            with unfinished.open("wb") as file:
                np.savez(file, indptr=found.indptr, indices=found.indices, values=found.values)
            unfinished.rename(path)
    with np.load(path) as kept:
        return SparseBatch(kept["indptr"], kept["indices"], kept["values"])


def _key(encoder: SparseEncoder, texts: Sequence[str]) -> str:
    """Of weights, tokenizer, texts, runtime and code: another one when any of them has changed."""
    parts = [type(encoder).__qualname__, json.dumps(encoder.spec.to_json(), sort_keys=True)]
    parts += [f"{name} {version(name)}" for name in _RUNTIMES]
    parts += [json.dumps(list(texts))]
    digest = hashlib.sha256("\n".join(parts).encode())
    for path in sorted(_code()):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:24]


def _code() -> list[Path]:
    return [
        path
        for name in _CODE
        for path in ((_PACKAGE / name).rglob("*.py") if "." not in name else [_PACKAGE / name])
    ]


def remembering(session: Callable[..., Any]) -> Callable[..., Any]:
    """`onnxruntime.InferenceSession` that makes one session of a bundled graph in this process.

    Making one is most of what loading the model costs, and each command that runs in the tests'
    process loads it. It gets an encoder of its own, with its own tokenizer. Models of a test's own
    are never remembered, and commands that run as processes begin cold.
    """
    made: dict[Any, Any] = {}

    def make(graph: str, sess_options: Any = None, **more: Any) -> Any:
        path = Path(graph).resolve()
        if not path.is_relative_to(_BUNDLED):
            return session(graph, sess_options, **more)
        threads = sess_options.intra_op_num_threads if sess_options else 0
        key = (path, threads)
        if key not in made:
            if sess_options and not threads:
                # The tests' processes share the cores; the sums are the same with one thread.
                sess_options.intra_op_num_threads = 1
            made[key] = session(graph, sess_options, **more)
        return made[key]

    return make
