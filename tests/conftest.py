"""Fixtures that every test can ask for."""

pytest_plugins = ["tests.mlflow", "tests.postgres", "tests.valkey", "tests.valkey_cluster"]
