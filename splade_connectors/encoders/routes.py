"""Which modules of a folder of sentence-transformers encode documents, and which queries."""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import Literal

from splade_connectors.encoders.settings import Settings, read_json, read_settings
from splade_connectors.errors import ModelError

MODULES_FILE = "modules.json"
ROUTER_FILE = "router_config.json"
# What OpenSearch's models have beside their tokenizer: token to weight of a query's tokens.
IDF_FILE = "idf.json"

STATIC = "SparseStaticEmbedding"
_ROUTER = "Router"

Task = Literal["document", "query"]
TASKS: tuple[Task, ...] = ("document", "query")
# Kind and folder.
Module = tuple[str, Path]


def modules_of(folder: Path, task: Task) -> list[Module]:
    """Kind and folder of each module that texts of this task go through, in order.

    Raises:
        ModelError: when the files do not say it, or say it in a way that is not known.
    """
    modules = _listed(folder)
    kinds = [kind for kind, _ in modules]
    if _ROUTER not in kinds:
        return modules
    if kinds.index(_ROUTER) > 0:
        raise ModelError(
            f"{folder / MODULES_FILE} has a Router behind {kinds[0]}, not at the beginning: such a "
            "model is not known"
        )
    router = modules[0][1]
    # Behind the Router is what both sides have in common.
    return [*_route(_settings(router), router, task), *modules[1:]]


def has_sides(folder: Path) -> bool:
    """Whether documents and queries of a folder go through different modules."""
    if not (folder / MODULES_FILE).is_file():
        return (folder / IDF_FILE).is_file()
    return modules_of(folder, "document") != modules_of(folder, "query")


def files_of_routes(folder: Path) -> list[Path]:
    """The files that say which modules there are, those that exist."""
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
    # Which route has no task changes nothing: queries and documents have theirs.
    parameters.refuse_others({"default_route", "allow_empty_key"})
    return settings


def _route(settings: Settings, router: Path, task: Task) -> list[Module]:
    types, structure = settings.section("types"), settings.section("structure")
    if task not in structure:
        routes = ", ".join(sorted(structure)) or "none"
        raise ModelError(
            f"{settings.where} has the routes {routes}; a route 'document' and a route 'query' are "
            "needed"
        )
    found = []
    for name in structure.texts(task):
        kind = types.text(name)
        if kind is None:
            raise ModelError(f"{settings.where} has no type of the module {name!r}")
        found.append((_kind(kind), inside(router, name, router / ROUTER_FILE)))
    return found


def _kind(name: str) -> str:
    return name.rpartition(".")[2]


def inside(folder: Path, at: str, path: Path) -> Path:
    """A folder that the file `path` names, which must lie inside the model's.

    Raises:
        ModelError: when it does not.
    """
    parts = PurePosixPath(at.replace("\\", "/"))
    if parts.is_absolute() or ".." in parts.parts or ":" in at:
        raise ModelError(f"{path} names the module folder {at!r}, which is outside the model's")
    return folder / parts
