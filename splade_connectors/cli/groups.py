"""Groups of options: a command takes an option dataclass, and typer sees an option for each field.

typer reads a command's options off its signature, one parameter each, and has no groups of them.
Here a parameter annotated with `Annotated[ADataclass, Group(…)]` stands for those of its fields
that the group names. Their types and defaults are the dataclass's own, and their helps are what
its docstring says of them, so that neither can say something else than the library does.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import MISSING, Field, dataclass, fields
from functools import wraps
from types import GenericAlias, NoneType
from typing import Annotated, Any, get_args, get_origin, get_type_hints

import typer
from typer.core import TyperCommand


def _as_given(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


@dataclass(frozen=True)
class Flag:
    """How the command line shows a field.

    Attributes:
        name: the option; None makes one of the field's name, with --no-… if it is a bool.
        minimum: the smallest number that is not a mistake of usage.
        kind: what typer reads; None is the field's own type.
        read: what makes the field's value of that.
        more: what only the command line has to say, after the field's own help.
    """

    name: str | None = None
    minimum: float | None = None
    kind: Any = None
    read: Callable[[Any], Any] = _as_given
    more: str = ""


class Group:
    """The options that stand for fields of a dataclass.

    A group of `ADataclass | None` is None unless one of its options is given.

    Args:
        panel: the title above them in the help; None puts them among the command's own.
        **flags: the fields that are options; the others keep their defaults.
    """

    def __init__(self, panel: str | None, **flags: Flag) -> None:
        self.panel = panel
        self.flags = flags

    def parameters(self, annotation: Any) -> Iterator[inspect.Parameter]:
        """What typer reads: a parameter for each option."""
        made = _dataclass(annotation)
        hints = get_type_hints(made)
        known = {field.name: field for field in fields(made)}
        helps = described(made)
        for name, flag in self.flags.items():
            kind = flag.kind or _read_as(hints[name])
            default = None if _optional(annotation) else _default(known[name])
            yield inspect.Parameter(
                name,
                inspect.Parameter.KEYWORD_ONLY,
                annotation=Annotated[
                    kind if default is not None else kind | None,
                    typer.Option(
                        *([flag.name] if flag.name else []),
                        min=flag.minimum,
                        help=self._help(helps.get(name, ""), flag),
                        rich_help_panel=self.panel,
                    ),
                ],
                default=default,
            )

    def value(self, annotation: Any, given: Mapping[str, Any]) -> Any:
        """The dataclass of what the options gave."""
        values = {
            name: flag.read(given[name])
            for name, flag in self.flags.items()
            if given[name] is not None
        }
        return _dataclass(annotation)(**values) if values or not _optional(annotation) else None

    def _help(self, text: str, flag: Flag) -> str:
        """The first sentence on a field, in the words of a command line."""
        sentence = re.split(r"(?<=\.) ", text, maxsplit=1)[0]
        sentence = re.sub(r"; (?:None|empty) takes ", ". Default: ", sentence).replace('"', "")
        sentence = re.sub(r"`(\w+)`", lambda found: self._name(found[1]), sentence)
        return f"{sentence[:1].upper()}{sentence[1:]} {flag.more}".strip()

    def _name(self, field: str) -> str:
        if field not in self.flags:
            return field
        return self.flags[field].name or f"--{field.replace('_', '-')}"


def expanded(command: Callable[..., None]) -> Callable[..., None]:
    """The command as typer takes it: every group is replaced by its options."""
    hints = get_type_hints(command, include_extras=True)
    groups = {name: group for name, hint in hints.items() if (group := _group(hint))}
    parameters: list[inspect.Parameter] = []
    for name, parameter in inspect.signature(command).parameters.items():
        if name in groups:
            parameters += groups[name].parameters(hints[name])
        else:
            kind = inspect.Parameter.KEYWORD_ONLY
            parameters.append(parameter.replace(annotation=hints[name], kind=kind))

    @wraps(command)
    def called(**given: Any) -> None:
        made = {name: group.value(hints[name], given) for name, group in groups.items()}
        options = {option for group in groups.values() for option in group.flags}
        own = {name: value for name, value in given.items() if name not in options}
        command(**own, **made)

    called.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    called.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return called


def described(made: type) -> dict[str, str]:
    """What the docstring of a dataclass says of each field."""
    _, _, attributes = (inspect.getdoc(made) or "").partition("\nAttributes:\n")
    found = re.findall(r"^    (\w+): (.*(?:\n {8}.*)*)", attributes, re.MULTILINE)
    return {name: " ".join(text.split()) for name, text in found}


def shown_examples(lines: Sequence[str]) -> str:
    """The end of a help: commands to copy, which are not wrapped."""
    return "\n".join(["\b", "Examples:", *(f"  splade-connectors {line}" for line in lines)])


class Command(TyperCommand):
    """A command whose help lists its options by panel."""

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Arguments, then the command's own options, then the groups in their order."""
        sections: dict[str, list[tuple[str, str]]] = {"Arguments": [], "Options": []}
        for parameter in self.get_params(ctx):
            own = "Arguments" if parameter.param_type_name == "argument" else "Options"
            panel = getattr(parameter, "rich_help_panel", None) or own
            record = parameter.get_help_record(ctx)
            if record is not None:
                sections.setdefault(panel, []).append(record)
        for title, records in sections.items():
            if records:
                with formatter.section(title):
                    formatter.write_dl(records)


def _group(annotation: Any) -> Group | None:
    found = [entry for entry in get_args(annotation)[1:] if isinstance(entry, Group)]
    return found[0] if found and get_origin(annotation) is Annotated else None


def _alternatives(annotation: Any) -> tuple[Any, ...]:
    """The types of a union, or the one type."""
    bare = annotation.__origin__ if get_origin(annotation) is Annotated else annotation
    return get_args(bare) if NoneType in get_args(bare) else (bare,)


def _optional(annotation: Any) -> bool:
    return NoneType in _alternatives(annotation)


def _dataclass(annotation: Any) -> type[Any]:
    (made,) = (kind for kind in _alternatives(annotation) if kind is not NoneType)
    return made  # type: ignore[no-any-return]


def _read_as(hint: Any) -> Any:
    """The type that typer is told of: a list if the field is a tuple of many."""
    (kind,) = (kind for kind in _alternatives(hint) if kind is not NoneType)
    return GenericAlias(list, get_args(kind)[:1]) if get_origin(kind) is tuple else kind


def _default(field: Field[Any]) -> Any:
    """As typer shows it: nothing, if the field is empty unless something is given."""
    if field.default is MISSING:
        raise TypeError(f"{field.name} has no default: a group has options only")
    return None if field.default == () else field.default
