"""The beginning of the real timeline, computed once a session; the download is shared by all."""

from pathlib import Path

import pytest
import torch

from clients.drill.movielens.source import MovieLens, default_cache, load_movielens
from clients.drill.movielens.timeline import Timeline
from clients.drill.movielens.world import World, build_world
from clients.drill.progress import silent
from clients.drill.training import train_checkpoint

ROWS = 6_000


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    """Tests run side by side: threads that wait for each other would slow all of them down."""
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def data() -> MovieLens:
    return load_movielens(default_cache())


@pytest.fixture(scope="session")
def world(data: MovieLens) -> World:
    """Long enough for the upstream models to have been fitted once."""
    return build_world(Timeline(data, data.events.first(ROWS)), silent)


@pytest.fixture(scope="session")
def checkpoint(world: World, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train_checkpoint(world, tmp_path_factory.mktemp("checkpoint"), seed=0)
