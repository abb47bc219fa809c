"""The int8 engine on the bundled model: vectors, precision, and what does not fit."""

from __future__ import annotations

import json
import logging
import shutil
from pathlib import Path

import numpy as np
import pytest

from splade_connectors import Document, EncodeOptions, SparseEncoder, load_encoder
from splade_connectors.encoders import kernels, places, sources
from splade_connectors.encoders.base import EncodeStats
from splade_connectors.encoders.engines.int8 import Int8Encoder
from splade_connectors.encoders.engines.onnx import OnnxEncoder
from splade_connectors.encoders.export.folder import export_model
from splade_connectors.encoders.export.int8 import BOUND, calibration_texts, compare
from splade_connectors.encoders.precision import (
    PRECISION_FILE,
    WEIGHTS_FILE,
    PrecisionRecord,
    read_record,
)
from splade_connectors.errors import (
    ConfigurationError,
    ManifestMismatch,
    MissingDependency,
    ModelError,
)
from splade_connectors.manifest import MANIFEST_KEY
from splade_connectors.operations.attach.verify import is_same_vector
from splade_connectors.testing import MemoryStore
from splade_connectors.testing.memory import Collection
from splade_connectors.vectors import SparseBatch, SparseVector

pytest.importorskip("splade_kernels", reason="`make kernels` builds splade_kernels (needs cargo)")

FOLDER = places._MODELS / places.BUNDLED
TEXTS = calibration_texts()


@pytest.fixture(scope="module")
def int8() -> SparseEncoder:
    return load_encoder(engine="int8")


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    return Path(shutil.copytree(FOLDER, tmp_path / "copied"))


@pytest.fixture
def without_kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    missing = MissingDependency(f"splade_kernels: {kernels._INSTALL}", extra="fast")
    monkeypatch.setattr(kernels, "_imported", lambda: missing)


@pytest.fixture
def undecided(monkeypatch: pytest.MonkeyPatch) -> None:
    """`auto` means what was decided for the model, not what the test run says."""
    monkeypatch.delenv("SPLADE_PRECISION", raising=False)


def assert_equal(left: SparseBatch, right: SparseBatch) -> None:
    np.testing.assert_array_equal(left.indptr, right.indptr)
    np.testing.assert_array_equal(left.indices, right.indices)
    np.testing.assert_array_equal(left.values, right.values)


def test_a_text_has_one_vector_alone_in_any_batch_and_with_any_threads(int8: SparseEncoder) -> None:
    together = int8.encode_documents(TEXTS)
    assert_equal(SparseBatch.from_vectors(int8.encode_documents([t])[0] for t in TEXTS), together)
    assert_equal(SparseBatch.from_vectors(int8.encode_queries([t])[0] for t in TEXTS), together)
    for options in (
        EncodeOptions(threads=1),
        EncodeOptions(threads=3, batch_size=2),
        EncodeOptions(max_batch_tokens=1),
    ):
        other = load_encoder(engine="int8", options=options)
        assert_equal(other.encode_documents(TEXTS[::-1])[::-1], together)


def test_int8_stays_within_the_bound_of_fp32(int8: SparseEncoder) -> None:
    found = compare(load_encoder(precision="fp32"), int8)
    record = read_record(FOLDER)
    assert record is not None
    assert found.loss <= BOUND
    assert record.precision == "int8"
    # Measured again: fp32 differs in its last digits from processor to processor.
    assert record.loss == pytest.approx(found.loss, abs=2e-4)


def test_padded_rows_give_the_same_weights(int8: SparseEncoder) -> None:
    assert isinstance(int8, Int8Encoder)
    rows = [np.array([101, 2129, 2079, 102]), np.array([101, 17404, 102])]
    ids, mask = np.zeros((2, 4), np.int64), np.zeros((2, 4), np.int64)
    for at, row in enumerate(rows):
        ids[at, : len(row)], mask[at, : len(row)] = row, 1
    dense = int8.forward(ids, mask)
    sparse = int8._vectors(rows)
    assert dense.shape == (2, 30_522)
    for row, vector in zip(dense, sparse, strict=True):
        np.testing.assert_allclose(row[vector.indices], vector.values, rtol=1e-6)


