"""Descriptions of features as messages of the contract."""

from aftershock.v1.example_pb2 import FeatureKind
from aftershock.v1.importance_pb2 import FeatureProfile, Quantity, QuantityProfile
from aftershock.v1.importance_pb2 import HeavyHitter as HeavyHitterMessage
from services.aggregator.domain.description import Description, QuantityDescription


def profile_message(description: Description) -> FeatureProfile:
    """Return a feature's description as a message."""
    return FeatureProfile(
        feature=description.feature.name,
        kind=FeatureKind.Value(f"FEATURE_KIND_{description.feature.kind.value}"),
        baseline_rate=description.baseline_rate,
        quantities=map(_quantity, description.quantities),
        example_count=description.example_count,
        coverage=description.coverage,
        lfi_quantiles=description.lfi_quantiles,
    )


def _quantity(described: QuantityDescription) -> QuantityProfile:
    return QuantityProfile(
        quantity=Quantity.Value(f"QUANTITY_{described.quantity.value}"),
        quantiles=described.quantiles,
        heavy_hitters=(
            HeavyHitterMessage(id=hitter.id, frequency=hitter.frequency)
            for hitter in described.heavy_hitters
        ),
        correlation=described.correlation,
    )
