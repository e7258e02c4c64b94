"""How fast importances are computed, and what is added or saved on the way to their caller."""
