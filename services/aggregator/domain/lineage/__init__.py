"""What feeds what, and how a shift spreads along it: the standard library and NumPy."""
