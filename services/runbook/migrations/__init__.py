"""Alembic's migrations of the runbook's database, run when the service starts."""
