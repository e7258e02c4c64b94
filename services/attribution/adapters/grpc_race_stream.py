"""One ComputeLfi stream that races features: batches in, standings out."""

from dataclasses import dataclass, field
from functools import partial

from aftershock.v1 import attribution_service_pb2 as pb
from aftershock.v1 import example_pb2
from services.attribution.adapters.grpc_lfi_stream import Decoded, LfiStream
from services.attribution.adapters.grpc_messages import batch_of
from services.attribution.domain.checkpoint import Checkpoint
from services.attribution.domain.racing import Outcome, Race, Racing, Standing
from services.attribution.race import RaceOn
from services.chassis.errors import InvalidRequest

_OUTCOMES = {outcome: pb.RaceOutcome.Value(f"RACE_OUTCOME_{outcome.name}") for outcome in Outcome}
_IN_FRONT = (Outcome.TOP, Outcome.OPEN)


@dataclass(frozen=True, kw_only=True)
class RaceStream(LfiStream):
    """A stream whose options ask for a race."""

    race: Race
    populations: set[int] = field(default_factory=set)
    """Of the batches so far: one at most."""

    async def attributed(self, message: example_pb2.ExampleBatch) -> pb.ComputeLfiResponse:
        """Return how the race stands with the batch counted.

        Raises:
            InvalidRequest: the batch is not of the population of those before it.
        """
        self.populations.add(message.population)
        if len(self.populations) > 1:
            self.populations.remove(message.population)
            raise InvalidRequest(
                [("batch.population", "a race is of one population: open a stream for the other")]
            )
        decoded = partial(self.decoded, batch_of(message))
        standing = await self.inference.run(decoded, self._raced)
        return pb.ComputeLfiResponse(batch_id=message.batch_id, standing=standing)

    def _raced(self, decoded: Decoded) -> pb.RaceStanding:
        racing, ablator = self.race.racing, self.explain.ablator
        race_on = RaceOn(self.explain, self.race)
        standing = race_on(decoded.examples, decoded.present, lambda: not self.ended.is_set())
        ablated = int(decoded.present[racing].sum())
        decoded.count_pairs(ablated, ablator.explanation.fallback_share)
        return standing_message(standing, ablator.checkpoint)


def racing_of(options: pb.ComputeLfiOptions, checkpoint: Checkpoint) -> Racing:
    """Return the race that options ask for.

    Raises:
        InvalidRequest: it is for windows too, or for as many features as there are.
    """
    if options.delivery in (pb.DELIVERY_AGGREGATOR, pb.DELIVERY_BOTH):
        raise InvalidRequest(
            [
                (
                    "options.racing",
                    "a race leaves LFIs out, and windows need the LFIs of every feature: race with "
                    "delivery to the caller, or deliver to the aggregator without a race",
                )
            ]
        )
    count = len(checkpoint.schema.features)
    if options.racing.top_k >= count:
        raise InvalidRequest(
            [("options.racing.top_k", f"{checkpoint.name} has {count} features: seek fewer")]
        )
    asked = options.racing
    return Racing(asked.top_k, asked.confidence, asked.least_coverage)


def standing_message(standing: Standing, checkpoint: Checkpoint) -> pb.RaceStanding:
    """Return a standing as the contract says it."""
    message = pb.RaceStanding(
        settled=standing.is_settled,
        example_count=standing.example_count,
        pairs_ablated=standing.pairs_ablated,
        pairs_saved=standing.pairs_saved,
    )
    features = checkpoint.schema.features
    for j in sorted(range(len(features)), key=partial(_place, standing)):
        message.features.add(
            feature=features[j].name,
            outcome=_OUTCOMES[standing.outcomes[j]],
            example_count=int(standing.example_counts[j]),
            gfi=standing.gfi[j],
            gfi_lower=standing.lower[j],
            gfi_upper=standing.upper[j],
            coverage=standing.coverage[j],
        )
    return message


def _place(standing: Standing, feature: int) -> tuple[bool, float]:
    return standing.outcomes[feature] not in _IN_FRONT, -float(standing.gfi[feature])
