"""What was compiled, for a person who wonders why a model is fast or slow."""

from collections.abc import Sequence
from dataclasses import dataclass

from services.attribution.engine import costs
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


@dataclass(frozen=True)
class Join:
    """A step where features meet and a delta stays small."""

    step: str
    kind: str


@dataclass(frozen=True)
class Fallback:
    """A step that no rule covers; it and what follows run again on ablated values."""

    step: str
    operator: str
    reason: str


@dataclass(frozen=True)
class Route:
    """How a class of features reaches the logit."""

    features: int
    joins: tuple[Join, ...]
    delta_steps: int
    rerun_steps: int
    fallbacks: tuple[Fallback, ...]
    operations: float
    """Per present (example, feature) pair."""


@dataclass(frozen=True)
class Explanation:
    """What is done once per example, what per pair, and what it costs against plain ablation."""

    features: int
    """Of the schema; those on no route do not reach the logit."""
    tower_steps: int
    routes: tuple[Route, ...]
    operations_forward: float
    """To score one example."""
    unknown: tuple[str, ...]
    """Steps whose dependencies no rule covers: they depend on all that reaches them."""
    distrusted: str | None = None
    """Why no rule is used at all."""

    def predicted_speedup(self, coverage: float) -> float:
        """Return plain ablation's operations over the program's, features present at a rate."""
        pairs = sum(route.features * route.operations for route in self.routes)
        return self.features * self.operations_forward / (
            self.operations_forward + coverage * pairs
        )

    def text(self) -> str:
        """Return it as lines to print."""
        lines = [
            f"{self.features} features; {self.tower_steps} steps depend on one feature each and "
            "run once per example",
            f"scoring an example takes {self.operations_forward / 1e6:.3g} million operations",
        ]
        for route in self.routes:
            lines += _route_lines(route)
        if self.unknown:
            lines.append(f"dependencies unknown after: {', '.join(self.unknown)}")
        if self.distrusted:
            lines.append(f"no rule is used: {self.distrusted}")
        lines.append(
            f"predicted: {self.predicted_speedup(0.5):.0f} times less arithmetic than plain "
            f"ablation at 50 % coverage, {self.predicted_speedup(1.0):.0f} times at 100 %"
        )
        return "\n".join(lines)


def explain(
    graph: Graph, trunks: Sequence[Trunk], features: int, unknown: Sequence[Step], distrusted: str | None
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
    assert step is not None
    return Fallback(step.name, step.operator, trunk.reasons[index])


def _route_lines(route: Route) -> list[str]:
    joins = ", ".join(f"{join.kind} ({join.step})" for join in route.joins) or "none"
    lines = [
        f"route of {route.features} features: {route.operations / 1e6:.3g} million operations for "
        "each that is present",
        f"  joins recognised: {joins}",
        f"  steps on deltas: {route.delta_steps}; run again on ablated values: {route.rerun_steps}",
    ]
    return lines + [f"  falls back at {f.step} ({f.operator}): {f.reason}" for f in route.fallbacks]
