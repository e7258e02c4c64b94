"""Benchmarks how often diagnosis finds the features that broke, next to its peers.

    python -m tests.bench.diagnosis [--quick] [--cases paper|pipeline] [--seeds 10 11 12]
        [--windows 6 8 10] [--picks 2]

The world is MovieLens-100K with 174 features that drift by themselves; the model is the drill's,
which nobody tuned, trained here; windows are of 4,000 examples. The paper's eleven cases break
random features of a window; `--cases pipeline` takes the drill's other faults instead.
Importances, value sketches, summaries and diagnosis are the services' own code. A method finds a
feature that is among its first K, 3 % of all. The last line is one JSON object with standard
errors over the runs; before it come the same figures in tables.

`gfi` is the paper's ranking, equations 1 and 4; `captum_gfi` is equation 2's by our engine, after
Captum computed that of all features in a window (of 64 examples if quick). KS and PSI divided by
what they usually are from one window to the next are `ks_history` and `psi_history`.

The quick run has one seed, one window and one draw of each case: its standard errors are what it
is worth. Its clean windows are those up to the broken one, and evidently's false flags are of one
of them. Models and clean windows are computed once and kept beside the world.
"""

import argparse
import json
import math
import multiprocessing
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from itertools import product
from typing import Any

from clients.drill.movielens.source import default_cache
from clients.drill.movielens.world import World, load_world
from tests.bench.diagnosis.captum_check import check_against_captum
from tests.bench.diagnosis.draws import GROUPS
from tests.bench.diagnosis.peers import import_evidently
from tests.bench.diagnosis.tally import Score, score
from tests.bench.diagnosis.trials import CONTROLS, METHODS, Laboratory, Scored, Trial
from tests.bench.diagnosis.windows import ROWS, WINDOWS, Windows

SHARE = 0.03
FIRST_JUDGED = 4
"""The first window with a past that is long enough for a verdict."""
QUICK_CHECKED = 64
"""Examples that Captum looks at in a quick run."""


def main() -> None:
    """Run the trials and print the figures."""
    arguments = _arguments()
    cache = default_cache()
    trials: list[Trial] = []
    clean: list[Scored] = []
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=spawn) as pool:
        pool.submit(import_evidently)
        _say("reading the world (built once, which takes a minute)")
        world = load_world(cache)
        for seed in arguments.seeds:
            _say(f"seed {seed}: reading the model (trained once)")
            windows = Windows.of(world, seed, cache)
            if seed == arguments.seeds[0]:
                checked = QUICK_CHECKED if arguments.quick else ROWS
                agreement = check_against_captum(windows.scoring, windows.table(0, checked))
            last = max(arguments.windows) if arguments.quick else WINDOWS - 1
            laboratories = {n: Laboratory(windows, n, pool) for n in range(FIRST_JUDGED, last + 1)}
            trials += _trials([laboratories[n] for n in arguments.windows], arguments)
            for n, laboratory in laboratories.items():
                known = not arguments.quick or n in arguments.windows
                clean.append(laboratory.untouched(with_evidently=known))
        found = _figures(world, trials, clean)
    print(json.dumps({"cases": arguments.cases, "captum": agreement.as_json(), **found}))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a small share of it, within 55 s")
    parser.add_argument("--cases", choices=GROUPS, default="paper", help="what breaks")
    parser.add_argument("--seeds", type=int, nargs="+", default=[10, 11, 12])
    parser.add_argument("--windows", type=int, nargs="+", default=[6, 8, 10])
    parser.add_argument("--picks", type=int, default=2, help="draws of each case and window")
    arguments = parser.parse_args()
    if not all(FIRST_JUDGED <= number < WINDOWS for number in arguments.windows):
        parser.error(f"windows are numbered from {FIRST_JUDGED} to {WINDOWS - 1}")
    if arguments.quick:
        arguments.seeds, arguments.windows, arguments.picks = arguments.seeds[:1], [8], 1
    return arguments


def _trials(laboratories: Sequence[Laboratory], arguments: argparse.Namespace) -> Iterator[Trial]:
    for laboratory in laboratories:
        for pick, case in product(range(arguments.picks), GROUPS[arguments.cases]):
            where = f"seed {laboratory.windows.seed}, window {laboratory.number}"
            _say(f"{where}, draw {pick}, case {case}")
            yield laboratory.trial(case, pick)
    _say("")


def _say(what: str) -> None:
    """Show what is going on, on one line, where a person looks on."""
    if sys.stderr.isatty():
        print(f"\r\033[K{what}", end="", file=sys.stderr, flush=True)


def _figures(world: World, trials: Sequence[Trial], clean: Sequence[Scored]) -> dict[str, Any]:
    count = len(world.schema.features)
    k = math.floor(SHARE * count)
    result: dict[str, Any] = {
        "world": "movielens-100k",
        "features": count,
        "runs": len(trials),
        "k": k,
    }
    for control in CONTROLS:
        scores = {method: score(trials, control, method, k, clean) for method in METHODS}
        _print_table(control, scores)
        result[control] = {method: found.as_json() for method, found in scores.items()}
    return result


def _print_table(control: str, scores: dict[str, Score]) -> None:
    print(f"{control}: recall | at least one | at least one, visible | false flags | detection")
    for method, found in scores.items():
        figures = found.recall, found.at_least_one, found.at_least_one_visible
        shown = " | ".join(map(str, figures))
        print(f"  {method:12} {shown} | {found.false_flags:.2f} | {found.detection:.3f}")


if __name__ == "__main__":
    main()
