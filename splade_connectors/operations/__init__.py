"""The verbs of a store, one module each."""
