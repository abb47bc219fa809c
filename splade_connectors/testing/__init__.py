"""For tests: an in-memory store, test suites for adapters, exact scores, a model-free encoder."""

from splade_connectors.testing.attach_contract import AttachContract, Owner
from splade_connectors.testing.contract import StoreContract
from splade_connectors.testing.discard import DiscardingStore, EndlessCollection
from splade_connectors.testing.encoder import HashEncoder
from splade_connectors.testing.fusion import assert_same_fusion, exact_window
from splade_connectors.testing.memory import MemoryStore
from splade_connectors.testing.oracle import assert_same_ranking, exact_ranking, exact_scores

__all__ = [
    "AttachContract",
    "DiscardingStore",
    "EndlessCollection",
    "HashEncoder",
    "MemoryStore",
    "Owner",
    "StoreContract",
    "assert_same_fusion",
    "assert_same_ranking",
    "exact_ranking",
    "exact_scores",
    "exact_window",
]
