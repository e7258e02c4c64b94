"""Fixtures that every test can ask for."""

from hypothesis import settings

pytest_plugins = [
    "tests.mlflow",
    "tests.postgres",
    "tests.synapse",
    "tests.valkey",
    "tests.valkey_cluster",
]

# No test judges by time: on a busy machine an example takes what it takes.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")
