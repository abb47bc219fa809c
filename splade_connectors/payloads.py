"""The text of a document: where its fields are found in a payload, and how they are joined."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from splade_connectors.errors import ConfigurationError


def check_text_fields(fields: Sequence[Any]) -> None:
    """Refuse text fields that are not names, or that are named twice.

    Raises:
        ConfigurationError: naming the field.
    """
    for name in fields:
        if not (isinstance(name, str) and name):
            raise ConfigurationError(
                f"a text field (--text) is a name, such as title or author.bio, not {name!r}"
            )
    repeated = [name for at, name in enumerate(fields) if name in fields[:at]]
    if repeated:
        raise ConfigurationError(
            f"the text field {repeated[0]!r} (--text) is named twice; name it once"
        )


def text_of(payload: Mapping[str, Any], fields: Sequence[str]) -> str:
    """The text fields of a payload, joined by a space; what is not text is left out.

    Args:
        payload: as the store has it.
        fields: names, or paths with dots into objects and lists of objects ("author.bio"). A field
            may hold one text or a list of texts.
    """
    return " ".join(part for field in fields for part in texts_at(payload, field) if part)


def texts_at(payload: Mapping[str, Any], path: str) -> list[str]:
    """The texts at a path, in the order of the payload."""
    return [value for value in values_at(payload, path) if isinstance(value, str)]


def values_at(payload: Mapping[str, Any], path: str) -> list[Any]:
    """The values at a path; lists on the way, and at its end, are entered."""
    return list(_values(payload, path.split(".")))


def text_paths(payload: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    """The paths of a payload at which there is text, in its order; some more than once."""
    for name, value in payload.items():
        path = f"{prefix}{name}"
        for item in _items(value):
            if isinstance(item, str):
                yield path
            elif isinstance(item, Mapping):
                yield from text_paths(item, f"{path}.")


def top_level(fields: Sequence[str]) -> list[str]:
    """The names at the top level of a payload under which these paths may begin."""
    parts = [field.split(".") for field in fields]
    names = [".".join(path[:length]) for path in parts for length in range(1, len(path) + 1)]
    return list(dict.fromkeys(names))


def _values(value: Any, parts: Sequence[str]) -> Iterator[Any]:
    if isinstance(value, list | tuple):
        for item in value:
            yield from _values(item, parts)
    elif not parts:
        yield value
    elif isinstance(value, Mapping):
        # A name with a dot in it is found as well as an object in an object.
        for length in range(1, len(parts) + 1):
            name = ".".join(parts[:length])
            if name in value:
                yield from _values(value[name], parts[length:])


def _items(value: Any) -> Sequence[Any]:
    return value if isinstance(value, list | tuple) else (value,)
