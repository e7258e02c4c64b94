"""Checkpoints and the list of models in Redis."""

from collections import OrderedDict
from collections.abc import Sequence
from datetime import timedelta

from redis.asyncio import Redis

from aftershock.v1 import checkpoint_pb2 as pb
from services.aggregator.adapters.incoming import checkpoint_of
from services.aggregator.adapters.outgoing import checkpoint_message
from services.aggregator.adapters.packing import seal, unseal
from services.aggregator.adapters.redis_client import Script, ask
from services.aggregator.adapters.redis_keys import (
    MODELS,
    RULE_FIELDS,
    ModelKeys,
    from_micros,
    rules_of,
)
from services.aggregator.domain.checkpoint import Checkpoint
from services.aggregator.domain.errors import (
    CheckpointMismatch,
    CheckpointNotFound,
    CorruptValue,
    ModelNotFound,
)
from services.aggregator.domain.window import ModelRules, ModelState

_rules = Script("rules")
_REMEMBERED = 256


class RedisCheckpoints:
    """Implements CheckpointStore and ModelDirectory.

    A checkpoint never changes, so a replica remembers those that it has read. What it remembers
    may be gone from Redis: `append` looks for itself.
    """

    def __init__(self, client: Redis, retention: timedelta) -> None:
        self._client = client
        self._retention = retention
        self._remembered: OrderedDict[tuple[str, str], Checkpoint] = OrderedDict()

    async def register(self, checkpoint: Checkpoint) -> None:
        """Keep the checkpoint and make it the model's latest."""
        keys = ModelKeys(checkpoint.model)
        key = keys.checkpoint(checkpoint.digest)
        known = await self._read(key)
        if known is not None and known != checkpoint:
            raise CheckpointMismatch.of_digest(known.name)
        packed = seal(checkpoint_message(checkpoint).SerializeToString())
        own = rules_of(*await ask(self._client.hmget(keys.meta, [*RULE_FIELDS])))
        retention = own.retention or self._retention
        pipeline = self._client.pipeline()
        pipeline.set(key, packed, ex=retention)
        pipeline.hset(keys.meta, "checkpoint", checkpoint.digest)
        pipeline.expire(keys.meta, retention)
        await ask(pipeline.execute())
        await ask(self._client.sadd(MODELS, checkpoint.model))

    async def find(self, model: str, digest: str) -> Checkpoint:
        """Return the checkpoint."""
        remembered = self._remembered.get((model, digest))
        if remembered is not None:
            self._remembered.move_to_end((model, digest))
            return remembered
        found = await self._read(ModelKeys(model).checkpoint(digest))
        if found is None:
            raise CheckpointNotFound(model, digest)
        self._remembered[model, digest] = found
        if len(self._remembered) > _REMEMBERED:
            self._remembered.popitem(last=False)
        return found

    async def models(self) -> Sequence[str]:
        """Return the names of all models, sorted."""
        names = sorted(name.decode() for name in await ask(self._client.smembers(MODELS)))
        pipeline = self._client.pipeline(transaction=False)
        for name in names:
            pipeline.exists(ModelKeys(name).meta)
        kept = await ask(pipeline.execute())
        return [
            name
            for name, is_kept in zip(names, kept, strict=True)
            if is_kept or await self._came_back(name)
        ]

    async def model(self, model: str) -> ModelState:
        """Return the state of one."""
        fields = await ask(self._client.hgetall(ModelKeys(model).meta))
        if b"checkpoint" not in fields:
            raise ModelNotFound(model)
        watermark, latest = (fields.get(field) for field in (b"watermark", b"latest_event"))
        return ModelState(
            model=model,
            digest=fields[b"checkpoint"].decode(),
            watermark=from_micros(int(watermark)) if watermark else None,
            latest_event_time=from_micros(int(latest)) if latest else None,
            block_count=int(fields.get(b"blocks", 0)),
            duplicate_count=int(fields.get(b"duplicates", 0)),
            refused_count=int(fields.get(b"refused", 0)),
            rules=rules_of(*(fields.get(field.encode()) for field in RULE_FIELDS)),
        )

    async def set_rules(self, model: str, rules: ModelRules) -> None:
        """Give the model rules of its own."""
        lateness, retention = rules.allowed_lateness, rules.retention
        values = [
            "" if lateness is None else lateness // timedelta(microseconds=1),
            "" if retention is None else retention // timedelta(seconds=1),
        ]
        if not await _rules(self._client, [ModelKeys(model).meta], values):
            raise ModelNotFound(model)

    async def _read(self, key: str) -> Checkpoint | None:
        value = await ask(self._client.get(key))
        if value is None:
            return None
        try:
            payload = unseal(value, key)
        except CorruptValue:
            # The next stream registers it anew.
            return None
        return checkpoint_of(pb.Checkpoint.FromString(payload))

    async def _came_back(self, model: str) -> bool:
        """Take the model off the list, unless it was registered in the meantime."""
        await ask(self._client.srem(MODELS, model))
        if not await ask(self._client.exists(ModelKeys(model).meta)):
            return False
        await ask(self._client.sadd(MODELS, model))
        return True
