"""Nouns and rules of the runbook. Pure: standard library only."""
