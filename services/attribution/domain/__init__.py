"""Examples, baselines, checkpoints and importances: the standard library and NumPy only."""
