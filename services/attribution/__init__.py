"""Examples in, local feature importances out."""
