"""Messages of the contract as the domain's nouns."""

from collections.abc import Collection
from datetime import UTC, datetime

from google.protobuf.timestamp_pb2 import Timestamp

from aftershock.v1.aggregator_service_pb2 import ModelRules, ReportOutcomesRequest
from aftershock.v1.checkpoint_pb2 import Checkpoint as CheckpointMessage
from aftershock.v1.example_pb2 import FeatureKind as FeatureKindMessage
from aftershock.v1.example_pb2 import Population as PopulationMessage
from aftershock.v1.importance_pb2 import LfiBlock, LfiMethod
from aftershock.v1.shift_pb2 import RankBy as RankByMessage
from services.aggregator.adapters.incoming_sketches import sketch_of
from services.aggregator.adapters.tensors import float32, uint32
from services.aggregator.domain.block import Block, Method, Population
from services.aggregator.domain.checkpoint import Checkpoint, Feature, FeatureKind
from services.aggregator.domain.outcomes import OutcomeReport
from services.aggregator.domain.shift import RankBy
from services.aggregator.domain.window import Interval
from services.aggregator.domain.window import ModelRules as OwnRules
from services.chassis.errors import InvalidRequest

_POPULATIONS = {
    PopulationMessage.POPULATION_CONSIDERED: Population.CONSIDERED,
    PopulationMessage.POPULATION_DISPLAYED: Population.DISPLAYED,
}
_METHODS = {
    LfiMethod.LFI_METHOD_PSEUDO_LOSS: Method.PSEUDO_LOSS,
    LfiMethod.LFI_METHOD_RELATIVE: Method.RELATIVE,
}
_KIND_PREFIX = "FEATURE_KIND_"


def model_of(name: str) -> str:
    """Return the model's id in a resource name that the contract has checked."""
    return name.removeprefix("models/").partition("/")[0]


def time_of(timestamp: Timestamp, field: str) -> datetime:
    """Return the time to the microsecond.

    Raises:
        InvalidRequest: it lies outside the years 1 to 9999.
    """
    try:
        return timestamp.ToDatetime(tzinfo=UTC)
    except (ValueError, OverflowError) as error:
        raise InvalidRequest([(field, f"is not a time: {error}")]) from error


def checkpoint_of(message: CheckpointMessage) -> Checkpoint:
    """Return the checkpoint.

    Raises:
        InvalidRequest: `trained_until` is not a time.
    """
    return Checkpoint(
        model=model_of(message.name),
        version=message.name.rpartition("/")[2],
        digest=message.digest,
        trained_until=time_of(message.trained_until, "checkpoint.trained_until"),
        features=tuple(Feature(f.name, _kind_of(f.kind)) for f in message.features),
    )


def populations_of(value: PopulationMessage.ValueType) -> Collection[Population]:
    """Return the population that is asked for, or both where none is."""
    asked = _POPULATIONS.get(value)
    return tuple(Population) if asked is None else (asked,)


def rank_by_of(value: RankByMessage.ValueType) -> RankBy:
    """Return what features are to be ranked by: by evidence where nothing is asked for."""
    name = RankByMessage.Name(value).removeprefix("RANK_BY_")
    return RankBy[name] if name in RankBy.__members__ else RankBy.EVIDENCE


def block_of(message: LfiBlock) -> Block:
    """Return the block, checked.

    Raises:
        InvalidRequest: `event_time` is not a time.
        MalformedBlock, NotFinite: an array does not fit.
    """
    predictions = float32(message.predictions, "block.predictions")
    has_sketch = message.HasField("value_sketch")
    return Block(
        block_id=message.block_id,
        model=model_of(message.model),
        digest=message.checkpoint_digest,
        method=_METHODS[message.method],
        population=_POPULATIONS[message.population],
        event_time=time_of(message.event_time, "block.event_time"),
        example_count=message.example_count,
        offsets=uint32(message.feature_offsets, "block.feature_offsets"),
        indices=uint32(message.example_indices, "block.example_indices"),
        values=float32(message.values, "block.values"),
        predictions=predictions,
        arrow_stream=message.arrow_stream,
        sketch=sketch_of(message.value_sketch, predictions) if has_sketch else None,
    )


def rules_of(message: ModelRules) -> OwnRules:
    """Return a model's own rules."""
    return OwnRules(
        allowed_lateness=(
            message.allowed_lateness.ToTimedelta() if message.HasField("allowed_lateness") else None
        ),
        retention=message.retention.ToTimedelta() if message.HasField("retention") else None,
    )


def report_of(message: ReportOutcomesRequest) -> OutcomeReport:
    """Return the outcomes.

    Raises:
        InvalidRequest: a bound is not a time.
        InvalidOutcomes: a count is beyond counting.
    """
    start = time_of(message.start_time, "start_time")
    end = time_of(message.end_time, "end_time")
    return OutcomeReport(
        model=model_of(message.model),
        request_id=message.request_id,
        interval=Interval(start, end),
        expected=message.expected,
        observed=message.observed,
    )


def _kind_of(kind: FeatureKindMessage.ValueType) -> FeatureKind:
    return FeatureKind[FeatureKindMessage.Name(kind).removeprefix(_KIND_PREFIX)]
