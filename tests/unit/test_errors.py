"""Errors, public names, and what an import brings with it."""

from __future__ import annotations

import ast
import dataclasses
import inspect
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import splade_connectors
from splade_connectors import IndexReport, errors
from splade_connectors.documents import Rejected

PACKAGE = Path(splade_connectors.__file__).parent
CLASSES = [
    found
    for _, found in inspect.getmembers(errors, inspect.isclass)
    if issubclass(found, BaseException) and found.__module__ == errors.__name__
]

# Fields beside the message: what a program may want to know.
FIELDS: dict[str, dict[str, Any]] = {
    "MissingDependency": {"extra": "qdrant"},
    "InvalidDocument": {"detail": "the field 'n' is 'x'"},
    "AttachRefused": {"refusals": ("a block", "no text")},
    "ManifestMismatch": {"differences": {"model": ("a", "b")}},
    "Unavailable": {"retry_after_s": 2.5},
    "RequestRejected": {"status": 413, "detail": "Preview of the value"},
    "DeletionRefused": {"report": "a report"},
    "IndexingInterrupted": {
        "report": IndexReport(written=3, rejected=[Rejected(id=7, reason="no", line=2)])
    },
}

HEAVY = {
    *("torch", "transformers", "onnxruntime", "onnx", "sentence_transformers", "huggingface_hub"),
    *("qdrant_client", "qdrant_edge", "elasticsearch", "elastic_transport", "grpc", "httpx"),
    *("pydantic", "pandas", "pyarrow", "scipy", "hypothesis", "pytest", "ir_measures"),
    *("rich", "typer"),
}


@pytest.mark.parametrize("kind", CLASSES)
def test_an_error_survives_pickling_with_its_fields(kind: type[BaseException]) -> None:
    fields = FIELDS.get(kind.__name__, {})
    error = kind("what happened", **fields)
    error.add_note("a note")
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is kind
    assert copy.args == ("what happened",)
    assert str(copy) == str(error) == "what happened"
    assert copy.__notes__ == ["a note"]
    for name, value in fields.items():
        assert getattr(copy, name) == value


@pytest.mark.parametrize("kind", CLASSES)
def test_every_field_of_an_error_has_a_default(kind: type[BaseException]) -> None:
    error = kind("what happened")
    for name, value in FIELDS.get(kind.__name__, {}).items():
        assert getattr(error, name) != value


def test_the_table_of_fields_is_complete() -> None:
    own = {
        kind.__name__: set(inspect.signature(kind.__init__).parameters) - {"self", "message"}
        for kind in CLASSES
        if "__init__" in vars(kind)
    }
    assert own == {name: set(fields) for name, fields in FIELDS.items()}


def test_every_error_but_the_interrupt_has_one_base() -> None:
    bases = {kind for kind in CLASSES if not issubclass(kind, errors.SpladeConnectorsError)}
    assert bases == {errors.IndexingInterrupted}
    assert issubclass(errors.IndexingInterrupted, KeyboardInterrupt)
    assert not issubclass(errors.IndexingInterrupted, Exception)


def test_errors_are_what_python_programmers_expect() -> None:
    assert issubclass(errors.ConfigurationError, ValueError)
    assert issubclass(errors.MissingDependency, ImportError)


def test_public_names_are_sorted_and_importable() -> None:
    names = splade_connectors.__all__
    assert names == sorted(names)
    assert len(set(names)) == len(names) <= 40
    assert names == list(splade_connectors._HOMES)
    for name in names:
        assert hasattr(splade_connectors, name)
    assert set(names) <= set(dir(splade_connectors))


def home_of(name: str) -> str:
    """Where a public name is imported from: a module that is one itself, from the package."""
    home = splade_connectors._HOMES[name]
    return "splade_connectors" if home == name else f"splade_connectors.{home}"


def test_the_type_checker_sees_the_public_names() -> None:
    """It does not run `__getattr__`: the imports written for it are the same names."""
    tree = ast.parse(Path(splade_connectors.__file__).read_text(encoding="utf-8"))
    (block,) = [node for node in tree.body if isinstance(node, ast.If)]
    seen = {
        alias.name: home_of(alias.name) == node.module
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert seen == dict.fromkeys(splade_connectors.__all__, True)


def test_a_name_that_is_none_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'nowhere'"):
        getattr(splade_connectors, "now" + "here")


@pytest.mark.parametrize("name", splade_connectors.__all__)
def test_public_names_are_documented(name: str) -> None:
    found = getattr(splade_connectors, name)
    written = vars(found).get("__doc__") if inspect.isclass(found) else found.__doc__
    assert written
    # What `dataclass` writes where nobody did.
    assert not written.startswith(f"{name}(")
    if not inspect.isclass(found):
        return
    for attribute, value in vars(found).items():
        if callable(value) and not attribute.startswith("_") and not inspect.isclass(value):
            assert value.__doc__, f"{name}.{attribute}"
    if dataclasses.is_dataclass(found) and len(dataclasses.fields(found)) > 1:
        for one in dataclasses.fields(found):
            assert f"{one.name}:" in written, f"{name}.{one.name} is not described"


def test_public_names_say_where_they_come_from() -> None:
    for name in splade_connectors.__all__:
        found = getattr(splade_connectors, name)
        home = found.__name__ if inspect.ismodule(found) else found.__module__
        assert home.startswith("splade_connectors.")


def loaded_after(statement: str) -> set[str]:
    script = f"import sys; {statement}; print('\\n'.join(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60
    )
    return set(done.stdout.split())


@pytest.mark.parametrize(
    "statement",
    [
        "import splade_connectors",
        "from splade_connectors import *",
        "import splade_connectors; splade_connectors.connect",
        "from splade_connectors.files import readers",
        "from splade_connectors import evaluate",
        "from splade_connectors.operations.index import Indexing",
    ],
)
def test_an_import_loads_no_optional_package(statement: str) -> None:
    loaded = loaded_after(statement)
    assert "splade_connectors" in loaded
    assert HEAVY & loaded == set()


def test_the_strategies_load_hypothesis_when_they_are_made() -> None:
    assert "hypothesis" not in loaded_after("import splade_connectors.testing.strategies")
    made = "from splade_connectors.testing.strategies import tokens; tokens()"
    assert "hypothesis" in loaded_after(made)


@pytest.mark.parametrize("target", ["edge:/nowhere/index", "qdrant://localhost/x"])
def test_a_target_loads_no_other_database_client(target: str) -> None:
    loaded = loaded_after(f"import splade_connectors as s; s.connect({target!r})")
    assert "splade_qdrant" in loaded
    others = {"elasticsearch", "splade_elasticsearch", "torch", "onnxruntime"}
    assert loaded & others == set()
    assert ("qdrant_client" in loaded) == target.startswith("qdrant:")


def test_the_library_is_silent_unless_asked() -> None:
    script = (
        "import logging, splade_connectors.runtime.retry as s; s.log.warning('not to be seen');"
        "print(len(logging.getLogger('splade_connectors').handlers))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60
    )
    assert (done.stdout.strip(), done.stderr) == ("1", "")


def test_only_the_command_line_prints() -> None:
    for path in sorted(PACKAGE.rglob("*.py")):
        if path.parent.name == "cli":
            continue
        calls = [
            node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)
        ]
        names = [call.func.id for call in calls if isinstance(call.func, ast.Name)]
        assert "print" not in names, path
