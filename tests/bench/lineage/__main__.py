"""Runs the benchmark; see the package."""

import argparse
import asyncio
import json
import tempfile
from pathlib import Path

from tests.aggregator_process import started
from tests.bench.lineage.comparison import compared
from tests.bench.lineage.questions import Asking
from tests.bench.lineage.world import build
from tests.valkey import start_valkey

_QUICK = {"questions": 25, "compared": 2}
_FULL = {"questions": 300, "compared": 20}


def main() -> None:
    """Measure and print one JSON object last."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true", help="fewer questions, within 45 s")
    size = _QUICK if parser.parse_args().quick else _FULL
    world = build(seed=0)
    with (
        tempfile.TemporaryDirectory() as folder,
        start_valkey() as server,
        started(server.url, Path(folder), {"SWEEP_SECONDS": "1.0"}) as running,
    ):
        asking = Asking(world, server.url, running, size["questions"])
        figures = asyncio.run(asking.measured())
    ratio, median = compared(world, size["compared"])
    print(f"median of the single ratios: {median:.1f}")
    figures["speedup_vs_networkx"] = round(ratio, 1)
    print(json.dumps({name: round(value, 2) for name, value in figures.items()}))


if __name__ == "__main__":
    main()
