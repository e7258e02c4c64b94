"""Columns of datasets in Redis, all under one hash tag that no model's name can be.

as:{:schemas}:<dataset>        hash     `time` in microseconds, and `columns`, sealed JSON
"""

import json
import logging
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from redis.asyncio import Redis

from services.aggregator.adapters.metrics import CORRUPT_VALUES
from services.aggregator.adapters.packing import seal, unseal
from services.aggregator.adapters.redis_client import Script, ask
from services.aggregator.adapters.redis_keys import from_micros, micros
from services.aggregator.domain.errors import CorruptValue
from services.aggregator.domain.lineage.nodes import NodeId
from services.aggregator.domain.lineage.schema import DatedSchema, Schema

_log = logging.getLogger(__name__)
_keep = Script("keep_schemas")
_MILLISECOND = timedelta(milliseconds=1)


@dataclass(frozen=True)
class RedisSchemas:
    """Implements SchemaStore."""

    client: Redis
    retention: timedelta
    """How long a dataset's columns are kept after it was last told of."""

    async def latest(self, datasets: Collection[NodeId]) -> Mapping[NodeId, DatedSchema]:
        """Return what is known of them."""
        pipeline: Any = self.client.pipeline(transaction=False)
        for dataset in datasets:
            pipeline.hmget(_key(dataset), "time", "columns")
        answers = await ask(pipeline.execute()) if datasets else []
        read = {
            dataset: _opened(dataset, *answer)
            for dataset, answer in zip(datasets, answers, strict=True)
        }
        return {dataset: schema for dataset, schema in read.items() if schema is not None}

    async def keep(self, schemas: Mapping[NodeId, DatedSchema]) -> None:
        """Keep the columns of each dataset, unless later ones of it are kept."""
        if not schemas:
            return
        values: list[int | bytes] = [self.retention // _MILLISECOND]
        for schema in schemas.values():
            columns = json.dumps(dict(schema.schema.columns)).encode()
            values += [micros(schema.time), seal(columns)]
        await _keep(self.client, [_key(dataset) for dataset in schemas], values)


def _opened(dataset: NodeId, time: bytes | None, columns: bytes | None) -> DatedSchema | None:
    if time is None or columns is None:
        return None
    try:
        payload = unseal(columns, f"the columns of {dataset}")
    except CorruptValue:
        # The next run of a pipeline that touches it tells them anew.
        CORRUPT_VALUES.labels("schema").inc()
        _log.error("left out corrupt columns", extra={"dataset": str(dataset)})
        return None
    return DatedSchema(Schema(json.loads(payload)), from_micros(int(time)))


def _key(dataset: NodeId) -> str:
    return f"as:{{:schemas}}:{dataset}"
