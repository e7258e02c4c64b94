"""Nouns and rules of the audit: rows of labels, what a trigger needs, what speaks for it."""
