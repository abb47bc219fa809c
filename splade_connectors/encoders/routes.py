"""Which modules of a sentence-transformers folder encode documents, and which encode queries."""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import Literal

from splade_connectors.encoders.settings import Settings, read_json, read_settings
from splade_connectors.errors import ModelError

MODULES_FILE = "modules.json"
ROUTER_FILE = "router_config.json"
# A file of OpenSearch's models beside the tokenizer: token -> weight in a query.
IDF_FILE = "idf.json"

STATIC = "SparseStaticEmbedding"
_ROUTER = "Router"

Task = Literal["document", "query"]
TASKS: tuple[Task, ...] = ("document", "query")
# The kind of a module, and its folder.
Module = tuple[str, Path]


def modules_of(folder: Path, task: Task) -> list[Module]:
    """Kind and folder of each module that texts of this task pass through, in order.

    Raises:
        ModelError: if the files do not say it, or in an unknown form.
    """
    modules = _listed(folder)
    kinds = [kind for kind, _ in modules]
    if _ROUTER not in kinds:
        return modules
    if kinds.index(_ROUTER) > 0:
        raise ModelError(
            f"{folder / MODULES_FILE} has a Router after {kinds[0]}, not as the first module: this "
            "kind of model is not supported"
        )
    router = modules[0][1]
    # The modules after the Router are common to both sides.
    return [*_route(_settings(router), router, task), *modules[1:]]


def has_sides(folder: Path) -> bool:
    """Whether documents and queries pass through different modules."""
    if not (folder / MODULES_FILE).is_file():
        return (folder / IDF_FILE).is_file()
    return modules_of(folder, "document") != modules_of(folder, "query")


def files_of_routes(folder: Path) -> list[Path]:
    """The existing files that list modules."""
    files = [folder / MODULES_FILE]
    if files[0].is_file():
        files += [at / ROUTER_FILE for kind, at in _listed(folder) if kind == _ROUTER]
    return [file for file in files if file.is_file()]


def _listed(folder: Path) -> list[Module]:
    path = folder / MODULES_FILE
    try:
        raw = [(str(entry["type"]), str(entry["path"])) for entry in read_json(path)]
    except (KeyError, TypeError) as error:
        raise ModelError(f"{path} is not a list of modules with type and path") from error
    return [(_kind(kind), inside(folder, at, path)) for kind, at in raw]


def _settings(router: Path) -> Settings:
    settings = read_settings(router / ROUTER_FILE)
    settings.refuse_others({"types", "structure", "parameters"})
    parameters = settings.section("parameters")
    # The route for texts without a task has no effect: queries and documents have their own.
    parameters.refuse_others({"default_route", "allow_empty_key"})
    return settings


def _route(settings: Settings, router: Path, task: Task) -> list[Module]:
    types, structure = settings.section("types"), settings.section("structure")
    if task not in structure:
        routes = ", ".join(sorted(structure)) or "none"
        raise ModelError(
            f"{settings.where} has the routes {routes}; it needs a route 'document' and a route "
            "'query'"
        )
    found = []
    for name in structure.texts(task):
        kind = types.text(name)
        if kind is None:
            raise ModelError(f"{settings.where} has no type for the module {name!r}")
        found.append((_kind(kind), inside(router, name, router / ROUTER_FILE)))
    return found


def _kind(name: str) -> str:
    return name.rpartition(".")[2]


def inside(folder: Path, at: str, path: Path) -> Path:
    """A folder named in the file `path`, which must be inside the model's folder.

    Raises:
        ModelError: if it is not.
    """
    parts = PurePosixPath(at.replace("\\", "/"))
    if parts.is_absolute() or ".." in parts.parts or ":" in at:
        raise ModelError(f"{path} names the module folder {at!r}, which is outside the model's")
    return folder / parts
