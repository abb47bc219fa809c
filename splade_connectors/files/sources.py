"""Several files read as one: paths, globs, folders and stdin, in the order given."""

from __future__ import annotations

import glob
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
from splade_connectors.shown import ADVICE, listed

# Of its own: the command line prints it before its run begins, too.
_INPUT = Path("-")
# Every shard of Qdrant's embedded engine has one.
_SHARD = "edge_config.json"


class FilesReader:
    """Reads the documents of several files in sequence; can be iterated once.

    Opens each file and checks its first row before yielding the first document, so that an
    unreadable file is refused before anything is written. Files without rows are skipped with a
    warning. Usable as a context manager, which closes the current file.

    Args:
        sources: files, folders (all files of a known format, recursively), `glob` patterns, and
            "-" for stdin. Each file is read once.
        options: how rows are interpreted, for all files.
        **fields: fields of `ReadOptions`, instead of `options`.

    Attributes:
        paths: the files, in reading order.
        text_fields: as given, or as found in the first row of the first file.
        made_by: for files of vectors (`encode`, `export --vectors`), their settings; else None.
        empty_files: files without rows, which are skipped; `delete_missing` then deletes nothing.

    Raises:
        ConfigurationError: if a file does not exist or cannot be read.
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
        self.empty_files: tuple[Path, ...] = ()
        self._checked = self._check()

    @property
    def fraction(self) -> float | None:
        """Fraction of all files read so far, from 0 to 1; None if unknown."""
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
        """Set the vocabulary for reading precomputed vectors."""
        self._vocabulary = vocabulary

    def close(self) -> None:
        """Close the current file."""
        if self._reader is not None:
            self._reader.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _check(self) -> list[Path]:
        """The files that have rows; also finds out the text fields."""
        checked: list[Path] = []
        empty: dict[Path, NoRows] = {}
        for path in self.paths:
            try:
                reader = self._opened(path)
            except NoRows as error:
                empty[path] = error
                continue
            self._check_settings(reader, is_first=not checked)
            checked.append(path)
            self._options = replace(self._options, text_fields=reader.text_fields)
            if path == _INPUT:
                self._input = reader
            else:
                reader.close()
        if not checked and empty:
            raise list(empty.values())[-1]
        if empty:
            ADVICE.warning("skipped, because there are no rows: %s", listed(list(map(str, empty))))
        self.empty_files = tuple(empty)
        self.text_fields = self._options.text_fields
        return checked

    def _check_settings(self, reader: FileReader, *, is_first: bool) -> None:
        """Check that all files have the same settings, or none is encoded."""
        if is_first:
            self.made_by = reader.made_by
        elif reader.made_by != self.made_by:
            reader.close()
            raise ConfigurationError(
                f"{reader.path} is not encoded like the files before it; index texts, and vectors "
                "with different settings, in separate runs"
            )

    def _opened(self, path: Path) -> FileReader:
        if path == _INPUT and self._input is not None:
            return self._input
        label = str(path) if len(self.paths) > 1 else None
        return FileReader(path, _for_format(self._options, path), label=label)


def found_files(sources: Sequence[str | Path], options: ReadOptions) -> tuple[Path, ...]:
    """Return the files that the sources refer to, each once.

    Raises:
        ConfigurationError: if a pattern matches nothing, or a folder has no file of known format.
    """
    found: dict[str, Path] = {}
    for source in map(str, sources):
        for path in _files_of(source, options):
            found.setdefault(source if source == "-" else os.path.realpath(path), path)
    files = tuple(found.values())
    tables = options.delimiter is not None or options.infer_types
    if len(files) > 1 and tables and not any(map(_is_table, files)) and not options.format:
        raise ConfigurationError(
            "--delimiter and --infer-types apply only to CSV and TSV, but there are no such files"
        )
    return files


def _files_of(source: str, options: ReadOptions) -> list[Path]:
    path = Path(source)
    if source == "-" or path.is_file():
        return [path]
    if path.is_dir():
        return _files_in(path, options)
    if not glob.has_magic(source):
        return [path]  # its reader reports what is wrong with it
    matches = sorted(map(Path, glob.glob(source, recursive=True)))
    matches = [path for path in matches if not _shards_of(path)]
    if not matches:
        raise ConfigurationError(f"no file matches {source!r}")
    return [file for match in matches for file in _files_of(str(match), options)]


def _files_in(folder: Path, options: ReadOptions) -> list[Path]:
    """The files of a known format in a folder; warns of the others."""
    # Names that start with a dot or underscore are metadata of the programs that wrote the files.
    files = [
        path
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not _is_hidden(path.relative_to(folder))
    ]
    shards = sorted({shard for path in files for shard in _shards_of(path)})
    if shards:
        named = listed([os.path.relpath(shard, folder) for shard in shards])
        ADVICE.warning("passed over in %s, shards of edge: targets: %s", folder, named)
    files = [path for path in files if not _shards_of(path)]
    known = [path for path in files if options.format or _has_format(path)]
    others = [str(path.relative_to(folder)) for path in files if path not in known]
    if not known:
        raise ConfigurationError(
            f"{folder} has no file of a known format ({', '.join(FORMATS)}, compressed or not)"
            + (f"; it has {listed(others)}" if others else "")
        )
    if others:
        ADVICE.warning("skipped files of unknown format in %s: %s", folder, listed(others))
    return known


def _shards_of(path: Path) -> list[str]:
    """The folders of `edge:` targets that a path lies in: what is there is not anybody's rows."""
    return [str(folder) for folder in path.parents if (folder / _SHARD).is_file()]


def _is_hidden(path: Path) -> bool:
    return any(part.startswith((".", "_")) for part in path.parts)


def _has_format(path: Path) -> bool:
    return without_packing(path).suffix.lower() in FORMATS


def _is_table(path: Path) -> bool:
    return format_of(path) in TABLES


def _for_format(options: ReadOptions, path: Path) -> ReadOptions:
    """The options without those that do not apply to the format of one of several files."""
    format = options.format or format_of(path)
    if format not in TABLES:
        options = replace(options, delimiter=None, infer_types=False)
    return replace(options, encoding=None) if format == "parquet" else options


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0
