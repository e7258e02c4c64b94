"""Trains policies from drills and from what experts decided."""
