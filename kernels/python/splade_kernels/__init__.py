"""int8 products, the fused vocabulary head and whole encoders of SPLADE models on CPUs.

    model = Model.load("model.splade")
    offsets, terms, weights = model.encode_sparse(ids, offsets)

`README.md` beside the sources describes the computation and its accuracy.
"""

from splade_kernels._convert import convert, quantize, write_model
from splade_kernels._machine import (
    Limits,
    cpu_features,
    limits,
    path,
    paths,
    self_check,
    threads,
)
from splade_kernels._model import Linear, Model, quantize_rows
from splade_kernels._native import FORMAT, VERSION

__version__ = VERSION

__all__ = [
    "FORMAT",
    "Limits",
    "Linear",
    "Model",
    "__version__",
    "convert",
    "cpu_features",
    "limits",
    "path",
    "paths",
    "quantize",
    "quantize_rows",
    "self_check",
    "threads",
    "write_model",
]
