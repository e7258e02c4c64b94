"""How often diagnosis finds the features that broke, next to its peers."""
