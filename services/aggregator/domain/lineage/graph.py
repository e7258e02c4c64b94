"""The lineage graph: it takes in facts, and answers who is next to whom at a time."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from services.aggregator.domain.lineage.edges import EdgeTable
from services.aggregator.domain.lineage.facts import Edge, LineageFacts, Transform
from services.aggregator.domain.lineage.index import Index
from services.aggregator.domain.lineage.nodes import feature_node, model_node
from services.aggregator.domain.lineage.registry import NodeRegistry
from services.aggregator.domain.lineage.spans import FOREVER, Span, finish, micros, tell
from services.aggregator.domain.lineage.state import GraphState
from services.aggregator.domain.lineage.strength import LEAST, assumed_strength
from services.aggregator.domain.lineage.view import GraphView

MEASURED = "importances"
"""Provenance of the edges that importances themselves tell of."""
_MOST_UNSORTED, _MOST_NOTED = 20_000, 200_000
_ALL = -1
_T = TypeVar("_T", Transform, str)


class LineageGraph:
    """Applies facts in the order of the log.

    Rows that came since the last indexing have a small index of their own, made when it is asked
    for; `index` makes a new one of all rows and may run in another thread while facts are applied.
    """

    def __init__(self) -> None:
        self.nodes = NodeRegistry()
        self.edges = EdgeTable()
        self.transforms: list[Transform] = [Transform()]
        self.provenances: list[str] = []
        self.restated: dict[int, int] = {}
        """By node and provenance: when its incoming edges were told of completely."""
        self._numbers: dict[Transform | str, int] = {Transform(): 0}
        self._sorted = self._unsorted = self.index()

    def apply(self, facts: LineageFacts) -> None:
        """Take in facts. The same facts again change nothing."""
        at = micros(facts.time)
        provenance = self._number(facts.provenance, self.provenances)
        for node in facts.nodes:
            self.nodes.describe(node)
        for ended in facts.ended_nodes:
            self._finish_all(self.nodes.number(ended), at)
        told = self._tell_all(facts.edges, provenance, at)
        for restated in facts.restated_nodes:
            self._restate(self.nodes.number(restated), provenance, at, told)
        if facts.is_complete:
            self._complete(provenance, at, told)
        for edge in facts.ended_edges:
            source, target = self.nodes.number(edge.source), self.nodes.number(edge.target)
            self._finish(source, target, provenance, at)

    def measure(
        self, model: str, features: Sequence[str], gfi: NDArray[np.float64], since: datetime
    ) -> None:
        """Give the edges of a model's features into it their strengths: the GFI, [M].

        These features, and no others, are the model's from that time on as far as importances tell.
        """
        target = model_node(model)
        edges = [Edge(feature_node(name), target) for name in features]
        self.apply(LineageFacts("", MEASURED, since, edges=edges, restated_nodes=[target]))
        number, table = self.nodes.number(target), self.edges
        for edge, strength in zip(edges, gfi, strict=True):
            for row in table.between(self.nodes.number(edge.source), number):
                table.measured[row] = max(strength, LEAST)
                table.set_strength(row, max(strength, LEAST))

    def state(self, ended_before: datetime) -> GraphState:
        """Return all there is to keep; without edges that ended before that time."""
        rows = self.edges.rows[: self.edges.count]
        return GraphState(
            nodes=list(self.nodes.described()),
            provenances=list(self.provenances),
            transforms=list(self.transforms),
            rows=rows[rows["end"] >= micros(ended_before)].copy(),
            restated=dict(self.restated),
        )

    @classmethod
    def of(cls, state: GraphState) -> Self:
        """Return the graph of a state that was kept."""
        graph = cls()
        for node in state.nodes:
            graph.nodes.describe(node)
        graph.provenances, graph.transforms = list(state.provenances), list(state.transforms)
        graph._numbers = {
            **{name: number for number, name in enumerate(state.provenances)},
            **{transform: number for number, transform in enumerate(state.transforms)},
        }
        graph.edges.load(state.rows)
        graph.restated = dict(state.restated)
        graph.adopt(graph.index())
        return graph

    def at(self, time: datetime) -> GraphView:
        """Return the graph as it was then. It is good until facts are applied."""
        table = self.edges
        if self._unsorted.end_row != table.count or len(self.nodes) > self._covered:
            self._unsorted = self.index(self._sorted.end_row)
        indexes = [self._sorted]
        if self._unsorted.end_row > self._unsorted.first_row:
            indexes.append(self._unsorted)
        for index in indexes:
            index.follow(table)
        return GraphView(self.nodes, table, indexes, micros(time))

    @property
    def needs_index(self) -> bool:
        """Whether enough rows have come, or changed, for a new index to pay."""
        unsorted = self.edges.count - self._sorted.end_row
        if self.edges.noted > _MOST_NOTED:
            return True
        return unsorted > max(_MOST_UNSORTED, self._sorted.end_row // 8)

    def index(self, first_row: int = 0) -> Index:
        """Return an index of the rows from the first on, as they are now."""
        return Index.of(self.edges, first_row, self.nodes)

    def adopt(self, index: Index) -> None:
        """Use an index of all rows that there were when it was made."""
        self._sorted = index
        self._unsorted = self.index(index.end_row)
        self.edges.forget_changes(index.known)

    @property
    def _covered(self) -> int:
        return len(self._unsorted.out.offsets) - 1

    def _tell_all(self, edges: Iterable[Edge], provenance: int, at: int) -> dict[int, set[int]]:
        """Return the sources by target."""
        told: dict[int, set[int]] = {}
        for edge in edges:
            source, target = self.nodes.number(edge.source), self.nodes.number(edge.target)
            start = at if edge.valid_from is None else micros(edge.valid_from)
            self._tell(source, target, provenance, start)
            if edge.valid_until is not None:
                self._finish(source, target, provenance, micros(edge.valid_until))
            self._set_strength(source, target, provenance, edge)
            told.setdefault(target, set()).add(source)
        return told

    def _tell(self, source: int, target: int, provenance: int, at: int) -> None:
        restated = self._restated_at(target, provenance, at)
        rows = self._rows(source, target, provenance)
        if not rows and at >= restated:
            self.edges.append(source, target, provenance, Span(at, FOREVER, at))
            return
        spans = [self.edges.span(row) for row in rows]
        tell(spans, at)
        if at < restated:
            holding = next(span for span in spans if span.start <= at < span.end)
            if holding.last < restated:
                finish(spans, restated)
        self._keep(source, target, provenance, rows, spans)

    def _restated_at(self, target: int, provenance: int, at: int) -> int:
        """Return when the sender told of all edges into the target last, or `at`."""
        if not self.restated:
            return at
        keys = _key(target, provenance), _key(_ALL, provenance)
        return max((self.restated[key] for key in keys if key in self.restated), default=at)

    def _finish(self, source: int, target: int, provenance: int, at: int) -> None:
        rows = self._rows(source, target, provenance)
        spans = [self.edges.span(row) for row in rows]
        finish(spans, at)
        self._keep(source, target, provenance, rows, spans)

    def _rows(self, source: int, target: int, provenance: int) -> list[int]:
        """Return the rows of an edge by one sender, rising in time."""
        table = self.edges
        rows = table.between(source, target)
        if rows:
            rows = [row for row in rows if table.provenance[row] == provenance]
            rows.sort(key=lambda row: (int(table.start[row]), int(table.end[row])))
        return rows

    def _keep(
        self, source: int, target: int, provenance: int, rows: list[int], spans: Sequence[Span]
    ) -> None:
        for row, span in zip(rows, spans, strict=False):
            self.edges.set_span(row, span)
        for span in spans[len(rows) :]:
            row = self.edges.append(source, target, provenance, span)
            if rows:
                self._copy_strength(rows[0], row)

    def _set_strength(self, source: int, target: int, provenance: int, edge: Edge) -> None:
        table = self.edges
        transform = self._number(edge.transform, self.transforms)
        declared = np.nan if edge.strength is None else max(edge.strength, LEAST)
        assumed = assumed_strength(edge.source.kind, edge.target.kind, edge.transform)
        for row in self._rows(source, target, provenance):
            table.transform[row], table.declared[row] = transform, declared
            measured = table.measured[row]
            stated = declared if np.isnan(measured) else measured
            table.set_strength(row, assumed if np.isnan(stated) else float(stated))

    def _copy_strength(self, known: int, row: int) -> None:
        table = self.edges
        for column in (table.transform, table.declared, table.measured):
            column[row] = column[known]
        table.set_strength(row, float(table.strength[known]))

    def _restate(self, target: int, provenance: int, at: int, told: Mapping[int, set[int]]) -> None:
        """End the incoming edges of the sender that it has not told of now."""
        table, stated = self.edges, told.get(target, set())
        for row in table.into(target):
            source = int(table.source[row])
            if (
                table.provenance[row] == provenance
                and table.start[row] <= at < table.end[row]
                and source not in stated
            ):
                self._finish(source, target, provenance, at)
        key = _key(target, provenance)
        self.restated[key] = max(at, self.restated.get(key, at))

    def _complete(self, provenance: int, at: int, told: Mapping[int, set[int]]) -> None:
        """End the edges of the sender that it has not told of now."""
        table = self.edges
        count = table.count
        is_open = (table.start[:count] <= at) & (at < table.end[:count])
        for row in np.flatnonzero(is_open & (table.provenance[:count] == provenance)):
            source, target = int(table.source[row]), int(table.target[row])
            if source not in told.get(target, ()):
                self._finish(source, target, provenance, at)
        key = _key(_ALL, provenance)
        self.restated[key] = max(at, self.restated.get(key, at))

    def _finish_all(self, node: int, at: int) -> None:
        """End all edges of a node that are there then, whoever told of them."""
        table = self.edges
        for row in [*table.into(node), *table.out(node)]:
            if table.start[row] <= at < table.end[row]:
                self._finish(
                    int(table.source[row]), int(table.target[row]), int(table.provenance[row]), at
                )

    def _number(self, value: _T, known: list[_T]) -> int:
        number = self._numbers.get(value)
        if number is None:
            number = self._numbers[value] = len(known)
            known.append(value)
        return number


def _key(target: int, provenance: int) -> int:
    return target << 32 | provenance
