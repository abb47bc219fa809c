"""A program that uses torch, forks, and uses it in the child: python -m … WHAT FOLDER.

WHAT is `encoder`, a SPLADE model on the torch engine, or `dense`, a sentence-transformers model.
Prints a JSON object: whether the child's vectors are the parent's, and how the child ended.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable
from typing import Any

import numpy as np

# A child that hangs is ended by a signal.
_MOST_S = 60
# Long ones, and many: torch spreads them over threads, which a child does not have.
TEXTS = [f"bread is baked in an oven {number} " * 20 for number in range(64)]


def main(what: str, folder: str) -> None:
    vectors = _encoder(folder) if what == "encoder" else _dense(folder)
    threads = _threads()
    before = vectors()
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        signal.alarm(_MOST_S)
        os.close(reader)
        same = bool(np.allclose(vectors(), before, atol=1e-5))
        os.write(writer, json.dumps({"same": same, "threads": _threads()}).encode())
        sys.exit(0)
    os.close(writer)
    with open(reader) as answer:
        found = json.loads(answer.read() or "null")
    status = os.waitpid(child, 0)[1]
    after = bool(np.allclose(vectors(), before, atol=1e-5))
    shown = {"child": found, "status": status, "after": after, "threads": [threads, _threads()]}
    json.dump(shown, sys.stdout)


def _threads() -> int:
    import torch

    return torch.get_num_threads()


def _encoder(folder: str) -> Callable[[], Any]:
    from splade_connectors import load_encoder

    encoder = load_encoder(folder, engine="torch", device="cpu")
    return lambda: encoder.encode_documents(TEXTS).to_scipy(encoder.spec.vocabulary).toarray()


def _dense(folder: str) -> Callable[[], Any]:
    from splade_connectors.encoders.dense import DenseModel

    model = DenseModel(folder)
    return lambda: np.asarray(model.documents(TEXTS))


if __name__ == "__main__":
    main(*sys.argv[1:])
