"""Manifests in a file, for servers that cannot store them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from splade_connectors.errors import ConfigurationError
from splade_connectors.files.outputs import replacing
from splade_connectors.manifest import IndexManifest, parse_manifest
from splade_connectors.shown import reason_of


def read_manifest_file(path: Path, field: str) -> IndexManifest | None:
    """Read the manifest of a field; None if the file or the field does not exist.

    Raises:
        ConfigurationError: if the file exists but is not a JSON object.
    """
    return parse_manifest(read_json_object(path).get(field), str(path))


def write_manifest_file(path: Path, field: str, manifest: IndexManifest) -> None:
    """Write the manifest of a field to a file, keeping those of other fields.

    Raises:
        ConfigurationError: if the file is not a JSON object or cannot be written.
    """
    whole = {**read_json_object(path), field: manifest.to_json()}
    try:
        write_json_object(path, whole)
    except OSError as error:
        raise ConfigurationError(f"cannot write {path}: {reason_of(error)}") from error


def read_json_object(path: Path) -> dict[str, Any]:
    """Read the JSON object in a file; {} if there is no file.

    Raises:
        ConfigurationError: if the file exists but is not a JSON object.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, RecursionError) as error:
        raise ConfigurationError(f"cannot read {path} as JSON: {reason_of(error)}") from error
    if not isinstance(found, dict):
        raise ConfigurationError(f"{path} does not contain a JSON object")
    return found


def write_json_object(path: Path, value: dict[str, Any]) -> None:
    """Write a JSON object atomically.

    Raises:
        OSError: if it cannot be written.
    """
    with replacing(path) as file:
        json.dump(value, file, indent=2)
