"""What the documentation shows is what happens."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests import random_models
from tests.docs.blocks import ROOT, blocks, needs, pages
from tests.docs.reader import Reader, at, differences
from tests.docs.servers import KnownServers
from tests.servers.fixtures import skip_when_unavailable

EXAMPLES = sorted((ROOT / "examples").glob("*.py"))
# Examples of a kind of model: what makes a small one of random weights, in its layout.
_OF_RANDOM_WEIGHTS: dict[str, Callable[[Path], Path]] = {
    "bert_model": random_models.bert,
    "distilbert_model": random_models.distilbert,
    "inference_free_model": random_models.inference_free,
    "multilingual_model": random_models.xlm_roberta,
    "two_sided_model": random_models.two_sided,
}


# Those that are run, those that are data, and what Sphinx itself does.
_KINDS = r"(python|console|sh|bash|output)$|(json|toml|yaml|text)$|{"
_COMMANDS = re.compile(r"^(\$|splade-connectors|pip|from|import) ", re.MULTILINE)


@pytest.fixture(scope="module")
def servers() -> Iterator[KnownServers]:
    with skip_when_unavailable(), KnownServers() as known:
        yield known


@pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(ROOT)))
def test_what_a_page_shows_is_what_happens(
    page: Path, tmp_path: Path, servers: KnownServers
) -> None:
    text = page.read_text(encoding="utf-8")
    for module in needs(text):
        pytest.importorskip(module, reason=f"the page needs {module}")
    # The page that people meet first, as a terminal does it.
    reader = Reader(text, tmp_path, servers, apart=page.name == "README.md")
    with skip_when_unavailable(), at(tmp_path):
        found = [
            f"line {block.line}: the page shows\n{block.body}but what happens is\n{now}"
            for block, now in differences(text, reader)
        ]
    servers.remove(reader.indices)
    assert not found, "\n".join(found)


@pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(ROOT)))
def test_no_block_escapes(page: Path) -> None:
    """A kind of block that the reader does not do would not be run."""
    for block in blocks(page.read_text(encoding="utf-8")):
        assert re.match(_KINDS, block.kind), f"line {block.line}: {block.kind!r}"
        if block.kind == "text":
            assert not _COMMANDS.search(block.body), f"line {block.line}"


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 150


def test_the_readme_links_to_what_is_there() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    for link in re.findall(r"\]\((?!http)([^)#]+)", text):
        assert (ROOT / link).exists(), link


@pytest.mark.parametrize("page", ["README.md", "docs/speed.md"])
def test_the_figures_of_the_benchmark_are_those_of_its_results(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    results = ROOT / "benchmarks" / "results"
    measured = json.loads((results / "encode-splade-tiny.json").read_text())["results"]
    peer = measured["sentence-transformers"]
    for row, name in {
        "this package, int8 kernels": "int8",
        "this package, ONNX Runtime": "onnx",
        "the same, its ONNX backend, dynamic int8": "sentence-transformers ONNX int8",
        "fastembed, batches of 32": "fastembed",
        "plain ONNX Runtime, dynamic int8": "onnxruntime int8",
    }.items():
        here = measured[name]
        speed = here["docs_per_s"] / peer["docs_per_s"]
        time = here["cpu_ms_per_doc"] / peer["cpu_ms_per_doc"]
        assert f"| {row} | {speed:.1f} x | {time:.2f} x |" in text


def test_the_costs_of_models_are_those_of_the_results() -> None:
    text = (ROOT / "docs" / "models.md").read_text(encoding="utf-8")
    kept = (ROOT / "benchmarks" / "results" / "model-costs.json").read_text(encoding="utf-8")
    models = json.loads(kept)["models"]
    assert len(models) >= 9
    for model in models:
        name, *figures = (
            model[key]
            for key in ("model", "products_g", "document_int8_ms", "document_fp32_ms", "query_ms")
        )
        products, int8, fp32, query = figures
        assert f"| {name} | {products} | {int8} ms | {fp32} ms | {query} ms |" in text


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_the_examples_run(path: Path, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    arguments: list[object] = []
    precision = "fp32"
    if path.stem.startswith("elasticsearch"):
        arguments = [request.getfixturevalue("elasticsearch_url")]
    if make := _OF_RANDOM_WEIGHTS.get(path.stem):
        # Without them it takes torch, which CI has not.
        pytest.importorskip("splade_kernels", reason="`make kernels` builds them (needs cargo)")
        arguments, precision = [make(tmp_path / "model")], "int8"
    done = subprocess.run(
        [sys.executable, str(path), *map(str, arguments)],
        cwd=tmp_path,
        env=os.environ | {"SPLADE_PRECISION": precision},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()


def test_every_must_hold_line_has_a_command_and_a_figure() -> None:
    text = (ROOT / "docs" / "verification.md").read_text(encoding="utf-8")
    tables = [table for table in re.split(r"\n\n+", text) if table.startswith("| ")]
    for header, _, *rows in (table.splitlines() for table in tables):
        columns = 4 if header.startswith("| what must hold | command | where |") else 2
        assert len(_cells(header)) == columns, header
        assert rows, header
        for row in rows:
            assert len(_cells(row)) == columns, row
            assert all(_cells(row)), f"an empty cell: {row}"
    assert len(tables) >= 5


def _cells(row: str) -> list[str]:
    return [cell.strip() for cell in row.strip("|").split("|")]


def test_files_named_in_the_documentation_exist() -> None:
    pages_ = [*pages(), ROOT / "docs" / "verification.md", ROOT / "benchmarks" / "README.md"]
    for name in pages_:
        text = name.read_text(encoding="utf-8")
        for found in re.findall(r"`((?:tests|benchmarks|examples|scripts|docker)/[\w./-]+)`", text):
            assert (ROOT / found).exists(), f"{name} names {found}"
