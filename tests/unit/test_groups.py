"""Groups of options: what typer sees is what the option dataclasses say."""

from __future__ import annotations

import inspect
import shlex
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields, is_dataclass
from typing import Annotated, Any, get_type_hints

import pytest
import typer
from typer.main import get_command

from splade_connectors import cli, options
from splade_connectors.backends.targets import parse_target
from splade_connectors.cli import main, parameters
from splade_connectors.cli.groups import Flag, Group, described, expanded

NAMES = [module.__name__.rpartition(".")[2].replace("_", "-") for module in cli.COMMANDS]


@dataclass(frozen=True, kw_only=True)
class Baking:
    """How bread is baked.

    Attributes:
        degrees: of the oven, "hot" or not; None means what `flour` likes. It is not checked.
        flour: what it is made of; empty means wheat.
        steam: with steam, so that
            the crust is thin.
        secret: is not an option.
    """

    degrees: int | None = None
    flour: tuple[str, ...] = ()
    steam: bool = False
    secret: str = "hidden"


BAKING = Group(
    "Oven",
    degrees=Flag(minimum=50),
    flour=Flag("--grain", more="May be repeated."),
    steam=Flag(),
)
REPEATED = Group(None, secret=Flag(kind=int, read=lambda number: "x" * number))


def run(command: Callable[..., None], *arguments: str) -> None:
    """The command line of this one command."""
    app = typer.Typer(add_completion=False)
    app.command()(expanded(command))
    app(list(arguments), standalone_mode=False)


def option(command: Callable[..., None], name: str) -> Any:
    """What typer was told of an option."""
    parameter = inspect.signature(expanded(command)).parameters[name]
    return parameter, parameter.annotation.__metadata__[0]


def test_a_command_is_given_the_dataclass() -> None:
    seen: list[Any] = []

    def command(loaf: str, *, baking: Annotated[Baking, BAKING], loud: bool = False) -> None:
        seen.append((loaf, baking, loud))

    run(command, "rye")
    run(command, "rye", "--degrees", "230", "--grain", "rye", "--grain", "oat", "--steam", "--loud")
    assert seen == [
        ("rye", Baking(), False),
        ("rye", Baking(degrees=230, flour=("rye", "oat"), steam=True), True),
    ]
    with pytest.raises(Exception, match="50"):
        run(command, "rye", "--degrees", "1")


def test_a_group_that_may_be_absent_is_none_unless_an_option_is_given() -> None:
    seen: list[Any] = []

    def command(*, baking: Annotated[Baking | None, BAKING]) -> None:
        seen.append(baking)

    run(command)
    run(command, "--no-steam")
    run(command, "--grain", "rye")
    assert seen == [None, Baking(steam=False), Baking(flour=("rye",))]


def test_helps_are_the_first_sentences_of_the_docstring_in_words_of_the_command_line() -> None:
    def command(*, baking: Annotated[Baking, BAKING]) -> None: ...

    helps = {name: option(command, name)[1].help for name in ("degrees", "flour", "steam")}
    assert helps == {
        "degrees": "Of the oven, hot or not. Default: what --grain likes.",
        "flour": "What it is made of. Default: wheat. May be repeated.",
        "steam": "With steam, so that the crust is thin.",
    }
    assert option(command, "degrees")[1].rich_help_panel == "Oven"
    assert "secret" not in inspect.signature(expanded(command)).parameters


def test_mistakes_in_a_group_are_found_when_the_command_is_made() -> None:
    def unknown(*, baking: Annotated[Baking, Group(None, colour=Flag())]) -> None: ...

    def twice(*, steam: bool = False, baking: Annotated[Baking, BAKING]) -> None: ...

    with pytest.raises(KeyError, match="colour"):
        expanded(unknown)
    with pytest.raises(ValueError, match="duplicate parameter name: 'steam'"):
        expanded(twice)


def test_what_is_read_is_made_of_the_words_that_were_given() -> None:
    seen: list[Any] = []

    def command(*, baking: Annotated[Baking, REPEATED]) -> None:
        seen.append(baking.secret)

    run(command, "--secret", "3")
    assert seen == ["xxx"]


MADE = {
    name: made
    for module in (options, parameters)
    for name, made in vars(module).items()
    if isinstance(made, type) and is_dataclass(made)
}


@pytest.mark.parametrize("name", MADE)
def test_every_field_of_options_is_described(name: str) -> None:
    described_fields = list(described(MADE[name]))
    assert described_fields == [field.name for field in fields(MADE[name])]


def used() -> Iterator[tuple[str, str, Any, Group]]:
    """Command, parameter, annotation and group, for every group of every command."""
    for module in cli.COMMANDS:
        hints = get_type_hints(module.command, include_extras=True)
        for name, hint in hints.items():
            for entry in getattr(hint, "__metadata__", ()):
                if isinstance(entry, Group):
                    yield module.__name__, name, hint, entry


@pytest.mark.parametrize(("command", "name", "hint", "group"), list(used()))
def test_options_that_are_left_away_give_the_defaults_of_the_library(
    command: str, name: str, hint: Any, group: Group
) -> None:
    made = {parameter.name: parameter.default for parameter in group.parameters(hint)}
    assert list(made) == list(group.flags)
    kind = hint.__origin__
    assert group.value(hint, made) == (kind() if isinstance(kind, type) else None)
    for parameter in group.parameters(hint):
        assert parameter.annotation.__metadata__[0].help, parameter.name


def test_the_commands_take_groups_not_dozens_of_parameters() -> None:
    for module in cli.COMMANDS:
        assert len(inspect.signature(module.command).parameters) <= 16, module.__name__


def help_of(command: str, capsys: pytest.CaptureFixture[str]) -> str:
    with pytest.raises(SystemExit) as stop:
        main([command, "--help"] if command else ["--help"])
    assert stop.value.code == 0
    return capsys.readouterr().out


def test_options_stand_in_panels(capsys: pytest.CaptureFixture[str]) -> None:
    shown = help_of("attach", capsys)
    titles = [line for line in shown.splitlines() if line.endswith(":") and line[0] != " "]
    assert titles == ["Arguments:", "Options:", "Encoder:", "Connection:", "Output:"]
    _, _, connection = shown.partition("\nConnection:\n")
    connection, _, output = connection.partition("\nOutput:\n")
    assert "--client-key" in connection
    assert "--model" not in connection
    assert "--log-json" in output


@pytest.mark.parametrize("columns", ["40", "100", "200"])
@pytest.mark.parametrize("command", ["", *NAMES])
def test_every_help_ends_with_two_examples_that_can_be_typed(
    command: str, columns: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    *_, title, first, second = help_of(command, capsys).rstrip("\n").splitlines()
    assert title.strip() == "Examples:"
    assert first != second
    for line in (first, second):
        program, name, *arguments = shlex.split(line)
        assert program == "splade-connectors"
        assert name == command or not command
        found = get_command(cli.app).commands[name]  # type: ignore[attr-defined]
        given = found.make_context(name, arguments).params
        if given.get("target"):
            parse_target(given["target"])


def test_panels_are_those_of_the_groups() -> None:
    panels = {group.panel for _, _, _, group in used()}
    assert panels == {None, "Connection", "Encoder", "Hybrid search", "Input", "Output", "Writing"}
