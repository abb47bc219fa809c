"""Several files as one: paths, patterns, folders and the standard input, in the order given."""

from __future__ import annotations

import glob
import logging
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

from splade_connectors.documents import Row
from splade_connectors.errors import ConfigurationError
from splade_connectors.files.archives import without_packing
from splade_connectors.files.encoded import Vocabulary
from splade_connectors.files.readers import FORMATS, FileReader, NoRows, format_of
from splade_connectors.files.row_fields import TABLES
from splade_connectors.manifest import IndexManifest
from splade_connectors.options import ReadOptions
from splade_connectors.shown import listed

_log = logging.getLogger(__name__)
_INPUT = Path("-")


class FilesReader:
    """The documents of several files, one after the other; can be read once.

    Each file is opened and its first row looked at before the first document is given, so that a
    file that cannot be read is refused before anything is written. Files without rows are passed
    over. Usable as a context manager, which closes the file at hand.

    Args:
        sources: files, folders (all files of a known format in them, at any depth), patterns as
            of `glob`, and "-" for the standard input. A file is read once.
        options: which columns mean what, in all of them.
        **fields: those of `ReadOptions`, instead.

    Attributes:
        paths: the files, in the order in which they are read.
        text_fields: as given, or as found in the first row of the first file.
        made_by: of files that `encode` wrote, what their vectors were made with; None of texts.

    Raises:
        ConfigurationError: when there is no such file, or one of them cannot be read.
    """

    def __init__(
        self, sources: Sequence[str | Path], options: ReadOptions | None = None, **fields: Any
    ) -> None:
        self._options = options or ReadOptions(**fields)
        self.paths = found_files(sources, self._options)
        self._read = 0
        self._total = sum(_size(path) for path in self.paths)
        self._is_known = _INPUT not in self.paths
        self._reader: FileReader | None = None
        self._input: FileReader | None = None  # cannot be opened again
        self._vocabulary: Callable[[], Vocabulary] | None = None
        self.made_by: IndexManifest | None = None
        self._checked = self._check()

    @property
    def fraction(self) -> float | None:
        """How much of all files has been read, from 0 to 1; None if that is not known."""
        if not (self._total and self._is_known):
            return None
        within = self._reader.fraction if self._reader else None
        at_hand = (within or 0.0) * _size(self._reader.path) if self._reader else 0.0
        return (self._read + at_hand) / self._total

    def __iter__(self) -> Iterator[Row]:
        for path in self._checked:
            with self._opened(path) as reader:
                self._reader = reader
                if self._vocabulary is not None:
                    reader.read_with(self._vocabulary)
                yield from reader
                self._reader = None
            self._read += _size(path)

    def read_with(self, vocabulary: Callable[[], Vocabulary]) -> None:
        """Whose terms the vectors of encoded files have."""
        self._vocabulary = vocabulary

    def close(self) -> None:
        """Close the file that is read."""
        if self._reader is not None:
            self._reader.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _check(self) -> list[Path]:
        """The files that have rows; what the texts are called is known then."""
        checked: list[Path] = []
        empty: NoRows | None = None
        for path in self.paths:
            try:
                reader = self._opened(path)
            except NoRows as error:
                empty = error
                continue
            self._check_settings(reader, is_first=not checked)
            checked.append(path)
            self._options = replace(self._options, text_fields=reader.text_fields)
            if path == _INPUT:
                self._input = reader
            else:
                reader.close()
        if not checked and empty is not None:
            raise empty
        self.text_fields = self._options.text_fields
        return checked

    def _check_settings(self, reader: FileReader, *, is_first: bool) -> None:
        """All files are encoded alike, or none is."""
        if is_first:
            self.made_by = reader.made_by
        elif reader.made_by != self.made_by:
            reader.close()
            raise ConfigurationError(
                f"{reader.path} is not encoded as the files before it: index texts and vectors "
                "one after the other, and vectors of different settings too"
            )

    def _opened(self, path: Path) -> FileReader:
        if path == _INPUT and self._input is not None:
            return self._input
        label = str(path) if len(self.paths) > 1 else None
        return FileReader(path, _for_format(self._options, path), label=label)


def found_files(sources: Sequence[str | Path], options: ReadOptions) -> tuple[Path, ...]:
    """The files that are meant, each once.

    Raises:
        ConfigurationError: for a pattern that nothing matches, or a folder without known files.
    """
    found: dict[str, Path] = {}
    for source in map(str, sources):
        for path in _files_of(source, options):
            found.setdefault(source if source == "-" else os.path.realpath(path), path)
    files = tuple(found.values())
    tables = options.delimiter is not None or options.infer_types
    if len(files) > 1 and tables and not any(map(_is_table, files)) and not options.format:
        raise ConfigurationError("--delimiter and --infer-types are for CSV and TSV: none is there")
    return files


def _files_of(source: str, options: ReadOptions) -> list[Path]:
    path = Path(source)
    if source == "-" or path.is_file():
        return [path]
    if path.is_dir():
        return _files_in(path, options)
    if not glob.has_magic(source):
        return [path]  # its reader says what is wrong with it
    matches = sorted(map(Path, glob.glob(source, recursive=True)))
    if not matches:
        raise ConfigurationError(f"no file matches {source!r}")
    return [file for match in matches for file in _files_of(str(match), options)]


def _files_in(folder: Path, options: ReadOptions) -> list[Path]:
    """The files in a folder that have rows; those of other programs are named."""
    # Names with a dot or an underscore first are notes of the programs that wrote the others.
    files = [
        path
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not _is_hidden(path.relative_to(folder))
    ]
    known = [path for path in files if options.format or _has_format(path)]
    others = [str(path.relative_to(folder)) for path in files if path not in known]
    if not known:
        raise ConfigurationError(
            f"{folder} has no file of a known format ({', '.join(FORMATS)}, packed or not)"
            + (f"; it has {listed(others)}" if others else "")
        )
    if others:
        _log.warning("passed over in %s, of no known format: %s", folder, listed(others))
    return known


def _is_hidden(path: Path) -> bool:
    return any(part.startswith((".", "_")) for part in path.parts)


def _has_format(path: Path) -> bool:
    return without_packing(path).suffix.lower() in FORMATS


def _is_table(path: Path) -> bool:
    return format_of(path) in TABLES


def _for_format(options: ReadOptions, path: Path) -> ReadOptions:
    """Without what is for tables and texts only, where others are read beside them."""
    format = options.format or format_of(path)
    if format not in TABLES:
        options = replace(options, delimiter=None, infer_types=False)
    return replace(options, encoding=None) if format == "parquet" else options


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0
