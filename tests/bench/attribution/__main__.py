"""Benchmarks attribution: the engine against Captum; what RPC adds, what shortcuts save.

    ablation        the engine against Captum's FeatureAblation, for four models
    rpc_overhead    ComputeLfi over loopback against the engine in this process
    racing          races for the K most important features against ablating all of them
    bootstrap       the O(1) bootstrap of importances against drawing resamples

Each is prepared in a process of its own, all at once; then one at a time measures. Prints one JSON
object last. The quick run measures less of each, as told there: its ratios spread more.

    python -m tests.bench.attribution [--quick]
"""

import argparse
import json
import statistics
import warnings
from contextlib import ExitStack
from functools import partial
from typing import Any

import torch

from tests.bench.attribution import ablation, bootstrap, racing, rpc_overhead
from tests.bench.attribution.models import MODELS
from tests.bench.attribution.prepared import Prepared
from tests.unit.services.attribution.engine.architectures import ARCHITECTURES
from tests.unit.services.attribution.engine.exporting import exported, seeded
from tests.unit.services.attribution.engine.vectors import make_schema


def main() -> None:
    """Measure everything and print one JSON object last."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true", help="measure less, within 45 s")
    is_quick = parser.parse_args().quick
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    _import_what_export_needs()
    print(json.dumps(_measured(is_quick)))


def _measured(is_quick: bool) -> dict[str, Any]:
    with ExitStack() as stack:
        models = {
            name: stack.enter_context(Prepared(partial(ablation.prepared, name, is_quick)))
            for name in MODELS
        }
        others = [
            stack.enter_context(Prepared(partial(other.prepared, is_quick)))
            for other in (rpc_overhead, racing)
        ]
        for one in (*models.values(), *others):
            one.wait()
        answers = {}
        for name, model in models.items():
            answers[name] = model.taken()
            print(f"{name}: {answers[name]}", flush=True)
        result = {
            "coverage": round(statistics.mean(a["coverage"] for a in answers.values()), 3),
            "models": answers,
            "false_nonzero": sum(answer.pop("false_nonzero") for answer in answers.values()),
        }
        for other in others:
            result |= other.taken()
    return result | bootstrap.measured(3)


def _import_what_export_needs() -> None:
    schema = make_schema()
    exported(seeded(ARCHITECTURES["concat"], schema), schema)


if __name__ == "__main__":
    main()
