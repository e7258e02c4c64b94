"""Runbook processes that start in a moment: forked from one that has imported everything."""

import asyncio
import json
import multiprocessing
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from services.runbook.__main__ import main as serve

_PREFIX = "AFTERSHOCK_RUNBOOK_"
_START_SECONDS = 30.0

PERMISSIVE_POLICY: Mapping[str, Any] = {
    "policies": [
        {
            "name": "threshold",
            "mode": "suggest",
            "action": "kill_switch",
            "when": "calibration.anomalous",
            "features": "shift.significant && shift.share_of_top >= 0.3",
            "propose_if": "true",
        }
    ],
    "guard_rails": {
        "never_kill": [],
        "most_features_at_once": 3,
        "most_features_killed": 100_000,
        "daily_budget": 1_000_000,
    },
    "verification": {"windows": 2},
}
"""Thousands of features may be off at once, over all models."""


class Replica:
    """One runbook process at a time, with the same settings each time."""

    def __init__(
        self,
        folder: Path,
        settings: Mapping[str, str],
        policy: Mapping[str, Any] = PERMISSIVE_POLICY,
    ) -> None:
        folder.mkdir(exist_ok=True)
        self._address_file = folder / "address"
        policies = folder / "policies.yaml"
        # YAML reads JSON.
        policies.write_text(json.dumps(policy))
        self._settings = {
            "ADDRESS_FILE": str(self._address_file),
            "POLICIES": str(policies),
            "LEASE_SECONDS": "2",
            "LOG_LEVEL": "CRITICAL",
            **settings,
        }
        self._processes = multiprocessing.get_context("forkserver")
        self._processes.set_forkserver_preload([serve.__module__])
        self.start()

    def start(self) -> None:
        """Start; the address is there when the process serves."""
        self._address_file.unlink(missing_ok=True)
        self._process = self._processes.Process(target=_serve, args=(self._settings,), daemon=True)
        self._process.start()

    def kill(self) -> None:
        """End the process at once, whatever it is doing."""
        self._process.kill()
        self._process.join()

    @property
    def address(self) -> str | None:
        """Where it serves, or last served; None if it does not yet."""
        try:
            return self._address_file.read_text() or None
        except FileNotFoundError:
            return None

    async def ready(self) -> str:
        """Return the address once there is one."""
        async with asyncio.timeout(_START_SECONDS):
            while (address := self.address) is None:
                assert self._process.is_alive(), "the runbook ended at start"
                await asyncio.sleep(0.02)
        return address


def _serve(settings: Mapping[str, str]) -> None:
    # The process that forks replicas goes when this one's parent does.
    tied = {**settings, "EXIT_WITH_PARENT": str(os.getppid())}
    os.environ.update({_PREFIX + key: value for key, value in tied.items()})
    serve()
