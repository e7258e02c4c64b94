"""Which node upstream best explains that several nodes shifted together.

Every node upstream of a shifted one is a hypothesis: that it broke, and nothing else did. Beside
them stands the hypothesis that the shifts have no cause in common. Under the latter, each observed
node shifts by chance with probability e. If a node broke, a node downstream of it shifts with
probability

    h = max(e, r^d * (1 + log10(min(s, 1)) / 3))

where s is the strength of the strongest path between them and d its number of edges: faults come in
all sizes, evenly over three orders of magnitude, so a path of strength 1/10 hides a third of them;
and every step has a chance 1 - r of setting things right. Nodes that are not downstream of it shift
by chance. So the likelihood ratio of a hypothesis to coincidence is the product of h / e over the
shifted nodes downstream of it and of (1 - h) / (1 - e) over the silent ones that are no further:
it must cover the shifted set, and answer for the silence of its other outputs. What happened to the
node shortly before multiplies its prior odds by how much more often such events come before a fault
than before any other moment. Probabilities are these products over their sum (Bayes' rule with a
single fault), the prior being shared evenly by the hypotheses.
"""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from services.aggregator.domain.lineage.facts import EventKind
from services.aggregator.domain.lineage.observations import Observations
from services.aggregator.domain.lineage.reach import Bounds, Reach, Truncation, reach
from services.aggregator.domain.lineage.view import Direction, GraphView

_BY_CHANCE = 0.005
"""e: about what false-discovery control lets through."""
_PASSED_ON = 0.95
"""r."""
_MOST_CERTAIN = 0.99
_DECADES = 3
_PRIOR_OF_A_COMMON_CAUSE = 0.5
_FEWEST_WEIGHED, _MOST_WEIGHED = 20, 100
_HOPELESS = 15.0
"""Hypotheses whose log odds cannot come closer to the best are not weighed."""
ODDS_OF_EVENTS: Mapping[EventKind, float] = {
    EventKind.FAILED_RUN: 8.0,
    EventKind.SCHEMA_CHANGE: 6.0,
    EventKind.DEPLOY: 4.0,
    EventKind.LIFECYCLE_CHANGE: 4.0,
    EventKind.CHECKPOINT_PUBLISH: 4.0,
    EventKind.ROLLBACK: 4.0,
}
"""How much more often such an event precedes a fault than any other moment: judgements of people
who answer pages, for want of counts. What is missing says nothing."""


@dataclass(frozen=True, eq=False)
class Hypothesis:
    """A node that may have broken, by number."""

    node: int
    log_odds: float
    """Against coincidence."""
    covered: Sequence[int]
    silent: Sequence[int]
    """The most telling first."""
    depth: int
    """Edges to the nearest other node that it covers."""
    below: Reach
    """What lies downstream of it."""


@dataclass(frozen=True)
class Causes:
    """The most likely hypotheses first, with their probabilities, and that of coincidence."""

    ranked: Sequence[tuple[Hypothesis, float]]
    coincidence: float
    truncation: Truncation


