"""Pairwise dot products (DLRM): an ablation changes one row and one column."""

import numpy as np
import torch
from torch import Tensor

from services.attribution.engine.device import tensor_of
from services.attribution.engine.graph import Graph, Ref
from services.attribution.engine.joins.site import Site
from services.attribution.engine.ownership import (
    Layout,
    Own,
    Stretch,
    columns_of,
    positions_of,
)
from services.attribution.engine.pairs import Pairs
from services.attribution.engine.structure import Delta, NoStructure


def pairwise(site: Site) -> Delta:
    """`T T^T` per row, each feature owning one vector t of T: the dots with t change by `T dt`,

    and `t t` by `dt (2 t + dt)`.
    """
    source = site.step.arguments[0]
    shape = site.graph.shape_of(source.index) if isinstance(source, Ref) else None
    if (
        shape is None
        or len(shape) != 2
        or not _is_transposed(site.graph, site.step.arguments[1], source)
    ):
        raise NoStructure("not a product with the own transpose")
    delta = site.changing(0)
    own = delta.own
    if own is None or delta.terms or own.layout.sources is not None:
        raise NoStructure("not a stack of vectors")
    count, size = shape
    slots = _slots(own.layout, size)
    vectors: Tensor = site.values[source.index]
    values = [
        _changes(vectors, slots, stretch, change, delta.pairs)
        for stretch, change in own.by_stretch(delta.pairs)
    ]
    layout = site.remembered(("dots", id(own.layout)), lambda: _dots_layout(slots, count))
    return Delta(delta.pairs, count * count, (), Own(layout, values))


def _changes(
    vectors: Tensor, slots: dict[int, int], stretch: Stretch, change: Tensor, pairs: Pairs
) -> Tensor:
    """Return `T dt`, and `dt (2 t + dt)` at the own vector, of every pair, `[pairs, vectors]`."""
    rows, count, size = vectors.shape
    places = pairs.places(stretch.first, stretch.last, of_rows=True)
    features = pairs.features[stretch.first : stretch.last]
    moved = vectors.new_zeros((rows * len(features), size)).index_copy_(0, places, change)
    moved = moved.view(rows, len(features), size)
    dots = torch.bmm(moved, vectors.transpose(1, 2))
    each, mine = torch.arange(len(features)), tensor_of(np.array([slots[j] for j in features]))
    dots[:, each, mine] = 2 * dots[:, each, mine] + moved.square().sum(2)
    return dots.view(-1, count).index_select(0, places)


def _is_transposed(graph: Graph, argument: object, source: Ref) -> bool:
    step = graph.step(argument.index) if isinstance(argument, Ref) else None
    if step is None or step.arguments[0] != source:
        return False
    if step.operator == "transpose":
        return {d % 3 for d in step.arguments[1:]} == {1, 2}
    return step.operator == "permute" and [d % 3 for d in step.arguments[1]] == [0, 2, 1]


def _slots(layout: Layout, size: int) -> dict[int, int]:
    """Return the vector that each feature owns."""
    slots: dict[int, int] = {}
    for feature, columns in layout.columns.items():
        positions = positions_of(columns)
        slot = int(positions[0]) // size
        if len(positions) != size or int(positions[0]) != slot * size:
            raise NoStructure("a feature owns more or less than a vector")
        if int(positions[-1]) != slot * size + size - 1:
            raise NoStructure("a feature's elements are apart")
        slots[feature] = slot
    return slots


def _dots_layout(slots: dict[int, int], count: int) -> Layout:
    columns, sources = {}, {}
    for feature, slot in slots.items():
        others = torch.arange(count)
        both = torch.cat([slot * count + others, others * count + slot])
        unique, first = _unique(both)
        columns[feature] = columns_of(unique)
        sources[feature] = torch.cat([others, others])[first]
    return Layout(columns, sources, dict.fromkeys(columns, count))


def _unique(positions: Tensor) -> tuple[Tensor, Tensor]:
    """Return the distinct positions, rising, and where each occurs first."""
    order = torch.argsort(positions, stable=True)
    ranked = positions[order]
    keep = torch.cat([torch.ones(1, dtype=torch.bool), ranked[1:] != ranked[:-1]])
    return ranked[keep], order[keep]
