"""What attribution stands on, one technology a file."""