@dataclass(frozen=True, eq=False)
class _Case:
    """What is to be explained, and by what."""

    view: GraphView
    shifted: NDArray[np.intp]
    seen: Observations
    events: Mapping[int, Collection[EventKind]]
    bounds: Bounds

    def most(self) -> tuple[NDArray[np.float64], NDArray[np.int16], Truncation]:
        """Return how much can speak for each node at most, [N], and how far what it covers is.

        -inf where it covers nothing.
        """
        most = np.full(len(self.view.nodes), -np.inf)
        furthest = np.zeros(len(most), np.int16)
        is_deep = is_wide = False
        for node in self.shifted:
            above = reach(self.view, np.array([node], np.intp), Direction.UPSTREAM, self.bounds)
            nodes = above.nodes[1:]
            hit = _chances(above.strengths[1:], above.distances[1:])
            most[nodes] = np.maximum(most[nodes], 0) + np.log(hit / _BY_CHANCE)
            furthest[nodes] = np.maximum(furthest[nodes], above.distances[1:])
            is_deep |= above.truncation.depth
            is_wide |= above.truncation.fan_out
        # Itself it explains as well, if it explains another.
        most[self.shifted] += math.log(_MOST_CERTAIN / _BY_CHANCE)
        for node, kinds in self.events.items():
            most[node] += _log_odds_of(kinds)
        return most, furthest, Truncation(is_deep, is_wide)

    def weigh(self, node: int, depth: int) -> Hypothesis:
        """Hold what lies so far downstream of a node against what was seen there."""
        origin = np.array([node], np.intp)
        bounds = replace(self.bounds, depth=depth)
        below = reach(self.view, origin, Direction.DOWNSTREAM, bounds)
        nodes = below.nodes
        hit = _chances(below.strengths, below.distances)
        covers = np.isin(nodes, self.shifted)
        silent = self.seen.seen[nodes] & ~self.seen.moved[nodes] & ~covers
        log_odds = np.log(hit[covers] / _BY_CHANCE).sum()
        log_odds += np.log((1 - hit[silent]) / (1 - _BY_CHANCE)).sum()
        order = np.argsort(-hit[silent], kind="stable")
        return Hypothesis(
            node=node,
            log_odds=float(log_odds) + _log_odds_of(self.events.get(node, ())),
            covered=nodes[covers].tolist(),
            silent=nodes[silent][order].tolist(),
            depth=min(below.distances[1:][covers[1:]].tolist(), default=0),
            below=below,
        )


def find_causes(
    view: GraphView,
    shifted: NDArray[np.intp],
    seen: Observations,
    events: Mapping[int, Collection[EventKind]],
    bounds: Bounds,
) -> Causes:
    """Weigh all nodes upstream of the shifted ones, intp [S].

    `events`: kinds of what happened lately, by node. Nodes that moved and are not among the shifted
    are left out of the account: they are neither silent nor to be explained. Of many hypotheses
    those that cover most are weighed; the others count as if nothing spoke against them.
    """
    case = _Case(view, np.unique(shifted), seen, events, bounds)
    most, furthest, truncation = case.most()
    candidates = np.flatnonzero(most > -np.inf)
    candidates = candidates[np.argsort(-most[candidates], kind="stable")]
    weighed: list[Hypothesis] = []
    for node in candidates[:_MOST_WEIGHED].tolist():
        best = max((hypothesis.log_odds for hypothesis in weighed), default=-math.inf)
        if len(weighed) >= _FEWEST_WEIGHED and most[node] < best - _HOPELESS:
            break
        weighed.append(case.weigh(node, int(furthest[node])))
    weighed.sort(key=lambda hypothesis: (-hypothesis.log_odds, hypothesis.depth))
    odds = _PRIOR_OF_A_COMMON_CAUSE / (1 - _PRIOR_OF_A_COMMON_CAUSE) / max(len(candidates), 1)
    spoken = [hypothesis.log_odds for hypothesis in weighed]
    spoken += most[candidates[len(weighed) :]].tolist()
    logs = np.array([0.0, *(math.log(odds) + said for said in spoken)])
    weights = np.exp(logs - logs.max())
    weights /= weights.sum()
    return Causes(
        ranked=list(zip(weighed, weights[1:].tolist(), strict=False)),
        coincidence=float(weights[0]),
        truncation=replace(truncation, size=len(candidates) > len(weighed)),
    )


def _chances(strengths: NDArray[np.float64], distances: NDArray[np.int16]) -> NDArray[np.float64]:
    """Return the probabilities that nodes shift if the one they were reached from broke."""
    felt = 1 + np.log10(np.minimum(strengths, 1)) / _DECADES
    chances: NDArray[np.float64] = np.clip(
        _PASSED_ON ** distances.astype(np.float64) * felt, _BY_CHANCE, _MOST_CERTAIN
    )
    return chances


def _log_odds_of(events: Collection[EventKind]) -> float:
    """Return what the most telling event says; several of one fault are no more than one."""
    return math.log(max((ODDS_OF_EVENTS.get(kind, 1.0) for kind in events), default=1.0))