def test_passages_truncation_and_counts_are_as_in_fp32(int8: SparseEncoder) -> None:
    long = " ".join(TEXTS)
    for long_text in ("truncate", "passages"):
        options = EncodeOptions(long_text=long_text, max_length=64)  # type: ignore[arg-type]
        counted = []
        for engine in ("int8", "onnx"):
            stats = EncodeStats()
            encoder = load_encoder(engine=engine, options=options)  # type: ignore[arg-type]
            encoder.encode_documents([long, "short"], stats=stats)
            counted.append(stats)
        assert counted[0] == counted[1]
        assert counted[0].texts == 2


def test_a_text_of_a_million_characters_and_none_at_all(int8: SparseEncoder) -> None:
    found = int8.encode_documents(["volcano " * 125_000, "", "volcano"])
    assert [len(vector) > 0 for vector in found] == [True, True, True]
    assert len(int8.encode_documents([])) == 0
    assert len(int8.encode_queries([])) == 0


def test_many_texts_are_tokenized_ahead_and_stay_in_order(
    int8: SparseEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    from splade_connectors.encoders import tokenizing

    expected = int8.encode_documents(TEXTS)
    monkeypatch.setattr(tokenizing, "_TOKENIZER_CHARACTERS", 600)
    seen: list[int] = []
    stats = EncodeStats()
    found = int8.encode_documents(
        TEXTS, stats=stats, on_progress=lambda progress: seen.append(progress.done)
    )
    assert_equal(found, expected)
    assert seen == sorted(seen)
    assert seen[-1] == stats.texts == len(TEXTS)


def test_queries_are_remembered_for_one_length_only(int8: SparseEncoder) -> None:
    encoder = load_encoder(engine="int8", options=EncodeOptions(query_cache=4))
    first = encoder.encode_queries(TEXTS[8:10])
    assert_equal(encoder.encode_queries(TEXTS[8:10]), first)
    shorter = encoder.fitted(16, "truncate")
    assert len(shorter.encode_queries(TEXTS[8:9])[0]) != len(first[0])


# What `auto` is, and who follows whom.


@pytest.mark.usefixtures("undecided")
def test_auto_is_what_was_decided_for_the_model(copied: Path) -> None:
    assert load_encoder().spec.precision == "int8"
    record = json.loads((copied / PRECISION_FILE).read_text())
    (copied / PRECISION_FILE).write_text(json.dumps(record | {"precision": "fp32"}))
    assert isinstance(load_encoder(copied), OnnxEncoder)
    (copied / PRECISION_FILE).unlink()
    assert isinstance(load_encoder(copied), OnnxEncoder)


@pytest.mark.usefixtures("undecided", "without_kernels")
def test_without_the_kernels_everything_runs_in_fp32_and_it_is_said_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    kernels._say_once.cache_clear()
    caplog.set_level(logging.INFO, "splade_connectors")
    assert isinstance(load_encoder(), OnnxEncoder)
    assert isinstance(load_encoder(), OnnxEncoder)
    said = [record.getMessage() for record in caplog.records if "slower" in record.getMessage()]
    assert said == [
        "splade-tiny runs on ONNX Runtime in fp32, several times slower than with: pip install "
        "'splade-connectors[fast]' (in a checkout: make kernels)"
    ]


@pytest.mark.usefixtures("without_kernels")
def test_int8_without_the_kernels_names_the_pip_line() -> None:
    for arguments in ({"engine": "int8"}, {"precision": "int8"}):
        with pytest.raises(MissingDependency, match=r"pip install 'splade-connectors\[fast\]'"):
            load_encoder(**arguments)  # type: ignore[arg-type]


@pytest.mark.usefixtures("undecided")
def test_kernels_of_another_version_are_warned_of_and_not_used(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    import splade_kernels

    monkeypatch.setattr(splade_kernels, "__version__", "9.3.0")
    kernels._imported.cache_clear()
    try:
        assert isinstance(load_encoder(), OnnxEncoder)
        assert "int8 needs splade_kernels 0.1, but 9.3.0 is installed" in caplog.text
        with pytest.raises(MissingDependency, match=r"needs splade_kernels 0\.1, but 9\.3\.0 is"):
            load_encoder(engine="int8")
    finally:
        kernels._imported.cache_clear()


@pytest.mark.usefixtures("undecided")
def test_an_encoder_follows_the_precision_of_an_index_unless_one_was_asked_for() -> None:
    free = load_encoder()
    followed = free.fitted(free.spec.max_length, "truncate", None, "fp32")
    assert isinstance(followed, OnnxEncoder)
    assert followed.spec.precision == "fp32"
    assert free.fitted(free.spec.max_length, "truncate", None, "int8") is free
    asked = load_encoder(precision="int8")
    assert asked.fitted(asked.spec.max_length, "truncate", None, "fp32") is asked


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (
            {"precision": "int4"},
            "precision must be 'fp32', 'int8', 'fp16', 'bf16' or 'auto', not 'int4'",
        ),
        (
            {"engine": "onnx", "precision": "int8"},
            "engine='onnx' computes in fp32, not in int8: omit one of the two",
        ),
        (
            {"engine": "int8", "precision": "fp32"},
            "engine='int8' computes in int8, not in fp32: omit one of the two",
        ),
        (
            {"engine": "int8", "device": "cuda"},
            "engine='int8' runs only on the CPU, not on 'cuda': omit one of the two",
        ),
        (
            {"engine": "onnx", "device": "mps"},
            "engine='onnx' runs on 'cpu', 'cuda' or 'cuda:N', not on 'mps'",
        ),
        (
            {"engine": "onnx", "device": "cuda"},
            "the installed onnxruntime runs only on CPUs: pip uninstall onnxruntime, then "
            "pip install onnxruntime-gpu",
        ),
        (
            {"engine": "onnx", "precision": "fp16"},
            "engine='onnx' computes in fp32, not in fp16: omit one of the two",
        ),
    ],
)
def test_what_does_not_fit_together_is_one_sentence(
    arguments: dict[str, str], sentence: str
) -> None:
    with pytest.raises(ConfigurationError) as caught:
        load_encoder(**arguments)  # type: ignore[arg-type]
    assert str(caught.value) == sentence


