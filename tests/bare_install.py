"""Run where the bare package is installed: it imports, loads nothing heavy, names what lacks."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable

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
    sys.stdout.write(
        f"bare install: fine; the import costs {ratio:.2f} times the CPU of numpy's, with connect "
        f"and load_encoder {whole:.2f} times (numpy's own import included)\n"
    )


if __name__ == "__main__":
    main()
