"""Server interceptors, one concern a file."""
