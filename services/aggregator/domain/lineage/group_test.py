"""Whether a pipeline's features shifted together, though each alone may be within its noise.

A pipeline that breaks breaks what it feeds: several features a little, or important ones and with
them some that the model hardly uses and that nothing speaks for on their own. So the features that
one node feeds are tested jointly. Of n of them with probabilities p_j that chance speaks as
strongly for each (see `evidence`), the group's is

    p = 1/2 - arctan(mean_j tan((1/2 - p_j) pi)) / pi

(Cauchy's combination; Y. Liu, J. Xie, Journal of the American Statistical Association 115, 2020). A
mean of Cauchy variables is one again, and in the tail it stays so however they hang together, which
features of one pipeline do. Groups are as many hypotheses as there are nodes with different
features, far fewer than features, so that Benjamini and Hochberg's procedure over them asks less
of each.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from services.aggregator.domain.lineage.nodes import NodeKind
from services.aggregator.domain.lineage.view import Direction, GraphView
from services.aggregator.domain.significance import survivors

_RAREST, _COMMONEST = 1e-15, 0.99
_STEPS = 2
"""From a feature to its columns or datasets, and to the pipelines that write them."""


@dataclass(frozen=True, eq=False)
class FeatureGroup:
    """What one node feeds: `members` intp, positions among the features in question."""

    node: int
    members: NDArray[np.intp]


@dataclass(frozen=True, eq=False)
class GroupFinding:
    """A group whose features shifted together."""

    group: FeatureGroup
    p: float


def joint_p(p: NDArray[np.float64]) -> float:
    """Return the probability that chance speaks as strongly for all of these together.

    >>> round(joint_p(np.array([0.01, 0.01, 0.01])), 4), round(joint_p(np.array([0.001, 0.9])), 4)
    (0.01, 0.002)
    """
    bounded = np.clip(p, _RAREST, _COMMONEST)
    # The same by the complements, which keep their digits where probabilities are small.
    mean = float(np.mean(1 / np.tan(bounded * np.pi)))
    return math.atan2(1.0, mean) / math.pi


def find_groups(p: NDArray[np.float64], groups: Sequence[FeatureGroup]) -> list[GroupFinding]:
    """Return the groups that survive false-discovery control over all of them, the rarest first.

    `p` float64 [M]: of each feature.
    """
    joint = np.array([joint_p(p[group.members]) for group in groups])
    found = np.flatnonzero(survivors(joint))
    order = found[np.argsort(joint[found], kind="stable")]
    return [GroupFinding(groups[place], float(joint[place])) for place in order.tolist()]


def groups_of(view: GraphView, features: NDArray[np.intp]) -> list[FeatureGroup]:
    """Return what feeds several of the features, intp [M], and no more than half of them.

    Up to two edges upstream; of nodes that feed the same ones the nearest stands for all.
    """
    fed: dict[int, set[int]] = {}
    front: dict[int, set[int]] = {int(n): {place} for place, n in enumerate(features.tolist())}
    for _ in range(_STEPS):
        front = _one_up(view, front)
        for node, members in front.items():
            fed.setdefault(node, set()).update(members)
    groups: dict[frozenset[int], int] = {}
    for node, members in fed.items():
        if 1 < len(members) <= max(len(features) // 2, 2):
            groups.setdefault(frozenset(members), node)
    return [
        FeatureGroup(node, np.array(sorted(members), np.intp)) for members, node in groups.items()
    ]


def _one_up(view: GraphView, front: dict[int, set[int]]) -> dict[int, set[int]]:
    """Return what feeds these nodes, but models, with all that they stand for."""
    nodes = np.array(list(front), np.intp)
    steps = view.steps(nodes, Direction.UPSTREAM)
    steps = steps.where(~view.nodes.are(NodeKind.MODEL, steps.nodes))
    above: dict[int, set[int]] = {}
    for place, node in zip(steps.places.tolist(), steps.nodes.tolist(), strict=True):
        above.setdefault(node, set()).update(front[int(nodes[place])])
    return above
