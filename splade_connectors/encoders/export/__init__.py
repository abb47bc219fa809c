"""From somebody's model to a graph with the pooling inside."""
