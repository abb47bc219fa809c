"""Fitting query weights to a model and a collection, so that queries need no inference."""

from splade_connectors.train.loss import Loss
from splade_connectors.train.query_weights import QueryWeights, make_query_weights

__all__ = ["Loss", "QueryWeights", "make_query_weights"]
