"""What is found by looking at a pipeline's features together, beside what they show alone.

    python -m tests.bench.lineage.groups [--seeds 10] [--windows 6 8 10] [--picks 3]

The paper's cases 4 to 7, several features missing together, in the diagnosis benchmark's world: its
model, its windows and its own noise; and `weak`: four features of the lower half by importance
missing. The features that break in a run are those of one pipeline; the others are dealt at random
to pipelines of three to seven. A culprit that the verdict on single features missed counts as found
if its pipeline is suspect: by the group statistic over its features' evidence, or by ablating them
together on a thousand examples of the window, of its control and of four windows before, both under
false-discovery control. `false_groups` and `false_jointly` are suspect pipelines that feed no
culprit, `false_alone` other features that the verdict names; clean windows are tested as well, with
nothing but such pipelines. The last line is one JSON object: sums by case.
"""

import argparse
import json
from collections import Counter
from collections.abc import Sequence
from itertools import product

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from clients.drill.corruptions import Corruption, Drop
from clients.drill.movielens.source import default_cache
from clients.drill.movielens.world import load_world
from clients.drill.schema import Schema
from services.aggregator.domain.diagnosis import History, diagnose
from services.aggregator.domain.lineage.group_test import FeatureGroup, find_groups
from services.aggregator.domain.portrait import Frame
from services.aggregator.domain.shift import FeatureShift
from services.aggregator.domain.significance import survivors
from services.aggregator.domain.summary import Summary
from tests.bench.diagnosis.draws import changes_all, draw
from tests.bench.diagnosis.windows import Windows
from tests.bench.lineage.jointly import Jointly

CASES = ("4", "5", "6", "7", "weak")
NAMES = (
    *("culprits", "alone", "with_groups", "jointly", "with_both"),
    *("false_alone", "false_groups", "false_jointly", "runs"),
)
_WEAK = 4
_SIZES = (3, 8)


def main() -> None:
    """Run and print one JSON object last."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", type=int, nargs="+", default=[10])
    parser.add_argument("--windows", type=int, nargs="+", default=[6, 8, 10])
    parser.add_argument("--picks", type=int, default=3)
    arguments = parser.parse_args()
    world = load_world(default_cache())
    counts: Counter[tuple[str, str]] = Counter()
    for seed in arguments.seeds:
        windows = Windows.of(world, seed, default_cache())
        jointly = Jointly(windows)
        for number in arguments.windows:
            clean = _found(jointly, number, [], windows.table(number), seed)
            counts.update(dict(zip(product(["clean"], NAMES), (*clean, 1), strict=True)))
            for case, pick in product(CASES, range(arguments.picks)):
                table = windows.table(number)
                gfi = windows.clean(number - 1).summary.gfi
                broken = _broken(case, world.schema, table, gfi, (seed, number, pick))
                culprits = [world.schema.names().index(name) for name in broken.culprits]
                anomaly = broken.apply(table, number).table
                found = _found(jointly, number, culprits, anomaly, seed)
                print(case, seed, number, pick, *found, flush=True)
                counts.update(dict(zip(product([case], NAMES), (*found, 1), strict=True)))
    print(json.dumps(_figures(counts)))


def _broken(
    case: str, schema: Schema, table: pa.Table, gfi: NDArray[np.float64], seed: Sequence[int]
) -> Corruption:
    if case != "weak":
        return draw(case, schema, table, gfi, seed).corruption
    rng = np.random.default_rng((*seed, *case.encode()))
    lower = np.array(schema.names())[gfi < np.median(gfi)]
    while True:
        drawn = Drop(tuple(map(str, rng.choice(lower, _WEAK, replace=False))))
        if changes_all(drawn, table):
            return drawn


def _found(
    jointly: Jointly, number: int, culprits: Sequence[int], anomaly: pa.Table, seed: int
) -> tuple[int, ...]:
    """Return what `NAMES` say, but the runs."""
    windows = jointly.windows
    pipelines = _pipelines(len(windows.scoring.features), culprits, np.random.default_rng(seed))
    shifts = _shifts(windows, number, windows.scoring(anomaly).summary)
    p = 10.0 ** -np.array([shift.score for shift in shifts])
    broke = set(culprits)
    alone = {place for place, shift in enumerate(shifts) if shift.significant}
    by_evidence = [found.group for found in find_groups(p, pipelines)]
    suspect = survivors(jointly.p(number, anomaly, pipelines))
    by_ablation = [
        group for group, is_suspect in zip(pipelines, suspect, strict=True) if is_suspect
    ]
    grouped, together = _members(by_evidence), _members(by_ablation)
    return (
        *(len(broke), len(broke & alone), len(broke & (alone | grouped))),
        *(len(broke & (alone | together)), len(broke & (alone | grouped | together))),
        *(len(alone - broke), _false(by_evidence, broke), _false(by_ablation, broke)),
    )


def _members(groups: Sequence[FeatureGroup]) -> set[int]:
    return {place for group in groups for place in group.members.tolist()}


def _false(groups: Sequence[FeatureGroup], broke: set[int]) -> int:
    return sum(not broke & _members([group]) for group in groups)


def _shifts(windows: Windows, number: int, broken: Summary) -> list[FeatureShift]:
    """Return each feature's shift, in the schema's order."""
    features = windows.scoring.features
    history = History.of(
        Frame.of(features),
        summaries=[windows.clean(n).summary for n in range(number)],
        pairs=[(n, n - 1) for n in range(1, number)],
        phases=np.zeros(number + 1, dtype=np.intp),
    )
    control = windows.clean(number - 1).summary
    shifts = diagnose(features, control, broken, history).ranking.shifts
    by_name: dict[str, FeatureShift] = {shift.feature.name: shift for shift in shifts}
    return [by_name[feature.name] for feature in features]


def _pipelines(count: int, culprits: Sequence[int], rng: np.random.Generator) -> list[FeatureGroup]:
    """Return the pipeline of the culprits, and random ones of the others."""
    dealt: NDArray[np.intp] = rng.permutation(count)
    ends = np.cumsum(rng.integers(*_SIZES, count))
    others = [np.setdiff1d(part, culprits) for part in np.split(dealt, ends[ends < count])]
    parts = [part for part in others if len(part) > 1]
    if len(culprits) > 1:
        parts.insert(0, np.array(sorted(culprits), np.intp))
    return [FeatureGroup(number, np.sort(part)) for number, part in enumerate(parts)]


def _figures(counts: Counter[tuple[str, str]]) -> dict[str, dict[str, int]]:
    return {case: {name: counts[case, name] for name in NAMES} for case in ("clean", *CASES)}


if __name__ == "__main__":
    main()
