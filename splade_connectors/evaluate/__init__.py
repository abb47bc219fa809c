"""How good are the results: queries with judgements, and the usual measures."""

from splade_connectors.evaluate.data import Judged, read_beir
from splade_connectors.evaluate.run import Evaluation, evaluate

__all__ = ["Evaluation", "Judged", "evaluate", "read_beir"]
