"""Our Sphinx extension: generates the command pages, and links names in docstrings."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from extension import commands, names


def setup(app: Any) -> dict[str, Any]:
    """Called by Sphinx."""
    app.connect("builder-inited", _write_commands)
    app.connect("source-read", _name_other_guides)
    app.connect("autodoc-process-docstring", names.mark, priority=400)
    # Napoleon's own handler runs between these two.
    app.connect("autodoc-process-docstring", names.join, priority=600)
    app.connect("autodoc-process-signature", names.readable)
    app.connect("missing-reference", names.resolve)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def _write_commands(app: Any) -> None:
    commands.write(Path(app.srcdir) / "reference" / "generated")


def _name_other_guides(app: Any, name: str, source: list[str]) -> None:
    """List guides that the first page does not name after those that it does."""
    if name == "index":
        pages = (page.stem for page in Path(app.srcdir).glob("*.md"))
        others = (page for page in sorted(pages) if page != name and f"\n{page}\n" not in source[0])
        source[0] = source[0].replace("\nOTHERS\n", "".join(f"\n{page}" for page in others) + "\n")
