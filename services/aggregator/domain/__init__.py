"""Blocks, windows, importances and their shifts: the standard library and NumPy only."""
