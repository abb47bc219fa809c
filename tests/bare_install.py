"""Run in an environment with the bare package: it imports, loads nothing heavy, names what lacks."""

from __future__ import annotations

import subprocess
import sys

HEAVY = (
    "torch",
    "transformers",
    "onnxruntime",
    "qdrant_client",
    "qdrant_edge",
    "elasticsearch",
    "rich",
    "typer",
)
# Side by side with numpy's own import, so that a slow or busy machine does not matter.
MOST_TIMES_NUMPY = 4


def cpu_seconds(code: str) -> float:
    """Median CPU time of a fresh interpreter."""
    program = f"import time; {code}; print(time.process_time())"
    times = []
    for _ in range(5):
        out = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
        times.append(float(out.stdout))
    return sorted(times)[2]


def main() -> None:
    import splade_connectors

    loaded = [name for name in HEAVY if name in sys.modules]
    assert not loaded, f"import splade_connectors loads {loaded}"
    empty = cpu_seconds("pass")
    cost = cpu_seconds("import splade_connectors") - empty
    ratio = cost / (cpu_seconds("import numpy") - empty)
    assert ratio < MOST_TIMES_NUMPY, f"the import costs {ratio:.1f} times what numpy's does"

    from splade_connectors.errors import MissingDependency

    for target, line in {
        "edge:x": "pip install 'splade-connectors[qdrant]'",
        "qdrant://localhost/x": "pip install 'splade-connectors[qdrant]'",
        "elasticsearch://localhost/x": "pip install 'splade-connectors[elasticsearch]'",
    }.items():
        try:
            splade_connectors.connect(target)
        except MissingDependency as error:
            assert line in str(error), error
        else:
            raise AssertionError(f"{target} opened without its client")
    try:
        splade_connectors.load_encoder()
    except MissingDependency as error:
        assert "pip install 'splade-connectors[onnx]'" in str(error), error
    else:
        raise AssertionError("the encoder was loaded without onnxruntime")
    print(f"bare install: fine; the import costs {cost * 1000:.0f} ms of CPU, {ratio:.1f} x numpy")


if __name__ == "__main__":
    main()
