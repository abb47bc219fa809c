"""The text of a document: finding its fields in a payload, and joining them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from splade_connectors.errors import ConfigurationError


def check_text_fields(fields: Sequence[Any]) -> None:
    """Refuse text fields that are not names or are repeated.

    Raises:
        ConfigurationError: naming the field.
    """
    for name in fields:
        if not (isinstance(name, str) and name):
            raise ConfigurationError(
                f"a text field (--text) must be a name, such as title or author.bio, not {name!r}"
            )
    repeated = [name for at, name in enumerate(fields) if name in fields[:at]]
    if repeated:
        raise ConfigurationError(
            f"the text field {repeated[0]!r} (--text) is repeated; name it once"
        )


def text_of(payload: Mapping[str, Any], fields: Sequence[str]) -> str:
    """Return the text fields of a payload, joined by a space; values that are not text are skipped.

    Args:
        payload: payload as stored.
        fields: names, or dotted paths into objects and lists of objects ("author.bio"). A field
            may hold a text or a list of texts.
    """
    return " ".join(part for field in fields for part in texts_at(payload, field) if part)


def texts_at(payload: Mapping[str, Any], path: str) -> list[str]:
    """Return the texts at a path, in payload order."""
    return [value for value in values_at(payload, path) if isinstance(value, str)]


def values_at(payload: Mapping[str, Any], path: str) -> list[Any]:
    """Return the values at a path, flattening lists along it and at its end."""
    return list(_values(payload, path.split(".")))


def text_paths(payload: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    """Yield the paths of a payload that hold text, in order, possibly with repeats."""
    for name, value in payload.items():
        path = f"{prefix}{name}"
        for item in _items(value):
            if isinstance(item, str):
                yield path
            elif isinstance(item, Mapping):
                yield from text_paths(item, f"{path}.")


def top_level(fields: Sequence[str]) -> list[str]:
    """Return the top-level payload names that these paths may start with."""
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
        # "a.b" may be a single name or a nested object.
        for length in range(1, len(parts) + 1):
            name = ".".join(parts[:length])
            if name in value:
                yield from _values(value[name], parts[length:])


def _items(value: Any) -> Sequence[Any]:
    return value if isinstance(value, list | tuple) else (value,)
