"""Plays hours of both tiers against a running platform, as serving fleets and pipelines do."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

import httpx
import numpy as np

import aftershock
from aftershock.v1.window_pb2 import Window, WindowState
from clients.drill.replay import ReplayStalled
from clients.drill.serving import ModelServer
from clients.drill.tiers.models import Tier
from clients.drill.tiers.population import Population

ROWS = 2000
LOGGED = 600
"""Of each population."""
JOBS = ("collect_activity", "profile_features", "encode_users", "score_users", "video_features")
_PRODUCER = "https://example.com"
_WINDOW_SECONDS = 60.0
_POLL_SECONDS = 0.02


@dataclass(frozen=True)
class Player:
    """Scores, logs and reports hours of all models, and tells of the pipelines' runs."""

    population: Population
    servers: Mapping[Tier, ModelServer]
    clients: Mapping[str, aftershock.Client]
    """By model."""
    openlineage: httpx.Client

    def play(self, tier: Tier, hour: int) -> Window:
        """Play one model's hour and return its closed window.

        Raises:
            ReplayStalled: the platform did not finish the window within a minute.
        """
        client, start = self.clients[tier.name], self.population.time(hour)
        served = tier.examples(self.population, hour, ROWS, healthy=False)
        meant = tier.examples(self.population, hour, ROWS, healthy=True)
        predictions = self.servers[tier].predict(served)
        chances = self.servers[tier].predict(meant)
        clicks = np.random.default_rng((7, hour, len(tier.name))).random(ROWS) < chances
        for first, population in ((0, "considered"), (LOGGED, "displayed")):
            with client.examples(population=population, on_full="wait") as log:  # type: ignore[arg-type]
                log.send(served.slice(first, LOGGED), event_time=start)
        client.outcomes(
            start=start,
            end=self.population.time(hour + 1),
            expected=float(predictions.sum()),
            observed=int(clicks.sum()),
        )
        return _finished(client, tier.name, start)

    def run_pipelines(self, hour: int, jobs: Sequence[str] = JOBS) -> None:
        """Tell, as the pipelines' scheduler does, that each ran once in the hour.

        Raises:
            httpx.HTTPStatusError: the aggregator refuses an event.
        """
        time_of_run = self.population.time(hour).isoformat()
        events = [
            {
                "eventType": "COMPLETE",
                "eventTime": time_of_run,
                "run": {"runId": str(UUID(int=hour * len(JOBS) + number))},
                "job": {"namespace": "airflow", "name": job},
                "producer": _PRODUCER,
            }
            for number, job in enumerate(jobs)
        ]
        self.openlineage.post("/api/v1/lineage/batch", json=events).raise_for_status()


def _finished(client: aftershock.Client, model: str, start: datetime) -> Window:
    deadline = time.monotonic() + _WINDOW_SECONDS
    while time.monotonic() < deadline:
        for window in client.windows(limit=2):
            closed = window.state == WindowState.WINDOW_STATE_CLOSED
            is_it = window.start_time.ToDatetime(UTC) == start
            if is_it and closed and window.HasField("calibration"):
                return window
        time.sleep(_POLL_SECONDS)
    raise ReplayStalled(f"the window of {model} at {start:%Y-%m-%d %H:%M} is not finished")
