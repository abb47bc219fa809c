import pytest

pytest.importorskip("splade_kernels", reason="make kernels builds it, where cargo is")
