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
# Above an empty interpreter, in seconds of CPU; the design asks for 0.25.
IMPORT_BUDGET_S = 0.25


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
    cost = cpu_seconds("import splade_connectors") - cpu_seconds("pass")
    assert cost < IMPORT_BUDGET_S, f"import splade_connectors takes {cost:.3f} s of CPU"

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
    print(f"bare install: fine; the import costs {cost * 1000:.0f} ms of CPU")


if __name__ == "__main__":
    main()