@pytest.mark.usefixtures("undecided")
def test_the_environment_says_what_auto_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPLADE_PRECISION", "fp32")
    assert load_encoder().spec.precision == "fp32"
    monkeypatch.setenv("SPLADE_PRECISION", "int4")
    with pytest.raises(ConfigurationError, match="SPLADE_PRECISION must be"):
        load_encoder()


# Damage.


def test_damaged_weights_are_one_sentence(copied: Path) -> None:
    weights = copied / WEIGHTS_FILE
    data = bytearray(weights.read_bytes())
    data[len(data) // 2] ^= 1
    weights.write_bytes(data)
    with pytest.raises(ModelError, match=r"does not match precision\.json beside it"):
        load_encoder(copied, engine="int8")
    weights.unlink()
    with pytest.raises(ModelError, match=r"has no int8 weights \(model\.splade\)"):
        load_encoder(copied, engine="int8")


def test_weights_that_only_the_kernels_can_judge_are_one_sentence(copied: Path) -> None:
    from splade_connectors.encoders.model_files import file_hash

    weights = copied / WEIGHTS_FILE
    weights.write_bytes(weights.read_bytes()[:1000])
    record = json.loads((copied / PRECISION_FILE).read_text())
    record["weights"] = file_hash(weights)
    (copied / PRECISION_FILE).write_text(json.dumps(record))
    with pytest.raises(ModelError, match="cannot be loaded; they may be damaged, or from another"):
        load_encoder(copied, engine="int8")


@pytest.mark.parametrize(
    "damage", ["{", '{"precision": "int8"}', '{"precision": "no", "bound": 1}']
)
def test_a_damaged_record_is_one_sentence(copied: Path, damage: str) -> None:
    (copied / PRECISION_FILE).write_text(damage)
    with pytest.raises(ModelError, match=r"precision\.json is damaged"):
        load_encoder(copied, engine="int8")


def test_a_head_of_another_width_than_the_vocabulary_is_refused(copied: Path) -> None:
    path = copied / "splade_connectors.json"
    about = json.loads(path.read_text())
    about["spec"]["vocabulary"] = 30_600
    path.write_text(json.dumps(about))
    with pytest.raises(ModelError, match="head of 30522 terms, but splade-tiny has a vocab"):
        load_encoder(copied, engine="int8")


# Exports.


def test_an_export_needs_nothing_else_and_says_what_it_loses(
    copied: Path, tmp_path: Path, int8: SparseEncoder
) -> None:
    record = export_model(copied, tmp_path / "out", precision="int8")
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names == {"model.splade", "precision.json", "splade_connectors.json", "tokenizer.json"}
    assert read_record(tmp_path / "out") == record
    again = load_encoder(tmp_path / "out", precision="int8")
    assert_equal(again.encode_documents(TEXTS[:4]), int8.encode_documents(TEXTS[:4]))


@pytest.mark.usefixtures("undecided", "without_kernels")
def test_an_int8_export_without_the_kernels_says_what_to_install(
    copied: Path, tmp_path: Path
) -> None:
    export_model(copied, tmp_path / "out", precision="int8")
    with pytest.raises(MissingDependency, match=r"the int8 encoder needs splade_kernels: pip"):
        load_encoder(tmp_path / "out")


def test_an_export_goes_nowhere_where_something_is(copied: Path) -> None:
    with pytest.raises(ConfigurationError, match="already exists"):
        export_model(None, copied)
    with pytest.raises(ConfigurationError, match="precision must be"):
        export_model(None, copied / "new", precision="int4")  # type: ignore[arg-type]


def test_a_loss_beyond_the_bound_is_fp32_unless_forced(
    copied: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from splade_connectors.encoders.export import folder as exporting

    def measured(source: sources.Source, out: Path, force: bool) -> PrecisionRecord:
        shutil.copy(copied / WEIGHTS_FILE, out)
        precision = "int8" if force else "fp32"
        return PrecisionRecord(
            precision=precision, loss=0.02, bound=BOUND, weights="0", forced=force
        )  # type: ignore[arg-type]

    monkeypatch.setattr(exporting, "_write_int8", measured)
    with pytest.raises(ModelError) as caught:
        export_model(None, tmp_path / "refused", precision="int8")
    assert str(caught.value) == (
        "splade-tiny loses 0.0200 in int8 (1 - the smallest cosine to fp32 over the calibration "
        "texts), more than the bound of 0.005; force=True (--force) exports it anyway"
    )
    assert list(tmp_path.glob("refused*")) == []
    assert export_model(None, tmp_path / "auto").precision == "fp32"
    assert isinstance(load_encoder(tmp_path / "auto"), OnnxEncoder)
    assert not (tmp_path / "auto" / WEIGHTS_FILE).exists()
    assert export_model(None, tmp_path / "forced", precision="int8", force=True).forced


# Indices.


def documents() -> list[Document]:
    return [
        Document(id=str(at), text=text, payload={"text": text}) for at, text in enumerate(TEXTS)
    ]


def test_writing_follows_the_index_and_queries_may_be_of_either(int8: SparseEncoder) -> None:
    collection = Collection()
    MemoryStore(int8, collection=collection).index(documents())
    auto, fp32 = load_encoder(), load_encoder(precision="fp32")
    assert auto.spec.precision == "fp32"  # as tests have it

    following = MemoryStore(auto, collection=collection)
    manifest = following.inspect().manifest
    assert manifest is not None
    assert manifest.precision == "int8"
    following.index(documents()[:3])
    assert following.verify(everything=True, recheck=True).different_count == 0
    [stored] = following.get(["0"], with_vectors=True)
    assert stored.vector is not None
    assert_equal(
        SparseBatch.from_vectors([stored.vector]), int8.encode_documents([documents()[0].text])
    )

    asked = MemoryStore(fp32, collection=collection)
    assert asked.search("how do vaccines work", limit=1)[0].id == "0"
    with pytest.raises(ManifestMismatch, match="precision: the index has 'int8', you have 'fp32'"):
        asked.index(documents()[:1])


@pytest.mark.usefixtures("without_kernels")
def test_an_int8_index_is_searched_without_the_kernels_but_not_written_to() -> None:
    collection = Collection()
    store = MemoryStore(load_encoder(), collection=collection)
    store.index(documents())
    collection.metadata[MANIFEST_KEY]["splade"]["precision"] = "int8"
    store = MemoryStore(load_encoder(), collection=collection)
    assert store.search("how do vaccines work", limit=1)[0].id == "0"
    with pytest.raises(MissingDependency, match=r"pip install 'splade-connectors\[fast\]'"):
        store.index(documents()[:1])


def test_what_counts_as_the_same_vector_is_narrower_in_int8() -> None:
    vector = SparseVector.from_pairs({1: 0.5, 7: 0.01})[0]
    near = SparseVector.from_pairs({1: 0.5, 7: 0.0105})[0]
    assert is_same_vector(vector, near, "float32", "fp32")
    assert not is_same_vector(vector, near, "float32", "int8")
    assert is_same_vector(vector, vector, "float32", "int8")
