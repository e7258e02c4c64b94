"""Where the aggregator's stores keep things: each suite runs over all of them."""

from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis

from services.aggregator.adapters.redis_client import connect
from tests.unit.services.aggregator.redis_store import RedisStore
from tests.unit.services.aggregator.stores import Store
from tests.unit.services.aggregator.worlds import MemoryStore, checkpoint
from tests.valkey import ValkeyServer
from tests.valkey_cluster import ValkeyCluster


@pytest.fixture(params=["memory", "redis", "cluster"])
async def backend(request: pytest.FixtureRequest) -> AsyncIterator[Redis | None]:
    """A real Valkey, a cluster of them, or None for what is kept in memory."""
    if request.param == "memory":
        yield None
        return
    fixture = "valkey_cluster" if request.param == "cluster" else "valkey"
    server: ValkeyServer | ValkeyCluster = request.getfixturevalue(fixture)
    async with connect(server.url) as client:
        yield client


@pytest.fixture
def store(backend: Redis | None) -> Store:
    """What windows are kept in."""
    return MemoryStore() if backend is None else RedisStore(backend)


@pytest.fixture
async def registered(store: Store) -> Store:
    """The same, which knows a checkpoint."""
    await store.checkpoints.register(checkpoint())
    return store
