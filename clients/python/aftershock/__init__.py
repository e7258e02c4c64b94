"""Aftershock's Python SDK."""
