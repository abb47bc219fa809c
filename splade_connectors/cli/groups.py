"""Option groups: a command takes an option dataclass, and typer sees one option per field.

typer reads a command's options from its signature, one per parameter, and has no option groups.
Here, a parameter annotated with `Annotated[ADataclass, Group(…)]` expands to the fields that the
group names. Types and defaults are those of the dataclass, and help texts come from its docstring,
so the command line cannot contradict the library.
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

# How a target begins; a Windows path has one letter before its colon.
_TARGET = re.compile(r"\w[\w+]+:")


def _as_given(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


@dataclass(frozen=True)
class Flag:
    """How a field appears on the command line.

    Attributes:
        name: option name; None derives it from the field, with --no-… for a bool.
        minimum: smallest value that typer accepts.
        kind: type that typer parses; None means the field's own.
        read: converts the parsed value to the field's.
        more: text appended to the field's help on the command line.
    """

    name: str | None = None
    minimum: float | None = None
    kind: Any = None
    read: Callable[[Any], Any] = _as_given
    more: str = ""


class Group:
    """The options that set fields of a dataclass.

    A group of `ADataclass | None` is None unless one of its options is given.

    Args:
        panel: heading above them in the help; None lists them with the command's own options.
        **flags: fields that become options; the others keep their defaults.
    """

    def __init__(self, panel: str | None, **flags: Flag) -> None:
        self.panel = panel
        self.flags = flags

    def parameters(self, annotation: Any) -> Iterator[inspect.Parameter]:
        """Yield the parameters that typer reads, one per option."""
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
        """Return the dataclass built from the given options."""
        values = {
            name: flag.read(given[name])
            for name, flag in self.flags.items()
            if given[name] is not None
        }
        return _dataclass(annotation)(**values) if values or not _optional(annotation) else None

    def _help(self, text: str, flag: Flag) -> str:
        """The first sentence about a field, reworded for the command line."""
        sentence = re.split(r"(?<=\.) ", text, maxsplit=1)[0]
        sentence = re.sub(r"; (?:None|empty) means ", ". Default: ", sentence).replace('"', "")
        sentence = re.sub(r"`(\w+)`", lambda found: self._name(found[1]), sentence)
        return f"{sentence[:1].upper()}{sentence[1:]} {flag.more}".strip()

    def _name(self, field: str) -> str:
        if field not in self.flags:
            return field
        return self.flags[field].name or f"--{field.replace('_', '-')}"


def expanded(command: Callable[..., None]) -> Callable[..., None]:
    """Return the command with every group replaced by its options, as typer needs it."""
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
    """Return field name -> description, from the docstring of a dataclass."""
    _, _, attributes = (inspect.getdoc(made) or "").partition("\nAttributes:\n")
    found = re.findall(r"^    (\w+): (.*(?:\n {8}.*)*)", attributes, re.MULTILINE)
    return {name: " ".join(text.split()) for name, text in found}


def shown_examples(lines: Sequence[str]) -> str:
    """Return the epilog of a help text: example commands, not wrapped."""
    return "\n".join(["\b", "Examples:", *(f"  splade-connectors {line}" for line in lines)])


class Command(TyperCommand):
    """A command whose help lists its options by panel, and which names the argument missing."""

    def parse_args(self, ctx: Any, args: list[str]) -> Any:
        """Parse the arguments; of `FILE… TARGET` with one word given, report the right one."""
        given = list(args)
        try:
            return super().parse_args(ctx, args)
        except Exception as error:
            missing = getattr(error, "param", None)
            if missing is not None and missing.param_type_name == "argument":
                error.param = self._missing(ctx, given, missing)  # type: ignore[attr-defined]
            raise

    def _missing(self, ctx: Any, given: list[str], reported: Any) -> Any:
        """The missing argument: click fills those after a list first, and then misses the list."""
        values = self.make_parser(ctx).parse_args(args=given)[0]
        last = [entry for entry in self.params if entry.param_type_name == "argument"][-1]
        word = values.get(last.name)
        if reported.nargs == -1 and isinstance(word, str) and not _TARGET.match(word):
            return last
        return reported

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """List arguments, the command's own options, then the groups in order."""
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
    """The members of a union, or the type itself."""
    bare = annotation.__origin__ if get_origin(annotation) is Annotated else annotation
    return get_args(bare) if NoneType in get_args(bare) else (bare,)


def _optional(annotation: Any) -> bool:
    return NoneType in _alternatives(annotation)


def _dataclass(annotation: Any) -> type[Any]:
    (made,) = (kind for kind in _alternatives(annotation) if kind is not NoneType)
    return made  # type: ignore[no-any-return]


def _read_as(hint: Any) -> Any:
    """The type that typer parses: a list for a tuple field."""
    (kind,) = (kind for kind in _alternatives(hint) if kind is not NoneType)
    return GenericAlias(list, get_args(kind)[:1]) if get_origin(kind) is tuple else kind


def _default(field: Field[Any]) -> Any:
    """The default that typer shows; None for an empty tuple."""
    if field.default is MISSING:
        raise TypeError(f"{field.name} has no default; fields of a group must have one")
    return None if field.default == () else field.default
