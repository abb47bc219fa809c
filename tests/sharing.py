"""How tests are shared out to the processes of pytest-xdist, and what the run says at its end.

Tests of a file stay in one process, so that what its fixtures make is made once. The exceptions
stand in `_SPLIT`. Whoever is free takes the next file; the long ones come first, so that no process
is left alone with one at the end.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from typing import Any

import pytest

# `make test-full`: all tests, those of failures at full size.
FULL = os.environ.get("SPLADE_TESTS") == "full"

# File -> a pattern. Tests in whose names it matches the same text, such as the collection that they
# share, are a part of the file; parts run wherever there is room. "" makes each test a part.
_PLACE = r"edge|local|elasticsearch-[\d.]+(?:, \d shards?)?|opensearch-[\d.]+, \d shards?"
_SPLIT = {
    "tests/contract/test_contract.py": r"^Test\w+",
    "tests/faults/test_index_blocks.py": "",
    "tests/faults/test_index_kills.py": "",
    "tests/faults/test_index_network.py": "",
    "tests/faults/test_stops.py": "",
    "tests/integration/test_attach_follow.py": "",
    "tests/integration/test_cli_processes.py": "",
    "tests/integration/test_hybrid.py": _PLACE,
    "tests/integration/test_hybrid_equality.py": _PLACE,
    "tests/integration/test_hybrid_pages.py": _PLACE,
    "tests/integration/test_servers.py": "",
}

# Tests that share something beyond their file.
_TOGETHER = {
    "the mortal server": (
        "tests/faults/test_index_kills.py::test_a_server_that_is_killed",
        "tests/faults/test_index_blocks.py::test_a_disk_that_is_full",
        "tests/integration/test_elasticsearch_retries.py::test_a_server_that_",
        "tests/integration/test_attach_elasticsearch.py::test_lost_vectors_come_back_where_exp",
    ),
}

# Files that take long, the longest first.
_FIRST = (
    "tests/integration/test_scifact.py",
    "tests/integration/test_hybrid_cli.py",
    "tests/integration/test_evaluate_hybrid.py",
    "tests/integration/test_hybrid_equality.py",
    "tests/faults/test_index_kills.py",
    "tests/integration/test_servers.py",
    "tests/integration/test_attach_elasticsearch.py",
    "tests/integration/test_attach_cli.py",
    "tests/faults/test_stops.py",
    "tests/integration/test_attach_follow.py",
    "tests/integration/test_cli_processes.py",
)


def part_of(nodeid: str) -> str:
    """The tests that stay in one process with this one."""
    for part, tests in _TOGETHER.items():
        if nodeid.startswith(tests):
            return part
    file, _, test = nodeid.partition("::")
    pattern = _SPLIT.get(file)
    if pattern is None:
        return file
    if not pattern:
        return nodeid
    found = re.search(pattern, test)
    return f"{file}::{found[0] if found else ''}"


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Shares out `part_of`s; only for `--dist loadscope`, which is what the Makefile says."""
    if config.getvalue("dist") != "loadscope":
        return None
    from xdist.scheduler import LoadScopeScheduling

    class Parts(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return part_of(nodeid)

    return Parts(config, log)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Long files first, the others in their order; skips what is left to `make test-full`."""
    rank = {file: at for at, file in enumerate(_FIRST)}
    items.sort(key=lambda item: rank.get(item.nodeid.partition("::")[0], len(rank)))
    for item in items:
        mark = item.get_closest_marker("full")
        if reason := mark.args[0] if mark else _larger(item):
            item.user_properties.append(("full", reason))
        if mark and not FULL:
            item.add_marker(pytest.mark.skip(reason=f"left to make test-full: {reason}"))


def _larger(item: pytest.Item) -> str:
    """What a test without the marker `full` has in `make test-full` alone."""
    if item.get_closest_marker("models"):
        return "equality with torch, transformers and sentence-transformers"
    if item.nodeid.startswith("tests/faults/test_index_"):
        return "failures at full size: 1,000 and 5,000 documents, 20 kills, bursts of 30 s"
    return ""


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Every skip with its reason; at full size, what was run in addition. Equal ones together."""
    skipped = terminalreporter.stats.get("skipped", [])
    reasons = [str(report.longrepr[2]).removeprefix("Skipped: ") for report in skipped]
    _list(terminalreporter, "skipped, and why", reasons)
    if FULL:
        ran = [
            report
            for kind in ("passed", "failed")
            for report in terminalreporter.stats.get(kind, [])
        ]
        more = [dict(report.user_properties).get("full") for report in ran if report.when == "call"]
        _list(terminalreporter, "in addition to make test", [reason for reason in more if reason])


def _list(terminalreporter: Any, title: str, reasons: list[str]) -> None:
    if reasons:
        terminalreporter.section(title)
    for reason, count in sorted(Counter(reasons).items()):
        terminalreporter.write_line(f"{count:5}  {reason}")
