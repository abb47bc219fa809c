"""The compiled module. `splade_kernels` checks shapes and types before it calls it."""

from typing import Any

import numpy as np

_Array = np.ndarray[Any, np.dtype[Any]]

VERSION: str
FORMAT: str

class Model:
    """A packed model."""

    @staticmethod
    def load(file: str, path: str | None = None) -> Model: ...
    @staticmethod
    def from_bytes(data: bytes, path: str | None = None) -> Model: ...
    def encode_into(
        self,
        ids: _Array,
        offsets: _Array,
        mask: _Array | None,
        threads: int | None,
        out: _Array,
    ) -> None: ...
    def encode_sparse(
        self,
        ids: _Array,
        offsets: _Array,
        mask: _Array | None,
        threads: int | None,
        logs: int,
    ) -> tuple[bytearray, bytearray, bytearray]: ...
    @property
    def path(self) -> str: ...
    @property
    def vocabulary(self) -> int: ...
    @property
    def hidden(self) -> int: ...
    @property
    def max_tokens(self) -> int: ...
    @property
    def products_per_token(self) -> int: ...

class Linear:
    """One packed matrix."""

    def __init__(
        self, weights: _Array, scale: _Array, bias: _Array, k: int, path: str | None = None
    ) -> None: ...
    def integers_into(self, rows: _Array, threads: int | None, out: _Array) -> None: ...
    def forward_into(self, x: _Array, threads: int | None, out: _Array) -> None: ...
    def maximum_into(
        self, x: _Array, offsets: _Array, threads: int | None, out: _Array
    ) -> float: ...

def path() -> str: ...
def paths() -> list[str]: ...
def self_check(path: str) -> bool: ...
def choose(wanted: str | None, wrong: list[str]) -> tuple[str, list[str]]: ...
def limits_of(
    threads: int | None = None,
    seconds: float = 0.1,
    path: str | None = None,
    cpu_time: bool = False,
) -> tuple[float, float]: ...
def default_threads() -> int: ...
def cpu_features() -> list[str]: ...
