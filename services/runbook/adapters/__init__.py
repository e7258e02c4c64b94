"""Where the runbook meets the world: one technology a file."""
