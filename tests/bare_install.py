"""Run where the bare package is installed: it imports, loads nothing heavy, names what lacks.

    python tests/bare_install.py WHEELS

WHEELS holds what pip fetches for it, which is all that queries without inference need.
"""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import splade_connectors
from splade_connectors.errors import MissingDependency

HEAVY = (
    "torch",
    "transformers",
    "onnxruntime",
    "qdrant_client",
    "qdrant_edge",
    "elasticsearch",
    "opensearchpy",
    "numpy",
    "rich",
    "typer",
)
TARGETS = {
    "edge:x": "qdrant",
    "qdrant://localhost/x": "qdrant",
    "elasticsearch://localhost/x": "elasticsearch",
    "opensearch://localhost/x": "opensearch",
}
# Side by side with numpy's own import, so that a slow or busy machine does not matter.
MOST_TIMES_NUMPY = 1.5
# Of the wheels beside our own: what a backend with an inference-free model installs.
MOST_BYTES = 40_000_000


def cpu_seconds(code: str) -> float:
    """Median CPU time of a fresh interpreter."""
    program = f"import time; {code}; print(time.process_time())"
    times = []
    for _ in range(5):
        out = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
        times.append(float(out.stdout))
    return sorted(times)[2]


def refusal(call: Callable[[], object]) -> str:
    """What a call says that lacks a dependency."""
    try:
        call()
    except MissingDependency as error:
        return str(error)
    raise AssertionError("it worked without the dependency")


def free_queries() -> None:
    """A query side of weights encodes queries where nothing runs a model."""
    runtimes = [name for name in ("onnxruntime", "torch", "splade_kernels", "scipy") if has(name)]
    assert not runtimes, f"the bare package brings {runtimes}"
    bundled = Path(splade_connectors.__file__).parent / "models" / "splade-tiny" / "tokenizer.json"
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "model"
        folder.mkdir()
        (folder / "tokenizer.json").write_bytes(bundled.read_bytes())
        (folder / "idf.json").write_text(json.dumps({"bread": 2.5, "dough": 4.0, "the": 0.25}))
        encoder = splade_connectors.load_encoder(folder, queries_only=True)
        found = encoder.encode_queries(["The bread and the dough"])[0]
        weights = dict(zip(encoder.tokens(found.indices.tolist()), found.values, strict=True))
        assert weights == {"bread": 2.5, "dough": 4.0, "the": 0.25}, weights


def has(module: str) -> bool:
    """Whether a module could be imported."""
    return importlib.util.find_spec(module) is not None


def bytes_of_wheels(folder: Path) -> int:
    """What is fetched beside our own wheel."""
    wheels = {path.name: path.stat().st_size for path in folder.glob("*.whl")}
    assert any(name.startswith("numpy-") for name in wheels), f"no wheels in {folder}"
    return sum(size for name, size in wheels.items() if not name.startswith("splade_connectors-"))


def main() -> None:
    loaded = [name for name in HEAVY if name in sys.modules]
    assert not loaded, f"import splade_connectors loads {loaded}"
    empty = cpu_seconds("pass")
    numpy = cpu_seconds("import numpy") - empty
    ratio = (cpu_seconds("import splade_connectors") - empty) / numpy
    assert ratio < MOST_TIMES_NUMPY, f"the import costs {ratio:.1f} times what numpy's does"
    whole = (cpu_seconds("from splade_connectors import connect, load_encoder") - empty) / numpy
    for target, extra in TARGETS.items():
        said = refusal(lambda target=target: splade_connectors.connect(target))
        assert f"pip install 'splade-connectors[{extra}]'" in said, said
    said = refusal(splade_connectors.load_encoder)
    assert "pip install 'splade-connectors[onnx]'" in said, said
    free_queries()
    size = bytes_of_wheels(Path(sys.argv[1]))
    assert size < MOST_BYTES, f"the wheels beside our own take {size:,} bytes"
    sys.stdout.write(
        f"bare install: fine, with queries of a model without inference, in {size / 1e6:.1f} MB of "
        f"wheels; the import costs {ratio:.2f} times the CPU of numpy's, with connect "
        f"and load_encoder {whole:.2f} times (numpy's own import included)\n"
    )


if __name__ == "__main__":
    main()
