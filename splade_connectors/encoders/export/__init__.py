"""Convert any SPLADE model to a graph with pooling, or to int8 weights."""
