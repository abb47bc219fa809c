"""What `auto` is on a GPU: half precision within the bound, and the precision of an index after."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from splade_connectors import SparseBatch
from splade_connectors.encoders.devices import cuda_number, engine_of_device, on_gpu
from splade_connectors.errors import ConfigurationError, ModelError

# By how much an encoder turns vectors away from those in fp32.
Turns = dict[str, float | None]


class _Encoder:
    """One term, and a second one that grows with the loss; None overflows."""

    def __init__(self, precision: str, turn: float | None) -> None:
        self.spec = SimpleNamespace(model="small", precision=precision)
        self.turn = turn
        self.in_precision: Any = None

    def encode_documents(self, texts: list[str]) -> SparseBatch:
        if self.turn is None:
            raise ModelError("numbers beyond its range")
        return SparseBatch.from_dense(np.tile([1.0, self.turn], (len(texts), 1)))


def _made(turns: Turns) -> Any:
    return lambda precision: _Encoder(precision, turns.get(precision, 0.0))


@pytest.fixture(autouse=True)
def undecided(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SPLADE_PRECISION", raising=False)


@pytest.mark.parametrize(
    ("turns", "expected"),
    [
        ({}, "fp16"),
        ({"fp16": 0.05}, "fp16"),
        ({"fp16": None}, "bf16"),
        ({"fp16": 0.5}, "bf16"),
        ({"fp16": None, "bf16": 0.5}, "fp32"),
    ],
)
def test_auto_is_the_first_within_the_bound(turns: Turns, expected: str) -> None:
    assert on_gpu(_made(turns), _made({})).spec.precision == expected


def test_the_environment_decides_without_measuring(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPLADE_PRECISION", "bf16")
    assert on_gpu(_made({"bf16": None}), _made({})).spec.precision == "bf16"
    monkeypatch.setenv("SPLADE_PRECISION", "int8")
    with pytest.raises(
        ConfigurationError, match="int8, which runs only on the CPU: unset it, or omit"
    ):
        on_gpu(_made({}), _made({}))


def test_it_follows_an_index(caplog: pytest.LogCaptureFixture) -> None:
    on_cpu: Any = object()
    encoder = on_gpu(_made({}), lambda precision: on_cpu)
    assert encoder.in_precision is not None
    assert encoder.in_precision("fp16") is encoder
    assert encoder.in_precision("fp32").spec.precision == "fp32"
    assert encoder.in_precision("int8") is on_cpu
    assert "the index holds int8 vectors, so the model runs on the CPU" in caplog.text


def test_names_of_devices() -> None:
    assert [cuda_number(name) for name in (None, "cpu", "cuda", "cuda:3")] == [None, None, 0, 3]
    assert engine_of_device("cpu") is None
    assert engine_of_device("cuda") in ("torch", "onnx")
    for name in ("cuda:x", "mps", "cuda:-1", "cuda1"):
        with pytest.raises(ConfigurationError, match="runs on 'cpu', 'cuda' or 'cuda:N', not"):
            cuda_number(name)
