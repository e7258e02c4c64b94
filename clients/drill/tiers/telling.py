"""How a shift spread and where it came from, as a person reads it on a terminal."""

from collections.abc import Iterator, Mapping, Sequence

from rich.tree import Tree

from aftershock.v1.lineage_pb2 import CommonCause, PropagationNode, PropagationRole
from clients.drill.tiers.watching import Watcher

_CAUSES = 5
_EVENTS = 2


def warnings(watchers: Mapping[str, Watcher], off: Mapping[str, float]) -> Iterator[str]:
    """Yield who was warned, of what, and whether before their own calibration was off."""
    for model, watcher in watchers.items():
        if not watcher.warnings:
            yield f"  {model}: nobody"
            continue
        moment, warning = watcher.warnings[0]
        when = "before" if moment < off.get(model, float("inf")) else "after"
        path = " -> ".join(warning.path.nodes)
        yield f"  {model}: {when} its own calibration was off: {path}"


def causes(found: Sequence[CommonCause]) -> Iterator[str]:
    """Yield the likeliest causes, each with what happened to it."""
    for rank, cause in enumerate(found[:_CAUSES], 1):
        events = "; ".join(event.summary for event in cause.events[:_EVENTS])
        yield (
            f"  {rank}. {cause.node}  p {cause.probability:.2f}, covers {len(cause.covered)}, "
            f"silent {cause.silent_count}  {events}"
        )


def tree(nodes: Sequence[PropagationNode], origin: str) -> Tree:
    """Return what lies downstream, each node under the one that its strongest path comes from."""
    below = sorted((n for n in nodes if n.depth >= 0), key=lambda n: n.depth)
    whole = Tree("[bold]Propagation[/]")
    branches: dict[str, Tree] = {}
    for node in below:
        path = list(node.paths[0].nodes) if node.paths else [origin]
        parent = branches.get(path[-2], whole) if len(path) > 1 else whole
        branches[node.node] = parent.add(_line(node))
    return whole


def _line(node: PropagationNode) -> str:
    role = PropagationRole.Name(node.role).removeprefix("PROPAGATION_ROLE_").lower()
    seen = f"{node.observed_shift:.2f}" if node.HasField("observed_shift") else "not observed"
    return f"{node.node}  {role}, expected {node.expected_shift:.2f}, seen {seen}"
