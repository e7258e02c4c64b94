"""`aftershock lineage watch` as a process: its lines, its ends, a service that restarts."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from aftershock.v1 import lineage_pb2 as pb
from tests.unit.clients.aftershock.recording import Served, stamp
from tests.unit.clients.aftershock.recording_lineage import Lineage

ENCODE = "job:airflow:encode"


def warning(cursor: str, *path: str, shift: float = 0.16) -> pb.PropagationWarning:
    return pb.PropagationWarning(
        cursor=cursor,
        model="models/feed_rank",
        feature="feature:ads_score",
        path=pb.LineagePath(nodes=[*path, "feature:ads_score", "model:feed_rank"], strength=0.04),
        roots=[ENCODE],
        expected_shift=shift,
        feeling=pb.Feeling.FEELING_NOT_FELT,
        event_time=stamp(2026, 11, 20, 2, 20),
    )


@pytest.fixture
def lineage() -> Lineage:
    made = Lineage()
    made.warnings = [
        warning("1", "feature:user_embedding", "model:ads_ctr", "output:ads_ctr/score")
    ]
    return made


@pytest.fixture
def served(lineage: Lineage) -> Iterator[Served]:
    running = Served(lineage)
    yield running
    running.kill()


@contextmanager
def interruptible() -> Iterator[None]:
    """Start processes that an interrupt reaches: who runs the tests in the background ignores it,
    and so would they."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


@contextmanager
def watching(served: Served, *options: str) -> Iterator[subprocess.Popen[str]]:
    environment = {k: v for k, v in os.environ.items() if not k.startswith("AFTERSHOCK_")}
    command = [sys.executable, "-m", "aftershock.cli", "lineage", "watch", "feed_rank", *options]
    with interruptible():
        process = subprocess.Popen(
            command,
            env=environment | {"AFTERSHOCK_ADDRESS": served.address},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
    with process:
        try:
            yield process
        finally:
            process.kill()


def line_of(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline()


def errors_of(process: subprocess.Popen[str]) -> str:
    assert process.stderr is not None
    return process.stderr.read()


def test_a_warning_is_a_line_and_an_interrupt_is_the_end(served: Served) -> None:
    with watching(served, "--least", "0.1") as process:
        assert line_of(process) == (
            "2026-11-20 02:20  root job:airflow:encode -> feature:user_embedding -> model:ads_ctr "
            "-> output:ads_ctr/score -> your feature ads_score (strength 0.04): expect a clear "
            "shift, 0.16 at most; not seen there yet\n"
        )
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0
        assert "Traceback" not in errors_of(process)


def test_a_service_that_restarts_is_found_again(served: Served, lineage: Lineage) -> None:
    with watching(served, "--json") as process:
        assert json.loads(line_of(process))["cursor"] == "1"
        served.kill()
        lineage.warnings.append(warning("2", shift=0.001))
        served.start()
        told = json.loads(line_of(process))
        assert (told["cursor"], told["expected_shift"]) == ("2", 0.001)
    assert lineage.requests[-1].cursor == "1"


def test_it_resumes_after_a_cursor(served: Served, lineage: Lineage) -> None:
    lineage.warnings.append(warning("2", shift=0.7))
    with watching(served, "--cursor", "1") as process:
        assert "root job:airflow:encode -> your feature ads_score" in (line := line_of(process))
        assert "expect a strong shift" in line


def test_a_reader_who_leaves_ends_it_though_nothing_comes(served: Served, lineage: Lineage) -> None:
    with watching(served) as process:
        line_of(process)
        assert process.stdout is not None
        process.stdout.close()
        assert process.wait(30) == 0
        assert "Traceback" not in errors_of(process)


def test_a_model_that_nobody_knows_is_no_quiet_one(served: Served, lineage: Lineage) -> None:
    lineage.unknown = True
    with watching(served) as process:
        assert process.wait(30) == 3
        assert "nobody told of model:feed_rank" in errors_of(process)
