"""Measuring search quality with judged queries, comparing fusions, and tuning."""

from splade_connectors.evaluate.compare import Comparison, Row, compare
from splade_connectors.evaluate.data import Judged, read_beir
from splade_connectors.evaluate.run import Evaluation, evaluate
from splade_connectors.evaluate.settings import calibrate
from splade_connectors.evaluate.study import Study, read_tuning, write_tuning
from splade_connectors.evaluate.trec import write_run
from splade_connectors.evaluate.tune import tune
from splade_connectors.evaluate.windows import LegRun, QueryVectors, collect
from splade_connectors.fusion.tuning import Tuning

__all__ = [
    "Comparison",
    "Evaluation",
    "Judged",
    "LegRun",
    "QueryVectors",
    "Row",
    "Study",
    "Tuning",
    "calibrate",
    "collect",
    "compare",
    "evaluate",
    "read_beir",
    "read_tuning",
    "tune",
    "write_run",
    "write_tuning",
]
