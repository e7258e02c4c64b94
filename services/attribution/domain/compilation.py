"""How a checkpoint is ablated, for a person who wonders why it is fast or slow."""

from dataclasses import dataclass


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

    @property
    def fallback_share(self) -> float:
        """Share of the features that reach the logit on a route where steps run again."""
        fallback = sum(route.features for route in self.routes if route.rerun_steps)
        return fallback / max(sum(route.features for route in self.routes), 1)

    @property
    def operations_plain(self) -> float:
        """To run the model once for each feature of one example."""
        return self.features * self.operations_forward

    def operations(self, coverage: float) -> float:
        """Return what it takes to ablate one example, features present at a rate."""
        pairs = sum(route.features * route.operations for route in self.routes)
        return self.operations_forward + coverage * pairs

    def predicted_speedup(self, coverage: float) -> float:
        """Return plain ablation's operations over these, features present at a rate."""
        return self.operations_plain / self.operations(coverage)

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


def _route_lines(route: Route) -> list[str]:
    joins = ", ".join(f"{join.kind} ({join.step})" for join in route.joins) or "none"
    lines = [
        f"route of {route.features} features: {route.operations / 1e6:.3g} million operations for "
        "each that is present",
        f"  joins recognised: {joins}",
        f"  steps on deltas: {route.delta_steps}; run again on ablated values: {route.rerun_steps}",
    ]
    return lines + [f"  falls back at {f.step} ({f.operator}): {f.reason}" for f in route.fallbacks]
