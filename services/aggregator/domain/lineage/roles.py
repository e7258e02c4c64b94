"""What each node is in the story of a shift: root, carrier, victim or unaffected."""

from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from services.aggregator.domain.lineage.observations import Observations
from services.aggregator.domain.lineage.order import leading_to, movers
from services.aggregator.domain.lineage.reach import Reach


class Role(IntEnum):
    """What a node is in the story of a shift."""

    UNAFFECTED = 0
    """It has not shifted, and nothing that has shifted hangs on it."""
    VICTIM = 1
    """The shift came to it and has been seen no further."""
    CARRIER = 2
    """The shift came to it and went on, or it lies on the way to something that shifted."""
    ROOT = 3
    """It shifted, and nothing upstream of it that we know of shifted before."""


def roles_above(above: Reach, seen: Observations) -> NDArray[np.int8]:
    """Return the roles of an origin, [0], and of what lies upstream of it, [R].

    Nodes that moved after the origin have no part in its story. An origin that nobody looks at, or
    that moved without anything before it, is a root; one that was seen not to move is unaffected.
    """
    origin = above.nodes[0]
    moved, since = seen.moved[above.nodes], seen.since[above.nodes]
    if moved[0]:
        moved = moved & (since <= since[0])
    # Against the edges: who was reached later lies upstream.
    leads = leading_to(above.sources, above.targets, moved)
    on_the_way = (moved | leads)[above.targets]
    found = movers(above.targets[on_the_way], above.sources[on_the_way], moved, since)
    roles = np.where(leads & ~seen.seen[above.nodes], Role.CARRIER, Role.UNAFFECTED)
    roles[found.places] = np.where(found.explained, Role.CARRIER, Role.ROOT)
    if not moved[0]:
        is_hidden = not seen.seen[origin]
        roles[0] = Role.UNAFFECTED
        if is_hidden:
            roles[0] = Role.CARRIER if moved[1:].any() else Role.ROOT
    return roles.astype(np.int8)


def roles_below(below: Reach, seen: Observations) -> NDArray[np.int8]:
    """Return the roles of what lies downstream of an origin, [R]; its own, [0], is as if a root's.

    They rest on what lies between the nodes and the origin. An origin that nobody looks at is
    supposed to have moved with the first of those downstream that did.
    """
    moved, since = seen.moved[below.nodes].copy(), seen.since[below.nodes].copy()
    if moved[1:].any() and not seen.seen[below.nodes[0]]:
        moved[0], since[0] = True, since[moved].min()
    leads = leading_to(below.sources, below.targets, moved)
    on_the_way = (moved | leads)[below.targets]
    found = movers(below.sources[on_the_way], below.targets[on_the_way], moved, since)
    roles = np.where(leads & ~seen.seen[below.nodes], Role.CARRIER, Role.UNAFFECTED)
    came = np.where(leads[found.places], Role.CARRIER, Role.VICTIM)
    roles[found.places] = np.where(found.explained, came, Role.ROOT)
    return roles.astype(np.int8)
