"""Models of other people in int8: every family, what `auto` decides, and exports."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from splade_connectors import EncodeOptions, SparseEncoder, load_encoder
from splade_connectors.encoders.engines.int8 import Int8Encoder
from splade_connectors.encoders.engines.onnx import OnnxEncoder
from splade_connectors.encoders.export import int8 as int8_export
from splade_connectors.encoders.export.folder import export_model
from splade_connectors.encoders.precision import PRECISION_FILE
from splade_connectors.errors import ModelError
from tests.models.compare import Dense, dense
from tests.models.folders import VOCABULARY, random_model, save

_INSTALL = "pip install 'splade-connectors[test-models]'"
torch = pytest.importorskip("torch", reason=_INSTALL)
pytest.importorskip("transformers", reason=_INSTALL)
pytest.importorskip("onnx", reason=_INSTALL)
pytest.importorskip("splade_kernels", reason="`make kernels` builds splade_kernels (needs cargo)")

pytestmark = pytest.mark.models

TEXTS = ["how do vaccines work", "heart", "bread is baked in an oven " * 40]
# Random models amplify rounding as trained ones do not: far above what a mistake would leave.
SMALLEST_COSINE = 0.98


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of the test's own, and `auto` as users have it."""
    monkeypatch.delenv("SPLADE_PRECISION", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "splade-connectors" / "models"


@pytest.fixture
def bert(tmp_path: Path) -> Path:
    return save(tmp_path / "tiny", random_model())


def encoded(encoder: SparseEncoder, vocabulary: int = VOCABULARY) -> Dense:
    return dense(encoder.encode_documents(TEXTS), vocabulary)


def cosines(left: Dense, right: Dense) -> Dense:
    lengths = np.linalg.norm(left, axis=1) * np.linalg.norm(right, axis=1)
    found: Dense = (left * right).sum(axis=1) / lengths
    return found


@pytest.mark.parametrize(
    "kind",
    ["BertForMaskedLM", "DistilBertForMaskedLM", "RobertaForMaskedLM", "ModernBertForMaskedLM"],
)
def test_every_family_is_near_its_model_in_fp32(tmp_path: Path, kind: str) -> None:
    folder = save(tmp_path / "tiny", random_model(kind))
    int8 = load_encoder(folder, engine="int8")
    fp32 = load_encoder(folder, engine="torch", device="cpu")
    assert int8.spec.max_length == fp32.spec.max_length
    assert cosines(encoded(int8), encoded(fp32)).min() > SMALLEST_COSINE


@pytest.mark.parametrize("vocabulary", [70_000, 210_000])
def test_large_vocabularies(tmp_path: Path, vocabulary: int) -> None:
    folder = save(tmp_path / "tiny", random_model(vocab_size=vocabulary))
    int8 = encoded(load_encoder(folder, engine="int8"), vocabulary)
    fp32 = encoded(load_encoder(folder, engine="torch", device="cpu"), vocabulary)
    assert np.flatnonzero(int8.max(axis=0))[-1] > vocabulary - 100
    assert cosines(int8, fp32).min() > SMALLEST_COSINE


def test_two_logarithms_need_no_other_weights(bert: Path) -> None:
    once = encoded(load_encoder(bert, engine="int8"))
    twice = encoded(load_encoder(bert, engine="int8", activation="log1p_log1p"))
    np.testing.assert_allclose(np.log1p(once), twice, atol=1e-6)


def test_auto_is_decided_once_recorded_and_followed(
    bert: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = load_encoder(bert)
    [record] = [json.loads(path.read_text()) for path in cache.glob(f"*/{PRECISION_FILE}")]
    assert record["precision"] == first.spec.precision
    assert (record["loss"] <= record["bound"]) == (first.spec.precision == "int8")
    monkeypatch.setattr(int8_export, "compare", lambda *_: pytest.fail("measured again"))
    assert load_encoder(bert).spec == first.spec


@pytest.mark.parametrize(("bound", "engine"), [(2.0, Int8Encoder), (0.0, OnnxEncoder)])
def test_the_bound_decides(
    bert: Path, monkeypatch: pytest.MonkeyPatch, bound: float, engine: type[SparseEncoder]
) -> None:
    monkeypatch.setattr(int8_export, "BOUND", bound)
    assert isinstance(load_encoder(bert), engine)
    assert isinstance(load_encoder(bert, precision="int8"), Int8Encoder)


def test_a_family_that_the_kernels_do_not_know_runs_in_fp32(tmp_path: Path, cache: Path) -> None:
    folder = save(tmp_path / "tiny", random_model("MPNetForMaskedLM"))
    assert isinstance(load_encoder(folder), OnnxEncoder)
    [record] = [json.loads(path.read_text()) for path in cache.glob(f"*/{PRECISION_FILE}")]
    assert record["precision"] == "fp32"
    assert "cannot run in int8" in record["reason"]
    with pytest.raises(ModelError, match="cannot run in int8"):
        load_encoder(folder, engine="int8")
    with pytest.raises(ModelError, match="cannot run in int8"):
        export_model(folder, tmp_path / "out", precision="int8")
    assert export_model(folder, tmp_path / "auto").precision == "fp32"
    assert (
        encoded(load_encoder(tmp_path / "auto")).tolist() == encoded(load_encoder(folder)).tolist()
    )


def test_an_export_is_the_model_with_its_length(bert: Path, tmp_path: Path) -> None:
    options = EncodeOptions(max_length=48)
    record = export_model(bert, tmp_path / "out", precision="int8", force=True, options=options)
    assert record.differences is not None
    assert record.differences["texts"] == len(int8_export.calibration_texts())
    exported = load_encoder(tmp_path / "out")
    assert isinstance(exported, Int8Encoder)
    assert exported.spec.max_length == 48
    original = load_encoder(bert, engine="int8", options=options)
    assert encoded(exported).tolist() == encoded(original).tolist()


def test_a_conversion_that_failed_leaves_nothing(bert: Path, tmp_path: Path) -> None:
    (bert / "model.safetensors").write_bytes((bert / "model.safetensors").read_bytes()[:5000])
    with pytest.raises(ModelError):
        export_model(bert, tmp_path / "out", precision="int8")
    assert list(tmp_path.glob("out*")) == []
