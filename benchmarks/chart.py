"""The chart and the tables of the documentation, from the results of `encode.py` and `gpu.py`.

    python benchmarks/chart.py [--check]

Writes docs/_static/encoding.svg (needs matplotlib) and prints the tables in Markdown; a test
compares them with the README and docs/speed.md. `--check` writes nothing.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "benchmarks" / "results"
CHART = ROOT / "docs" / "_static" / "encoding.svg"
PEER = "sentence-transformers"
# Their names in the documentation, in its order.
NAMES = {
    "int8": "this package, int8 kernels",
    "onnx": "this package, ONNX Runtime",
    "torch": "this package, torch",
    PEER: "sentence-transformers `SparseEncoder`, torch",
    f"{PEER} ONNX int8": "the same, its ONNX backend, dynamic int8",
    "fastembed": "fastembed, batches of 32",
    "onnxruntime": "plain ONNX Runtime, fp32",
    "onnxruntime int8": "plain ONNX Runtime, dynamic int8",
}
# The models of the chart: result file -> title.
MODELS = {
    "encode-splade-tiny": "splade-tiny, 4 M",
    "encode-bert-6-layers": "six layers of BERT, 67 M",
    "encode-bert-base": "BERT-base, 110 M",
}


def main() -> None:
    """Write the chart and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--check", action="store_true", help="write nothing")
    if not parser.parse_args().check:
        draw(CHART)
    for name in MODELS:
        print(f"{name}\n\n{encoding_table(name)}\n")
    print(f"gpu-h100\n\n{gpu_table('gpu-h100')}")


def kept(name: str) -> Any:
    """The kept results of a run."""
    return json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))


def encoding_table(name: str) -> str:
    """A table of ratios to sentence-transformers, with its own figures."""
    results = kept(name)["results"]
    peer = results[PEER]
    rows = ["| encoder | documents/s | CPU per document | peak memory |", "|---|---|---|---|"]
    for key in NAMES:
        if key in results:
            cells = (
                _cell(results[key], peer, "docs_per_s", "{:.1f}/s", ".1f"),
                _cell(results[key], peer, "cpu_ms_per_doc", "{:.0f} ms", ".2f"),
                _cell(results[key], peer, "peak_mib", "{:,.0f} MiB", ".2f"),
            )
            rows.append(f"| {NAMES[key]} | {' | '.join(cells)} |")
    return "\n".join(rows)


def _cell(
    values: Mapping[str, float], peer: Mapping[str, float], of: str, own: str, digits: str
) -> str:
    if values is peer:
        return f"1 ({own.format(peer[of])})"
    return f"{values[of] / peer[of]:{digits}} x"


def gpu_table(name: str) -> str:
    """A table of documents per second and device memory on a GPU."""
    rows = ["| encoder | documents/s | ratio | device memory |", "|---|---|---|---|"]
    for key, values in kept(name)["bert_base"].items():
        cells = (
            f"{values['docs_per_s']:,.0f}",
            f"{values['ratio']:.1f} x",
            f"{values['peak_device_mib']:,} MiB",
        )
        rows.append(f"| {key} | {' | '.join(cells)} |")
    return "\n".join(rows)


def draw(file: Path) -> None:
    """Draw documents per second as ratios to sentence-transformers, one panel per model."""
    import matplotlib

    matplotlib.use("svg")
    # Reproducible from the same numbers, with text that readers can search.
    matplotlib.rcParams.update({"svg.hashsalt": "splade", "svg.fonttype": "none"})
    from matplotlib import pyplot

    figure, panels = pyplot.subplots(len(MODELS), 1, figsize=(8, 7), height_ratios=[7, 3, 3])
    for panel, (name, title) in zip(panels, MODELS.items(), strict=True):
        results = kept(name)["results"]
        keys = [key for key in reversed(NAMES) if key in results]
        ratios = [results[key]["docs_per_s"] / results[PEER]["docs_per_s"] for key in keys]
        colours = ["#1f6f8b" if key in ("int8", "onnx", "torch") else "#b8b8b8" for key in keys]
        labels = [NAMES[key].replace("`", "") for key in keys]
        bars = panel.barh(labels, ratios, color=colours)
        panel.bar_label(bars, [f"{ratio:.1f} x" for ratio in ratios], padding=3)
        panel.set_title(title, loc="left", fontsize=11)
        panel.set_xlim(0, max(ratios) * 1.12)
        panel.spines[["top", "right"]].set_visible(False)
    panels[-1].set_xlabel("documents per second, sentence-transformers on torch = 1")
    figure.tight_layout()
    file.parent.mkdir(exist_ok=True)
    figure.savefig(file, metadata={"Date": None, "Creator": None})


if __name__ == "__main__":
    main()
