"""Between the domain's nouns and the contract's messages."""

from dataclasses import asdict
from datetime import UTC

import numpy as np
from google.protobuf.timestamp_pb2 import Timestamp
from numpy.typing import NDArray

from aftershock.v1 import attribution_service_pb2 as pb
from aftershock.v1 import checkpoint_pb2, example_pb2, importance_pb2
from services.attribution.domain.block import Batch, LfiBlock, Population
from services.attribution.domain.checkpoint import Checkpoint, Group
from services.attribution.domain.compilation import Explanation, Route
from services.attribution.domain.importance import Move
from services.attribution.domain.lfi import LfiMethod
from services.attribution.domain.sketch import ValueSketch
from services.attribution.insert import InsertionOutcome
from services.chassis.errors import InvalidRequest

_POPULATIONS = {
    example_pb2.POPULATION_CONSIDERED: Population.CONSIDERED,
    example_pb2.POPULATION_DISPLAYED: Population.DISPLAYED,
}
_METHODS = {
    importance_pb2.LFI_METHOD_UNSPECIFIED: LfiMethod.PSEUDO_LOSS,
    importance_pb2.LFI_METHOD_PSEUDO_LOSS: LfiMethod.PSEUDO_LOSS,
    importance_pb2.LFI_METHOD_RELATIVE: LfiMethod.RELATIVE,
}
_COVERAGES = (0.5, 1.0)
"""At which costs are predicted."""
_DATA_TYPES = {
    "float32": importance_pb2.DATA_TYPE_FLOAT32,
    "uint32": importance_pb2.DATA_TYPE_UINT32,
    "int16": importance_pb2.DATA_TYPE_INT16,
    "int64": importance_pb2.DATA_TYPE_INT64,
    "float64": importance_pb2.DATA_TYPE_FLOAT64,
}


def method_of(method: importance_pb2.LfiMethod.ValueType) -> LfiMethod:
    """Return the equation that options ask for; unspecified is the pseudo-loss."""
    return _METHODS[method]


def batch_of(message: example_pb2.ExampleBatch) -> Batch:
    """Return a batch that the contract's rules have let through.

    Raises:
        InvalidRequest: its time is not between the years 1 and 9999.
    """
    seconds = message.event_time.seconds + message.event_time.nanos / 1e9
    try:
        event_time = message.event_time.ToDatetime(tzinfo=UTC)
    except (ValueError, OverflowError) as error:
        raise InvalidRequest([("batch.event_time", f"{seconds} s is no time: {error}")]) from error
    return Batch(
        batch_id=message.batch_id,
        population=_POPULATIONS[message.population],
        event_time=event_time,
        arrow_stream=message.arrow_stream,
    )


def checkpoint_message(checkpoint: Checkpoint) -> checkpoint_pb2.Checkpoint:
    """Return a checkpoint as the contract names it."""
    message = checkpoint_pb2.Checkpoint(
        name=checkpoint.name, digest=checkpoint.digest, classes=checkpoint.classes
    )
    message.trained_until.FromDatetime(checkpoint.trained_until)
    for feature in checkpoint.schema.features:
        if isinstance(feature, Group):
            members = [column.name for column in feature.members]
            message.features.add(
                name=feature.name, kind=example_pb2.FEATURE_KIND_GROUP, members=members
            )
        else:
            kind = example_pb2.FeatureKind.Value(f"FEATURE_KIND_{feature.kind.value}")
            message.features.add(name=feature.name, kind=kind)
    return message


def explanation_message(
    checkpoint: Checkpoint, explanation: Explanation
) -> pb.ExplainCheckpointResponse:
    """Return how a checkpoint is ablated."""
    return pb.ExplainCheckpointResponse(
        checkpoint=checkpoint_message(checkpoint),
        feature_count=explanation.features,
        tower_step_count=explanation.tower_steps,
        forward_operations=explanation.operations_forward,
        routes=map(_route_message, explanation.routes),
        unknown_steps=explanation.unknown,
        distrust_reason=explanation.distrusted or "",
        predicted_costs=[
            pb.PredictedCost(
                coverage=coverage,
                operations=explanation.operations(coverage),
                plain_operations=explanation.operations_plain,
            )
            for coverage in _COVERAGES
        ],
    )


def _route_message(route: Route) -> pb.AblationRoute:
    return pb.AblationRoute(
        feature_count=route.features,
        joins=[pb.RecognisedJoin(step=join.step, kind=join.kind) for join in route.joins],
        delta_step_count=route.delta_steps,
        rerun_step_count=route.rerun_steps,
        fallbacks=[
            pb.AblationFallback(step=f.step, operator=f.operator, reason=f.reason)
            for f in route.fallbacks
        ],
        operations_per_pair=route.operations,
    )


def block_message(block: LfiBlock, *, with_examples: bool) -> importance_pb2.LfiBlock:
    """Return a block, with the batch's examples for a window's sample or without."""
    batch, lfi = block.batch, block.lfi
    event_time = Timestamp()
    event_time.FromDatetime(batch.event_time)
    return importance_pb2.LfiBlock(
        block_id=batch.batch_id,
        model=f"models/{block.checkpoint.model}",
        checkpoint_digest=block.checkpoint.digest,
        method=importance_pb2.LfiMethod.Value(f"LFI_METHOD_{block.method.value}"),
        population=example_pb2.Population.Value(f"POPULATION_{batch.population.value}"),
        event_time=event_time,
        example_count=len(lfi.predictions),
        feature_offsets=tensor_message(lfi.offsets),
        example_indices=tensor_message(lfi.example_indices),
        values=tensor_message(lfi.values),
        predictions=tensor_message(lfi.predictions),
        arrow_stream=batch.arrow_stream if with_examples else b"",
        value_sketch=_sketch_message(block.sketch),
    )


def _sketch_message(sketch: ValueSketch) -> importance_pb2.ValueSketch:
    return importance_pb2.ValueSketch(
        baseline_counts=tensor_message(sketch.baseline_counts),
        bucket_offsets=tensor_message(sketch.buckets.offsets),
        buckets=tensor_message(sketch.buckets.keys),
        bucket_counts=tensor_message(sketch.buckets.counts),
        hitter_offsets=tensor_message(sketch.hitters.offsets),
        hitter_ids=tensor_message(sketch.hitters.keys),
        hitter_counts=tensor_message(sketch.hitters.counts),
        moments=tensor_message(sketch.moments),
    )


def insertion_message(outcome: InsertionOutcome) -> pb.InsertionOutcome:
    """Return what one id did."""
    return pb.InsertionOutcome(**asdict(outcome))


def move_message(move: Move) -> pb.ImportanceMove:
    """Return how an importance moved."""
    return pb.ImportanceMove(
        windows=[pb.WindowImportance(**asdict(window)) for window in move.windows],
        shift=move.shift,
        noise=move.noise,
        z=move.z,
    )


def tensor_message(array: NDArray[np.generic]) -> importance_pb2.Tensor:
    """Return an array as little-endian bytes with its type and shape."""
    return importance_pb2.Tensor(
        data_type=_DATA_TYPES[array.dtype.name],
        shape=array.shape,
        data=array.astype(array.dtype.newbyteorder("<"), copy=False).tobytes(),
    )
