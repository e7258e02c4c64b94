"""Cross-checks the dependency analysis, and that rows do not mix, by running the graph.

Neither alone is enough: a NaN does not show through `nan_to_num`, an ablation not where values
happen to agree. Together with the conservative rules they find a rule that is wrong.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from services.attribution.domain.errors import CheckpointRefused
from services.attribution.domain.example import Examples
from services.attribution.engine.dependencies import Dependencies
from services.attribution.engine.graph import Graph, Step, Value, needed

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
    count = len(examples.schema.features)
    groups = [
        range(start, min(start + _FEATURES_AT_ONCE, count))
        for start in range(0, count, _FEATURES_AT_ONCE)
    ]
    doubtful = [_doubtful(graph, dependencies, some) for some in groups]
    repeated = examples.take(np.ones(_FEATURES_AT_ONCE, dtype=np.intp))
    every = {step.index for steps in doubtful for step in steps}
    before = _run(graph, repeated, every)
    for some, steps in zip(groups, doubtful, strict=True):
        wanted = {step.index for step in steps}
        afters = [_run(graph, changed, wanted) for changed in _changes(repeated, some)]
        for step in steps:
            beyond = ~dependencies.reached(step.index, some)
            values = [after[step.index] for after in afters]
            if any(_differ(before[step.index], value, beyond) for value in values):
                found[step.name] = None
    return list(found)


def _doubtful(graph: Graph, dependencies: Dependencies, features: Sequence[int]) -> list[Step]:
    """Return the steps with an element that, it is said, one of the features does not reach."""
    return [
        step
        for step in graph.steps
        if step.shape is not None and not dependencies.reaches_all(step.index, features)
    ]


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


def _run(graph: Graph, examples: Examples, wanted: Collection[int]) -> Mapping[int, Value]:
    arguments = [torch.from_numpy(a) for a in examples.arguments()]
    values: Mapping[int, Value] = graph.run(arguments, needed(graph.steps, *wanted))
    return values


def _differ(one: Tensor, two: Tensor, where: Tensor) -> bool:
    """Return whether values differ in any of the places, given for the first rows."""
    one, two = one[: len(where)], two[: len(where)]
    suspects = (one != two) & where
    return bool(suspects.any()) and bool((suspects & ~(one.isnan() & two.isnan())).any())


def _with_others(argument: Tensor, half: int) -> Tensor:
    """Return the batch with its second half made of NaN, or of the first example's ids."""
    changed = argument.clone()
    changed[half:] = float("nan") if argument.is_floating_point() else argument[:1]
    return changed
