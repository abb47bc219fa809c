"""Resolves names in docstrings, which are written in Markdown and short; Sphinx expects neither."""

from __future__ import annotations

import re
from typing import Any

import splade_connectors

_NAME = re.compile(r"(?<!`)`([^`\n]+)`(\w*)")
# Created by functions, never by users.
_MADE_FOR_YOU = ("splade_connectors.Store", "splade_connectors.AsyncStore")


def mark(app: Any, what: str, name: str, subject: Any, options: Any, lines: list[str]) -> None:
    """Turn public names into links and the rest into code; called by autodoc per docstring."""
    lines[:] = [_NAME.sub(_marked, line) for line in lines]


def join(app: Any, what: str, name: str, subject: Any, options: Any, lines: list[str]) -> None:
    """Undo what napoleon does to a property: it parses "This and that: …" as a type and a text."""
    if what in ("property", "attribute") and lines:
        types = [line for line in lines if line.startswith(":type: ")]
        lines[:] = [line for line in lines if line not in types]
        for line in types:
            lines[0] = f"{line.removeprefix(':type: ')}: {lines[0]}"


def readable(
    app: Any, what: str, name: str, subject: Any, options: Any, signature: str, returned: str
) -> tuple[str, str] | None:
    """Hide constructors of what `connect` creates, and factories; called by autodoc per signature.

    Sphinx cannot parse "<factory>", and shows such a signature without links and with full names.
    """
    if name in _MADE_FOR_YOU:
        return "", ""
    return (signature.replace("<factory>", "..."), returned) if signature else None


def resolve(app: Any, environment: Any, node: Any, content: Any) -> Any:
    """Find a class by its short name, if that name is unique; called by Sphinx."""
    if node.get("refdomain") != "py":
        return None
    short = node["reftarget"].rpartition(".")[2]
    python = environment.get_domain("py")
    found = {name for name, *_ in python.get_objects() if name.rpartition(".")[2] == short}
    if len(found) != 1:
        return None
    (name,) = found
    return python.resolve_xref(environment, node["refdoc"], app.builder, "obj", name, node, content)


def _marked(found: re.Match[str]) -> str:
    name, ending = found[1], found[2]
    # A plural: "`Document`s".
    after = rf"\ {ending}" if ending else ""
    if name in splade_connectors.__all__:
        return f":py:obj:`~splade_connectors.{name}`{after}"
    return f"``{name}``{after}"
