"""Execution of verbs, blocking or awaited."""
