"""MovieLens-100K as a click model's pipeline would have logged it."""
