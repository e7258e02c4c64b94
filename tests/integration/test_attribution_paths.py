"""Coverage is the same, bit by bit, whichever way examples go through the service."""

import asyncio
from functools import cache
from pathlib import Path

import grpc
import numpy as np
import pytest
from numpy.typing import NDArray

from aftershock.v1 import attribution_service_pb2 as pb
from services.attribution.adapters.grpc_sink import GrpcSink
from services.attribution.adapters.torch_predictor import TorchPredictor
from services.attribution.domain.lfi import LfiMethod
from services.attribution.engine.compiler import compiled
from services.attribution.engine.program import Limits
from services.attribution.explain import Explain
from services.attribution.ports import Ablator
from tests.checkpoints import random_examples
from tests.unit.services.attribution.aggregators import RecordingAggregator, served
from tests.unit.services.attribution.predictors import small_predictor
from tests.unit.services.attribution.serving import (
    ServedAttribution,
    answers,
    batch,
    dense,
    options,
)

EXAMPLES = random_examples(count=512, seed=31)


@cache
def here() -> NDArray[np.bool_]:
    """Return what is covered, [examples, features], without a service."""
    predictor = small_predictor("dots")
    engine = compiled(predictor.program, predictor.checkpoint)
    return np.asarray(Explain(engine, LfiMethod.PSEUDO_LOSS)(EXAMPLES).dense() != 0)


@cache
def two_workers(predictor: TorchPredictor) -> Ablator:
    limits = Limits(workers=2, block_rows=37, chunk_pairs=64)
    return compiled(predictor.program, predictor.checkpoint, limits)


@pytest.mark.parametrize("size", [1, 7, 29, 101, 512])
async def test_coverage_depends_on_neither_path_nor_batch(tmp_path: Path, size: int) -> None:
    order = np.random.default_rng(size).permutation(EXAMPLES.count)[: max(30, 2 * size)]
    batches = [
        batch(str(start), EXAMPLES.take(order[start : start + size]))
        for start in range(0, len(order), size)
    ]
    aggregator = RecordingAggregator()
    async with served(aggregator) as address:
        sink = GrpcSink(lambda: grpc.aio.insecure_channel(address), patience=30.0)
        delivering = asyncio.create_task(sink.run())
        async with ServedAttribution(tmp_path, sink, ablators=two_workers) as stub:
            responses = await answers(stub, [options(pb.DELIVERY_BOTH), *batches])
        delivering.cancel()
    to_caller = np.concatenate([dense(response.block) for response in responses])
    kept = [aggregator.blocks[response.batch_id] for response in responses]
    np.testing.assert_array_equal(to_caller != 0, here()[order])
    np.testing.assert_array_equal(np.concatenate([dense(block) for block in kept]), to_caller)
