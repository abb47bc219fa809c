"""JSON files of model folders, read with type checks on every value."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

from splade_connectors.errors import ModelError

# A larger file is not a settings file: a tokenizer with 250,000 terms takes 17 MB.
_LARGEST_FILE = 256 * 2**20


class Settings:
    """A JSON object with typed access to its entries.

    A missing or null entry has its default. Every getter raises a `ModelError` that names the file,
    the entry and what is wrong with it.

    Args:
        values: the object.
        where: the file and the path inside it, for messages.
    """

    def __init__(self, values: dict[str, Any], where: str) -> None:
        self.values = values
        self.where = where

    def __contains__(self, name: str) -> bool:
        return self.values.get(name) is not None

    def __iter__(self) -> Iterator[str]:
        return iter(self.values)

    def integer(self, name: str, default: int | None = None, *, at_least: int = 1) -> int | None:
        """A whole number; 512.0 counts, true and "512" do not."""
        value = self.values.get(name)
        if value is None:
            return default
        whole = isinstance(value, int) or (isinstance(value, float) and value.is_integer())
        if isinstance(value, bool) or not whole or value < at_least:
            raise self.wrong(name, f"a whole number of at least {at_least}")
        return int(value)

    def text(self, name: str, default: str | None = None) -> str | None:
        """A string."""
        value = self.values.get(name)
        if value is not None and not isinstance(value, str):
            raise self.wrong(name, "a string")
        return default if value is None else value

    def flag(self, name: str, default: bool | None = None) -> bool | None:
        """True or false."""
        value = self.values.get(name)
        if value is not None and not isinstance(value, bool):
            raise self.wrong(name, "true or false")
        return default if value is None else value

    def texts(self, name: str) -> list[str]:
        """A list of strings; empty if it is missing."""
        value = self.values.get(name) or []
        if not isinstance(value, list) or not all(isinstance(entry, str) for entry in value):
            raise self.wrong(name, "a list of strings")
        return value

    def section(self, name: str) -> Settings:
        """An object inside this one; empty if it is missing."""
        value = self.values.get(name)
        if value is not None and not isinstance(value, dict):
            raise self.wrong(name, "a JSON object")
        return Settings(value or {}, f"{self.where}, {name}")

    def one_of(self, name: str, known: Collection[str], default: str) -> str:
        """One of these strings."""
        value = self.text(name, default)
        assert value is not None
        if value not in known:
            names = ", ".join(sorted(known))
            raise ModelError(f"{self.where} has {name} {value!r}; it must be one of {names}")
        return value

    def refuse_others(self, known: Collection[str], *, also_false: bool = False) -> None:
        """Refuse any other entry that is set: it may change the vectors."""
        for name, value in self.values.items():
            says = value not in (None, "", [], {}) and (also_false or value is not False)
            if says and name not in known:
                raise ModelError(f"{self.where} has {name} {_short(value)}, which is not supported")

    def wrong(self, name: str, kind: str) -> ModelError:
        """The error for an entry of another type."""
        return ModelError(f"{self.where} has {name} {_short(self.values[name])}, not {kind}")


def read_settings(path: Path, *, optional: bool = False) -> Settings:
    """The JSON object in a file; an empty one if an optional file is missing.

    Raises:
        ModelError: if the file is missing, or not a JSON object.
    """
    if optional and not path.is_file():
        return Settings({}, str(path))
    value = read_json(path)
    if not isinstance(value, dict):
        raise ModelError(f"{path} holds {type(value).__name__}, not a JSON object")
    return Settings(value, str(path))


def read_json(path: Path) -> Any:
    """The content of a JSON file.

    Raises:
        ModelError: if the file is missing, or not valid JSON.
    """
    try:
        if path.stat().st_size > _LARGEST_FILE:
            raise ModelError(
                f"{path} is too large for a settings file: more than {_LARGEST_FILE >> 20} MiB"
            )
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ModelError(f"the model folder {path.parent} has no {path.name}") from error
    except OSError as error:
        raise ModelError(f"{path} cannot be read: {error.strerror or error}") from error
    except RecursionError as error:
        raise ModelError(f"{path} is nested too deeply to be read") from error
    except ValueError as error:
        raise ModelError(f"{path} is not valid JSON: {error}") from error


def _short(value: Any) -> str:
    shown = repr(value)
    return shown if len(shown) <= 60 else f"{shown[:60]}…"
