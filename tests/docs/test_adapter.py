"""The example of an adapter passes the suite that every store passes."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any

import pytest

from splade_connectors import SparseEncoder, Store, filters
from splade_connectors.testing import StoreContract
from tests.docs.blocks import ROOT


def load() -> Any:
    path = ROOT / "examples" / "sqlite_adapter.py"
    spec = importlib.util.spec_from_file_location("sqlite_adapter", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look there
    spec.loader.exec_module(module)
    return module


class TestSqlite(StoreContract):
    @pytest.fixture(autouse=True)
    def _file(self, tmp_path: Path) -> None:
        self._path = tmp_path / "articles.db"

    def make_store(self, encoder: SparseEncoder) -> Store:
        store: Store = load().open_store(str(self._path), encoder)
        return store

    def filter_for(self, field: str, value: str) -> Any:
        return filters.Equals(field, value)
