"""What is made of a model for a collection: query weights, so that queries need no model."""

from splade_connectors.train.loss import Loss
from splade_connectors.train.query_weights import QueryWeights, make_query_weights

__all__ = ["Loss", "QueryWeights", "make_query_weights"]
