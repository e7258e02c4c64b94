"""Nodes by number, so that the graph can be arrays."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from services.aggregator.domain.lineage.facts import Node
from services.aggregator.domain.lineage.nodes import NodeId, NodeKind

KINDS = tuple(NodeKind)


class NodeRegistry:
    """All nodes, numbered in the order in which they were first told of."""

    def __init__(self) -> None:
        self._ids: list[NodeId] = []
        self._numbers: dict[NodeId, int] = {}
        self._kinds = np.zeros(1024, np.int8)
        self._details: dict[int, Node] = {}
        self._named: dict[NodeKind, dict[str, int]] = {NodeKind.FEATURE: {}, NodeKind.MODEL: {}}
        """Kinds that have nothing but a name: to make an id for a look takes many times longer."""
        self._features: dict[int, tuple[tuple[str, ...], NDArray[np.intp]]] = {}
        """By the identity of the names: to hash hundreds of them for each window takes long."""

    def __len__(self) -> int:
        return len(self._ids)

    def number(self, node: NodeId) -> int:
        """Return the node's number, a new one if need be."""
        number = self._numbers.get(node)
        if number is None:
            number = self._numbers[node] = len(self._ids)
            self._ids.append(node)
            if number == len(self._kinds):
                self._kinds = np.concatenate([self._kinds, np.zeros_like(self._kinds)])
            self._kinds[number] = KINDS.index(node.kind)
            if (named := self._named.get(node.kind)) is not None:
                named[node.name] = number
        return number

    def find(self, node: NodeId) -> int | None:
        """Return the node's number, None if nobody told of it."""
        return self._numbers.get(node)

    def feature(self, name: str) -> int | None:
        """Return the number of a feature, None if nobody told of it."""
        return self._named[NodeKind.FEATURE].get(name)

    def model(self, name: str) -> int | None:
        """Return the number of a model, None if nobody told of it."""
        return self._named[NodeKind.MODEL].get(name)

    def features(self, names: tuple[str, ...]) -> NDArray[np.intp]:
        """Return the numbers of features by their names, without those that nobody told of."""
        known = self._features.get(id(names))
        if known is not None:
            return known[1]
        found = map(self.feature, names)
        numbers = np.array([number for number in found if number is not None], np.intp)
        if len(numbers) == len(names):
            # Kept with the names: so long nothing else can have their identity.
            self._features[id(names)] = names, numbers
        return numbers

    def id(self, number: int) -> NodeId:
        """Return the node of that number."""
        return self._ids[number]

    def ids(self, numbers: Sequence[int]) -> list[NodeId]:
        """Return the nodes of those numbers."""
        return [self._ids[number] for number in numbers]

    def are(self, kind: NodeKind, numbers: NDArray[np.intp]) -> NDArray[np.bool_]:
        """Return which of the nodes are of that kind."""
        are: NDArray[np.bool_] = self._kinds[numbers] == KINDS.index(kind)
        return are

    def details(self, number: int) -> Node:
        """Return what was told of the node besides its edges."""
        return self._details.get(number) or Node(self._ids[number])

    def describe(self, node: Node) -> None:
        """Take in what is told of a node; what it leaves empty stays."""
        known = self._details.get(number := self.number(node.id), node)
        told = {part: value for part, value in vars(node).items() if value}
        self._details[number] = replace(known, **told)

    def described(self) -> Iterator[Node]:
        """Return all nodes, in the order of their numbers."""
        return (self.details(number) for number in range(len(self._ids)))
