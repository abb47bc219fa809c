import pathlib
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent))  # for `small`

pytest.importorskip("splade_kernels", reason="make kernels builds it, where cargo is")
