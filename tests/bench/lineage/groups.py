"""What joint tests of a pipeline's features find beside what features show alone.

    python -m tests.bench.lineage.groups [--seeds 10] [--windows 6 8 10] [--picks 3]

The paper's cases 4 to 7, several features missing together, in the diagnosis benchmark's world: its
model, its windows and its own noise. The features that break in a run are those of one pipeline;
the others are dealt at random to pipelines of three to seven. A culprit that the verdict on single
features missed counts as found if its pipeline is suspect. `false_groups` are suspect pipelines
that feed no culprit, `false_alone` other features that the verdict names; clean windows are tested
as well, with nothing but such pipelines. The last line is one JSON object: sums by case.
"""

import argparse
import json
from collections import Counter
from collections.abc import Sequence
from itertools import product

import numpy as np
from numpy.typing import NDArray

from clients.drill.movielens import default_cache
from clients.drill.world import load_world
from services.aggregator.domain.diagnosis import History, diagnose
from services.aggregator.domain.lineage.group_test import FeatureGroup, find_groups
from services.aggregator.domain.portrait import Frame
from services.aggregator.domain.shift import FeatureShift
from services.aggregator.domain.summary import Summary
from tests.bench.diagnosis.draws import draw
from tests.bench.diagnosis.windows import Windows

CASES = ("4", "5", "6", "7")
NAMES = ("culprits", "alone", "with_groups", "false_alone", "false_groups", "runs")
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
        for number in arguments.windows:
            clean = _found(windows, number, [], None, seed)
            counts.update(dict(zip(product(["clean"], NAMES), (*clean, 1), strict=True)))
            for case, pick in product(CASES, range(arguments.picks)):
                table = windows.table(number)
                gfi = windows.clean(number - 1).summary.gfi
                broken = draw(case, world.schema, table, gfi, (seed, number, pick)).corruption
                culprits = [world.schema.names().index(name) for name in broken.culprits]
                anomaly = windows.scoring(broken.apply(table, number).table).summary
                found = _found(windows, number, culprits, anomaly, seed + pick)
                print(case, seed, number, pick, *found, flush=True)
                counts.update(dict(zip(product([case], NAMES), (*found, 1), strict=True)))
    print(json.dumps(_figures(counts)))


def _found(
    windows: Windows, number: int, culprits: Sequence[int], anomaly: Summary | None, seed: int
) -> tuple[int, ...]:
    """Return culprits, those found alone, those found with groups, false features and groups."""
    features = windows.scoring.features
    history = History.of(
        Frame.of(features),
        summaries=[windows.clean(n).summary for n in range(number)],
        pairs=[(n, n - 1) for n in range(1, number)],
        phases=np.zeros(number + 1, dtype=np.intp),
    )
    control = windows.clean(number - 1).summary
    broken = anomaly or windows.clean(number).summary
    shifts = diagnose(features, control, broken, history).ranking.shifts
    by_name: dict[str, FeatureShift] = {shift.feature.name: shift for shift in shifts}
    ordered = [by_name[feature.name] for feature in features]
    p = 10.0 ** -np.array([shift.score for shift in ordered])
    alone = {place for place, shift in enumerate(ordered) if shift.significant}
    suspects = find_groups(p, _pipelines(len(features), culprits, np.random.default_rng(seed)))
    grouped = {place for found in suspects for place in found.group.members.tolist()}
    false = sum(not set(culprits) & set(found.group.members.tolist()) for found in suspects)
    broke = set(culprits)
    both = alone | grouped
    return len(broke), len(broke & alone), len(broke & both), len(alone - broke), false


def _pipelines(count: int, culprits: Sequence[int], rng: np.random.Generator) -> list[FeatureGroup]:
    """Return the pipeline of the culprits, and random ones of the others."""
    others: NDArray[np.intp] = rng.permutation(np.setdiff1d(np.arange(count), culprits))
    ends = np.cumsum(rng.integers(*_SIZES, len(others)))
    parts = [part for part in np.split(others, ends[ends < len(others)]) if len(part) > 1]
    if len(culprits) > 1:
        parts.insert(0, np.array(sorted(culprits), np.intp))
    return [FeatureGroup(number, np.sort(part)) for number, part in enumerate(parts)]


def _figures(counts: Counter[tuple[str, str]]) -> dict[str, dict[str, int]]:
    return {case: {name: counts[case, name] for name in NAMES} for case in ("clean", *CASES)}


if __name__ == "__main__":
    main()
