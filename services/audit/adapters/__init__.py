"""What connects the audit to the world, one technology a file."""
