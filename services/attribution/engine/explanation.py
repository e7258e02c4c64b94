"""Says what was compiled."""

from collections.abc import Sequence

from services.attribution.domain.compilation import Explanation, Fallback, Join, Route
from services.attribution.engine import costs
from services.attribution.engine.certainty import sure
from services.attribution.engine.graph import Graph, Step
from services.attribution.engine.trunk import Trunk

_KINDS = {
    "linear": "linear map",
    "addmm": "linear map",
    "layer_norm": "layer normalisation",
    "native_layer_norm": "layer normalisation",
    "batch_norm": "batch normalisation",
    "batch_norm_inference": "batch normalisation",
    "bmm": "pairwise dots",
    "matmul": "pairwise dots",
    "mul": "product",
    "sum": "sum",
    "mean": "mean",
    "add": "elementwise sum",
    "sub": "elementwise sum",
}


def explain(
    graph: Graph,
    trunks: Sequence[Trunk],
    features: int,
    unknown: Sequence[Step],
    distrusted: str | None,
) -> Explanation:
    """Return what was compiled."""
    joint = {step.index for trunk in trunks for step in trunk.joint}
    return Explanation(
        features=features,
        tower_steps=sum(step.index not in joint for step in graph.steps),
        routes=tuple(_route(trunk) for trunk in trunks),
        operations_forward=costs.of_forward(graph),
        unknown=tuple(step.name for step in unknown),
        distrusted=distrusted,
    )


def _route(trunk: Trunk) -> Route:
    joins = [s for s in trunk.structured if s.index in trunk.structural and s.operator in _KINDS]
    return Route(
        features=len(trunk.features),
        joins=tuple(Join(s.name, _KINDS[s.operator]) for s in joins),
        delta_steps=len(trunk.structured) + len(trunk.dense) + len(trunk.fused),
        rerun_steps=len(trunk.again),
        fallbacks=tuple(_fallback(trunk, index) for index in trunk.reasons),
        operations=costs.of_pair(trunk),
    )


def _fallback(trunk: Trunk, index: int) -> Fallback:
    step = trunk.graph.step(index)
    step = sure(step)
    return Fallback(step.name, step.operator, trunk.reasons[index])
