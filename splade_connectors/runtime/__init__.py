"""How a verb is executed, blocking or awaited."""
