"""Benchmarks ComputeLfi over loopback against the engine in this process, interleaved.

A thousand features, batches of 384 examples (the contract's 4 MiB), half of the pairs at their
baselines. The service is a process of its own with one thread; it gets Arrow and answers blocks to
the caller. This process explains the same examples, encoded already. A round's ratio is the wall
time of the one over that of the other; the median of all rounds is printed last. Rounds are short,
10,752 examples in all, for others use the machine too. The quick run has a quarter of the features,
which are prepared in a quarter of the time.

    python -m tests.bench.attribution.rpc_overhead [--quick]
"""

import argparse
import json
import os
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import grpc
import torch

from aftershock.v1 import attribution_service_pb2 as pb
from aftershock.v1 import example_pb2
from aftershock.v1.attribution_service_pb2_grpc import AttributionServiceStub
from services.attribution import __main__ as attribution
from services.attribution.adapters.folder_checkpoints import FolderCheckpoints
from services.attribution.adapters.torch_checkpoints import TorchPrograms
from services.attribution.domain.example import Examples
from services.attribution.domain.lfi import LfiMethod
from services.attribution.engine.compiler import compiled
from services.attribution.explain import Explain
from services.chassis.channel import MESSAGE_OPTIONS
from tests.bench.attribution.models import MODELS
from tests.bench.attribution.prepared import FORK, Measure, Result
from tests.checkpoints import TRAINED_UNTIL, arrow_stream, random_examples, save_checkpoint
from tests.unit.services.attribution.engine.exporting import seeded
from tests.unit.services.attribution.engine.vectors import Counts, make_schema

BATCH = 384
COVERAGE = 0.5
QUARTER = make_schema(Counts(75, 145, 15, 5, 5, 5))


def main() -> None:
    """Measure and print one JSON object last."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true", help="a quarter of the features")
    is_quick = parser.parse_args().quick
    torch.set_num_threads(1)
    with prepared(is_quick) as measure:
        print(json.dumps(measure()))


@contextmanager
def prepared(is_quick: bool) -> Iterator[Measure]:
    """Start a service and compile the same checkpoint here; yield how to measure."""
    architecture, schema = MODELS["wide"]
    schema = QUARTER if is_quick else schema
    repeats, rounds = (1, 3) if is_quick else (2, 7)
    with TemporaryDirectory() as folder:
        root = Path(folder)
        checkpoint = save_checkpoint(root / "wide", seeded(architecture, schema), schema)
        with _service(root, checkpoint) as address:
            explain = _in_process(root, checkpoint)
            batches = [random_examples(schema, BATCH, seed=s, absent=1 - COVERAGE) for s in (1, 2)]
            place = address()
            yield lambda: _measured(place, explain, batches * repeats, rounds)


def _measured(address: str, explain: Explain, batches: Sequence[Examples], rounds: int) -> Result:
    requests = [_request(str(i), examples) for i, examples in enumerate(batches)]
    with grpc.insecure_channel(address, options=MESSAGE_OPTIONS) as channel:
        stub = AttributionServiceStub(channel)
        _over_loopback(stub, requests[:1])
        explain(batches[0])
        ratios = []
        for _ in range(rounds):
            inside = _timed(lambda: [explain(examples) for examples in batches])
            over = _timed(lambda: _over_loopback(stub, requests))
            ratios.append(over / inside)
            print(f"in process {inside:.2f} s, over loopback {over:.2f} s", flush=True)
    pairs = len(batches) * BATCH * len(batches[0].schema.features)
    print(f"{rounds} rounds of {pairs:,} pairs: {min(ratios):.3f} to {max(ratios):.3f}")
    return {"rpc_overhead": round(statistics.median(ratios), 3)}


def _over_loopback(stub: AttributionServiceStub, batches: Sequence[pb.ComputeLfiRequest]) -> None:
    options = pb.ComputeLfiOptions(checkpoint="models/ads_ctr", delivery=pb.DELIVERY_CALLER)
    answers = stub.ComputeLfi(iter([pb.ComputeLfiRequest(options=options), *batches]))
    for answer in answers:
        if not answer.HasField("block"):
            raise RuntimeError(f"batch {answer.batch_id} was refused: {answer.error.message}")


def _request(batch_id: str, examples: Examples) -> pb.ComputeLfiRequest:
    message = example_pb2.ExampleBatch(
        batch_id=batch_id,
        population=example_pb2.POPULATION_CONSIDERED,
        arrow_stream=arrow_stream(examples),
    )
    message.event_time.FromDatetime(TRAINED_UNTIL + timedelta(hours=1))
    return pb.ComputeLfiRequest(batch=message)


def _in_process(root: Path, checkpoint: Path) -> Explain:
    source = FolderCheckpoints(
        [root], {".pt2": TorchPrograms(lambda p: compiled(p.program, p.checkpoint))}
    )
    ablator = source.read(checkpoint).ablator
    return Explain(ablator, LfiMethod.PSEUDO_LOSS)


@contextmanager
def _service(root: Path, checkpoint: Path) -> Iterator[Callable[[], str]]:
    """Start the service; yield how to wait for its address."""
    file = root / "address"
    prefix = "AFTERSHOCK_ATTRIBUTION_"
    settings = {
        "CHECKPOINT_ROOTS": json.dumps([str(root)]),
        "LOAD": json.dumps([str(checkpoint)]),
        "ADDRESS_FILE": str(file),
        "EXIT_WITH_PARENT": str(os.getpid()),
        "THREADS": "1",
        "LOG_LEVEL": "WARNING",
    }
    os.environ |= {prefix + name: value for name, value in settings.items()}
    service = FORK.Process(target=attribution.main)
    service.start()

    def address() -> str:
        while not file.exists():
            if not service.is_alive():
                raise RuntimeError("the service ended: its log says why")
            time.sleep(0.05)
        return file.read_text()

    try:
        yield address
    finally:
        service.terminate()
        service.join()


def _timed(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
