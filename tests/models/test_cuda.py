"""Half precision and GPUs: the vectors of fp32 within a stated bound, and never all logits.

What needs a GPU is skipped without one; benchmarks/gpu.py has the same figures with speeds.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from splade_connectors import EncodeOptions, SparseBatch, SparseEncoder, load_encoder
from splade_connectors.encoders.export.int8 import compare
from splade_connectors.options import Precision
from tests.models.compare import assert_same, dense
from tests.models.small import POSITIONS, TERMS, TEXTS, model_folder

_INSTALL = "pip install 'splade-connectors[test-models]'"
torch = pytest.importorskip("torch", reason=_INSTALL)
pytest.importorskip("transformers", reason=_INSTALL)

pytestmark = pytest.mark.models
needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")

SAMPLE = Path(__file__).parent.parent.parent / "splade_connectors" / "sample" / "corpus.jsonl"
VOCABULARY = 30_522
HALF: tuple[Precision, ...] = ("fp16", "bf16")
# 1 - the smallest cosine to fp32, splade-tiny. Found on an H100: 2e-6 and 6e-5.
LOSS = {"fp16": 1e-5, "bf16": 5e-4}


@pytest.fixture(scope="module")
def texts() -> list[str]:
    rows = map(json.loads, SAMPLE.read_text(encoding="utf-8").splitlines())
    return [f"{row['title']} {row['text']}" for row in rows]


def _on_gpu(weights: Path, precision: str = "auto") -> SparseEncoder:
    return load_encoder(weights, device="cuda", precision=precision)  # type: ignore[arg-type]


@pytest.mark.parametrize("precision", HALF)
def test_half_precision_is_near_fp32_on_the_cpu_too(tmp_path: Path, precision: Precision) -> None:
    folder = model_folder(tmp_path / "small")
    exact = load_encoder(folder, engine="torch", device="cpu")
    half = load_encoder(folder, engine="torch", device="cpu", precision=precision)
    assert half.spec.precision == precision
    given = [text for text in TEXTS if len(text) < POSITIONS]
    left = dense(exact.encode_documents(given), len(TERMS))
    right = dense(half.encode_documents(given), len(TERMS))
    assert not np.array_equal(left, right)
    assert np.abs(left - right).max() < {"fp16": 3e-2, "bf16": 1.5e-1}[precision]


@needs_gpu
def test_fp32_on_the_gpu_is_fp32_on_the_cpu(weights: Path, texts: list[str]) -> None:
    options = EncodeOptions(max_length=256)
    found = [
        load_encoder(
            weights, engine="torch", device=device, precision="fp32", options=options
        ).encode_documents(texts)
        for device in ("cuda", "cpu")
    ]
    assert_same(*(dense(batch, VOCABULARY) for batch in found))


@needs_gpu
@pytest.mark.parametrize("precision", HALF)
def test_half_precision_on_the_gpu_loses_little(weights: Path, precision: Precision) -> None:
    exact = load_encoder(weights, engine="torch", device="cpu", precision="fp32")
    assert compare(exact, _on_gpu(weights, precision)).loss <= LOSS[precision]


@needs_gpu
def test_auto_is_fp16_there_and_follows_an_index(weights: Path) -> None:
    encoder = _on_gpu(weights)
    assert encoder.spec.precision in (*HALF, "fp32")  # fp32 where the tests ask for it
    for precision in ("fp32", "bf16"):
        followed = encoder.fitted(encoder.spec.max_length, "truncate", None, precision)
        assert followed.spec.precision == precision


@needs_gpu
@pytest.mark.parametrize(("precision", "within"), [("fp32", 1e-4), ("fp16", 1e-2)])
def test_a_text_alone_is_as_in_a_batch(
    weights: Path, texts: list[str], precision: str, within: float
) -> None:
    encoder = _on_gpu(weights, precision)
    together = dense(encoder.encode_documents(texts), VOCABULARY)
    alone = dense(
        SparseBatch.from_vectors(encoder.encode_documents([text])[0] for text in texts), VOCABULARY
    )
    assert np.abs(together - alone).max() <= within


@needs_gpu
def test_the_logits_of_a_batch_never_exist_at_once(weights: Path) -> None:
    encoder = _on_gpu(weights, "fp16")
    torch.cuda.reset_peak_memory_stats()
    encoder.encode_documents(["the heart of the matter is a long text " * 100] * 64)
    logits = 64 * 512 * VOCABULARY * 2
    assert torch.cuda.max_memory_allocated() < logits / 2


@needs_gpu
def test_onnxruntime_on_the_gpu(weights: Path, texts: list[str]) -> None:
    runtime = pytest.importorskip("onnxruntime", reason="pip install onnxruntime-gpu")
    if "CUDAExecutionProvider" not in runtime.get_available_providers():
        pytest.skip("needs onnxruntime-gpu in the place of onnxruntime")
    found = [
        load_encoder(engine="onnx", device=device, precision="fp32").encode_documents(texts)
        for device in ("cuda", "cpu")
    ]
    assert_same(*(dense(batch, VOCABULARY) for batch in found))
