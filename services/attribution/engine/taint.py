"""Cross-checks the dependency analysis, and that rows do not mix, by running the graph.

Neither alone is enough: a NaN does not show through `nan_to_num`, an ablation not where values
happen to agree. Together with the conservative rules they find a rule that is wrong.
"""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from services.attribution.domain.errors import CheckpointRefused
from services.attribution.domain.example import Examples
from services.attribution.engine.dependencies import Dependencies
from services.attribution.engine.graph import Graph, Value

_TOLERANCE = 1e-4
_FEATURES_AT_ONCE = 64


def check_rows_apart(graph: Graph, examples: Examples) -> None:
    """Check that no example's answer depends on the others in its batch.

    Raises:
        CheckpointRefused: it does, by more than rounding.
    """
    arguments = [torch.from_numpy(a) for a in examples.arguments()]
    whole: Tensor = graph.run(arguments)[graph.output]
    half = len(whole) // 2
    scale = _TOLERANCE * (1 + float(whole[:half].abs().max()))
    others = [_with_others(a, half) for a in arguments]
    singles = [[a[i : i + 1] for a in arguments] for i in range(half)]
    alone = torch.cat([graph.run(single)[graph.output] for single in singles])
    mixed: Tensor = graph.run(others)[graph.output][:half]
    backwards: Tensor = graph.run([a.flip(0) for a in arguments])[graph.output].flip(0)
    for other, name in (
        (alone, "alone"),
        (mixed, "beside other examples"),
        (backwards[:half], "at another place in the batch"),
    ):
        difference = float((other - whole[:half]).abs().max())
        if not difference <= scale:
            raise CheckpointRefused(
                "the program's answer for an example depends on the other examples of its batch "
                f"(it differs by {difference:.3g} when scored {name}): no example can be ablated "
                "on its own; export the model in eval mode and without statistics over the batch"
            )


def contradictions(graph: Graph, dependencies: Dependencies, examples: Examples) -> list[str]:
    """Return the steps that a feature reaches although the analysis says it does not."""
    found: dict[str, None] = {}
    features = examples.schema.features
    for start in range(0, len(features), _FEATURES_AT_ONCE):
        some = range(start, min(start + _FEATURES_AT_ONCE, len(features)))
        repeated = examples.take(np.ones(len(some), dtype=np.intp))
        before = _run(graph, repeated)
        for changed in _changes(repeated, some):
            after = _run(graph, changed)
            found.update(_contradicted(graph, dependencies, some, before, after))
    return list(found)


def _changes(repeated: Examples, features: Sequence[int]) -> Iterator[Examples]:
    """Yield the examples with feature k of row k ablated, and with NaN in its place."""
    schema = repeated.schema
    for poison in (False, True):
        arrays = {name: array.copy() for name, array in repeated.arrays.items()}
        for row, j in enumerate(features):
            places = [(c, name) for c in schema.features[j].members for name in c.inputs]
            for column, name in places:
                place = (row,) if column.column is None else (row, column.column)
                if not poison:
                    arrays[name][place] = column.baseline
                elif arrays[name].dtype.kind == "f":
                    arrays[name][place] = np.nan
        yield Examples(schema, arrays)


def _run(graph: Graph, examples: Examples) -> Mapping[int, Value]:
    values: Mapping[int, Value] = graph.run([torch.from_numpy(a) for a in examples.arguments()])
    return values


def _contradicted(
    graph: Graph,
    dependencies: Dependencies,
    features: Sequence[int],
    before: Mapping[int, Value],
    after: Mapping[int, Value],
) -> dict[str, None]:
    found: dict[str, None] = {}
    for step in graph.steps:
        one, two = before[step.index], after[step.index]
        if step.shape is None or not isinstance(one, Tensor):
            continue
        reached = dependencies.reached(step.index, features)
        differs = ~((one == two) | (one.isnan() & two.isnan()))
        if bool((differs & ~reached).any()):
            found[step.name] = None
    return found


def _with_others(argument: Tensor, half: int) -> Tensor:
    """Return the batch with its second half made of NaN, or of the first example's ids."""
    changed = argument.clone()
    changed[half:] = float("nan") if argument.is_floating_point() else argument[:1]
    return changed
