"""Generates a page for every command from what `--help` knows, so that none is forgotten."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import typer.main

from extension.values import example_of
from splade_connectors import cli

PROGRAM = "splade-connectors"


def write(folder: Path) -> None:
    """Write the pages; an unchanged one keeps its modification time, so that it is not rebuilt."""
    folder.mkdir(exist_ok=True)
    pages = {f"{name}.md": page(name, command) for name, command in commands().items()}
    for old in folder.glob("*.md"):
        if old.name not in pages:
            old.unlink()
    for name, text in pages.items():
        path = folder / name
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")


def commands() -> dict[str, Any]:
    """Every command by name, in the order of the help."""
    whole: Any = typer.main.get_command(cli.app)
    return dict(whole.commands)


def options(command: Any) -> list[Any]:
    """The options of a command, except --help."""
    found = [each for each in command.params if each.param_type_name == "option"]
    return [each for each in found if each.name != "help" and not each.hidden]


def page(name: str, command: Any) -> str:
    """The page of a command."""
    about = _with_options(_paragraphs(command.help))
    parts = [f"# {name}", about, _usage(name, command), "## Examples"]
    parts += [_code("sh", examples(command)), f"```{{program}} {PROGRAM} {name}\n```"]
    for title, parameters in _panels(command).items():
        parts.append(f"## {title}")
        parts += [_entry(name, command, parameter) for parameter in parameters]
    return "\n\n".join(parts) + "\n"


def examples(command: Any) -> list[str]:
    """The command's examples, as its help shows them."""
    _, _, lines = (command.epilog or "").partition("Examples:")
    return [line.strip() for line in lines.strip().splitlines()]


def _arguments(command: Any) -> list[Any]:
    return [each for each in command.params if each.param_type_name == "argument"]


def _context(name: str, command: Any) -> Any:
    return command.make_context(f"{PROGRAM} {name}", [], resilient_parsing=True)


def _paragraphs(text: str | None) -> str:
    return "\n\n".join(" ".join(part.split()) for part in (text or "").split("\n\n"))


def _usage(name: str, command: Any) -> str:
    pieces = command.collect_usage_pieces(_context(name, command))
    words = (piece.replace("{", "").replace("}", "").upper() for piece in pieces)
    return _code("text", [" ".join([PROGRAM, name, *words])])


def _code(kind: str, lines: list[str]) -> str:
    return "\n".join([f"```{kind}", *lines, "```"])


def _panels(command: Any) -> dict[str, list[Any]]:
    """Arguments, then the command's own options, then the groups in their order."""
    found: dict[str, list[Any]] = {"Arguments": _arguments(command), "Options": []}
    for option in options(command):
        found.setdefault(getattr(option, "rich_help_panel", None) or "Options", []).append(option)
    return {title: parameters for title, parameters in found.items() if parameters}


def _entry(name: str, command: Any, parameter: Any) -> str:
    spelling, text = parameter.get_help_record(_context(name, command))
    if parameter.param_type_name == "argument":
        return f"`{spelling.partition(' ')[0].upper()}`\n: {_escaped(text)}"
    # The help text already says that it may be repeated, and its range.
    spelling = re.sub(r"<list\[(\w+)\]>|<(\w+) range>", r"<\1\2>", spelling)
    example = example_of(name, parameter)
    # Sphinx wants a comma between the spellings of an option.
    signature = spelling.replace(" / ", ", ")
    shown = f"\n\nExample: `{example}`" if example else ""
    return f"```{{option}} {signature}\n{_escaped(text)}{shown}\n```"


def _escaped(text: str) -> str:
    parts = text.split("`")
    # Every other part is code.
    parts[::2] = (re.sub(r"[*<\[_]", r"\\\g<0>", part) for part in parts[::2])
    return _with_options("`".join(parts))


def _with_options(text: str) -> str:
    """Make code of options, whose two dashes would become one."""
    return re.sub(r"(?<![\w`-])--[a-z][a-z-]*(?![\w`-])", r"`\g<0>`", text)
