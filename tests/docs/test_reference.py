"""The reference has every public name, command and option, each with an example that works."""

from __future__ import annotations

import re
import shlex
import sys
from pathlib import Path
from typing import Any

import pytest

import splade_connectors
from tests.docs.blocks import DOCS, blocks

sys.path.insert(0, str(DOCS))
from extension import commands, values

PAGES = sorted((DOCS / "reference").glob("*.md"))
COMMANDS = commands.commands()
OPTIONS = [
    pytest.param(name, option, id=f"{name} {max(option.opts, key=len)}")
    for name, command in COMMANDS.items()
    for option in commands.options(command)
]


@pytest.mark.parametrize("name", splade_connectors.__all__)
def test_every_public_name_is_documented_where_it_is_used(name: str) -> None:
    documented = re.compile(rf"^\.\. auto\w+:: splade_connectors\.{name}(\.\w+)?$", re.MULTILINE)
    pages = [page.read_text(encoding="utf-8") for page in PAGES]
    (text,) = [text for text in pages if documented.search(text)]
    example = "".join(block.body for block in blocks(text) if block.kind == "python")
    assert len(re.findall(rf"\b{name}\b", example)) >= 2, "imported, and used"


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_its_page_with_examples(name: str) -> None:
    command = COMMANDS[name]
    text = commands.page(name, command)
    lines = commands.examples(command)
    assert len(lines) >= 1
    for line in lines:
        assert line in text
        assert shlex.split(line)[:2] == [commands.PROGRAM, name]
        read(command, shlex.split(line)[2:])


@pytest.mark.parametrize(("name", "option"), OPTIONS)
def test_every_option_is_on_its_page_with_an_example(name: str, option: Any) -> None:
    command = COMMANDS[name]
    text = commands.page(name, command)
    for spelling in [*option.opts, *option.secondary_opts]:
        assert re.search(rf"^```{{option}} .*{spelling}\b", text, re.MULTILINE), spelling
    example = values.example_of(name, option)
    assert example, "give it a value in docs/extension/values.py"
    assert f"Example: `{example}`" in text
    needed = ["x" for each in command.params if each.param_type_name == "argument"]
    needed += [
        word
        for each in command.params
        if each.required and each.param_type_name == "option" and each is not option
        for word in shlex.split(values.example_of(name, each))
    ]
    read(command, [*needed, *shlex.split(example)])


def test_no_value_is_left_of_an_option_that_is_gone() -> None:
    names = {
        spelling for _, option in (each.values for each in OPTIONS) for spelling in option.opts
    }
    for key in values.VALUES:
        assert key.split()[-1] in names, key


def read(command: Any, words: list[str]) -> None:
    """Let a command read its arguments, without running it."""
    command.make_context("test", words)


def test_pages_of_commands_that_are_gone_go(tmp_path: Path) -> None:
    (tmp_path / "gone.md").write_text("# gone", encoding="utf-8")
    commands.write(tmp_path)
    assert {page.stem for page in tmp_path.iterdir()} == set(COMMANDS)
    before = {page: page.stat().st_mtime_ns for page in tmp_path.iterdir()}
    commands.write(tmp_path)
    assert before == {page: page.stat().st_mtime_ns for page in tmp_path.iterdir()}
