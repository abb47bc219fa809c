"""The folder is the architecture: which room may import from which, without exceptions."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import splade_connectors

PACKAGE = Path(splade_connectors.__file__).parent
ADAPTERS = PACKAGE.parent / "adapters"

# Floors from the ground up: a module imports from its own floor and from those below it.
FLOORS = [
    {"errors", "forks", "locks", "shown", "values", "payloads", "filters", "extras"}
    | {"numeric", "options", "vectors", "documents", "manifest"},
    {"runtime", "encoders", "fusion", "files", "writing"},
    {"backends"},
    {"operations"},
    {"origin", "verbs", "store", "async_store", "opening"},
    {"evaluate", "testing", "serve", "train"},
    {"cli", "integrations", "distributed", "__main__"},
]
FLOOR = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}
# What an adapter may use of the package: up to the contract that it implements.
FOR_ADAPTERS = set().union(*FLOORS[: FLOOR["backends"] + 1])
# Adapters that another adapter builds on.
SHARED = {"splade_elasticsearch": {"splade_lucene"}, "splade_opensearch": {"splade_lucene"}}


def room(module: str) -> str:
    return module.split(".")[1] if "." in module else ""


def imports(root: Path, folder: Path) -> Iterator[tuple[str, str]]:
    """(importing module, imported module) for every import statement below a folder."""
    for path in sorted(folder.rglob("*.py")):
        importing = ".".join(path.relative_to(root).with_suffix("").parts)
        importing = importing.removesuffix(".__init__")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                yield from ((importing, alias.name) for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                assert node.level == 0, f"{importing} imports relatively"
                assert node.module
                yield importing, node.module


def of_package() -> list[tuple[str, str]]:
    return list(imports(PACKAGE.parent, PACKAGE))


def test_every_room_has_a_floor() -> None:
    rooms = {path.stem for path in PACKAGE.glob("*.py")} - {"__init__"}
    rooms |= {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
    assert rooms <= set(FLOOR)


def test_imports_run_one_way() -> None:
    upward = {
        (importing, imported)
        for importing, imported in of_package()
        if imported.startswith("splade_connectors.")
        and room(importing)  # the package's own door opens everything
        and FLOOR[room(imported)] > FLOOR[room(importing)]
    }
    assert upward == set()


def test_rooms_form_no_circle() -> None:
    above: dict[str, set[str]] = {}
    for importing, imported in of_package():
        by, of = room(importing), room(imported)
        if by and of and by != of and imported.startswith("splade_connectors."):
            above.setdefault(by, set()).add(of)
    left = set(above)
    while free := {name for name in left if not above[name] & left}:
        left -= free
    assert left == set()


def test_the_package_imports_no_adapter() -> None:
    names = {imported.split(".")[0] for _, imported in of_package()}
    assert "splade_connectors" in names  # the walk has seen imports
    assert {name for name in names if name.startswith("splade_")} == {"splade_connectors"}


def test_adapters_import_the_contract_and_what_is_below_it() -> None:
    seen = set()
    for folder in sorted(ADAPTERS.glob("splade_*")):
        for importing, imported in imports(ADAPTERS, folder):
            name = imported.split(".")[0]
            if name == "splade_connectors":
                assert room(imported) in FOR_ADAPTERS, f"{importing} imports {imported}"
            elif name.startswith("splade_"):
                allowed = {folder.name} | SHARED.get(folder.name, set())
                assert name in allowed, f"{importing} imports {imported}"
        seen.add(folder.name)
    assert seen == {"splade_elasticsearch", "splade_lucene", "splade_opensearch", "splade_qdrant"}
