"""The aggregator as a process of its own, for tests that measure it or kill it."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

_START_SECONDS = 20.0


@dataclass(frozen=True)
class Running:
    """A process that serves."""

    process: subprocess.Popen[bytes]
    address: str


@contextmanager
def started(url: str, folder: Path, settings: Mapping[str, str] | None = None) -> Iterator[Running]:
    """A replica on the server at `url`, killed when the block is left.

    `settings` go by their names without the service's prefix. It is meant for small windows: it
    sweeps often and resamples little unless they say otherwise.
    """
    address_file = folder / "address"
    address_file.unlink(missing_ok=True)
    chosen = {
        "REDIS_URL": url,
        "ADDRESS_FILE": str(address_file),
        "EXIT_WITH_PARENT": str(os.getpid()),
        "SWEEP_SECONDS": "0.2",
        "RESAMPLES": "100",
        "FURTHEST_AHEAD_SECONDS": "1e9",
        "LOG_LEVEL": "WARNING",
        **(settings or {}),
    }
    environment = {f"AFTERSHOCK_AGGREGATOR_{key}": value for key, value in chosen.items()}
    process = subprocess.Popen(
        [sys.executable, "-m", "services.aggregator"], env=os.environ | environment
    )
    try:
        deadline = time.monotonic() + _START_SECONDS
        while not address_file.exists():
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.02)
        yield Running(process, address_file.read_text())
    finally:
        process.kill()
        process.wait()
