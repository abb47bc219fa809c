"""The tables of the README and of docs/speed.md are what was kept of the benchmarks."""

from __future__ import annotations

import importlib.util
import re
from types import ModuleType

import pytest

from tests.docs.blocks import DOCS, ROOT

SPEED = DOCS / "speed.md"


@pytest.fixture(scope="module")
def chart() -> ModuleType:
    spec = importlib.util.spec_from_file_location("chart", ROOT / "benchmarks" / "chart.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_readme_has_the_figures_of_the_bundled_model(chart: ModuleType) -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert chart.encoding_table("encode-splade-tiny") in text


def test_the_guarantee_of_speed_is_what_was_measured(chart: ModuleType) -> None:
    text = (DOCS / "guarantees.md").read_text(encoding="utf-8")
    results = chart.kept("encode-splade-tiny")["results"]
    ratio = results["int8"]["docs_per_s"] / results[chart.PEER]["docs_per_s"]
    assert f"is {ratio:.1f} times as fast" in text


def test_the_page_has_the_figures_of_every_run(chart: ModuleType) -> None:
    text = SPEED.read_text(encoding="utf-8")
    places = re.findall(r"<!-- ([\w-]+) -->\n\n", text)
    assert places == ["encode-splade-tiny", "encode-bert-base", "encode-bert-6-layers", "gpu-h100"]
    for name in places:
        make = chart.gpu_table if name.startswith("gpu") else chart.encoding_table
        assert f"<!-- {name} -->\n\n{make(name)}\n" in text, f"python benchmarks/chart.py: {name}"


def test_the_chart_shows_every_ratio(chart: ModuleType) -> None:
    drawn = chart.CHART.read_text(encoding="utf-8")
    for name in chart.MODELS:
        results = chart.kept(name)["results"]
        for values in results.values():
            ratio = values["docs_per_s"] / results[chart.PEER]["docs_per_s"]
            assert f"{ratio:.1f} x" in drawn, f"python benchmarks/chart.py: {name}"
