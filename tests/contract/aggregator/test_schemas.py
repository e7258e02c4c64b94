"""What every store of columns promises: one suite over memory, a real Valkey and a cluster."""

from datetime import UTC, datetime, timedelta

import pytest
from redis.asyncio import Redis

from services.aggregator.adapters.memory_schemas import MemorySchemas
from services.aggregator.adapters.redis_client import connect
from services.aggregator.adapters.redis_schemas import RedisSchemas
from services.aggregator.domain.lineage.nodes import parse_node
from services.aggregator.domain.lineage.schema import DatedSchema, Schema
from services.aggregator.lineage_ports import SchemaStore
from tests.valkey import ValkeyServer

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
USERS = parse_node("dataset:postgres://db:5432:public.users")
ITEMS = parse_node("dataset:s3://bucket:items")
OLD = DatedSchema(Schema({"age": "int", "é:name": "text"}), NOON)
NEW = DatedSchema(Schema({"age": "float"}), NOON + HOUR)


@pytest.fixture
def schemas(backend: Redis | None) -> SchemaStore:
    return MemorySchemas() if backend is None else RedisSchemas(backend, timedelta(days=1))


async def test_columns_come_back_as_they_went_in(schemas: SchemaStore) -> None:
    assert await schemas.latest([USERS, ITEMS]) == {}
    await schemas.keep({USERS: OLD})
    assert await schemas.latest([USERS, ITEMS]) == {USERS: OLD}
    assert await schemas.latest([]) == {}
    await schemas.keep({})


async def test_the_latest_stay(schemas: SchemaStore) -> None:
    await schemas.keep({USERS: OLD, ITEMS: NEW})
    await schemas.keep({USERS: NEW, ITEMS: OLD})
    assert await schemas.latest([USERS, ITEMS]) == {USERS: NEW, ITEMS: NEW}


async def test_corrupt_columns_are_as_if_they_were_not_there(valkey: ValkeyServer) -> None:
    async with connect(valkey.url) as client:
        store = RedisSchemas(client, timedelta(days=1))
        await store.keep({USERS: OLD, ITEMS: OLD})
        with valkey.connect() as behind:
            key = next(behind.scan_iter("*users"))
            behind.hset(key, "columns", b"damaged")
        assert await store.latest([USERS, ITEMS]) == {ITEMS: OLD}
