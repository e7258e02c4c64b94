"""Plays the rest of a world's timeline as logical hours against a running platform."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa

import aftershock
from aftershock.serving import KillSwitchGuard
from aftershock.v1.window_pb2 import Window, WindowState
from clients.drill.corruptions import Corruption
from clients.drill.movielens.world import World
from clients.drill.serving import ModelServer

FIRST_HOUR = 18
HOURS_A_DAY = 4
Population = Literal["considered", "displayed"]
_WINDOW_SECONDS = 60.0
_POLL_SECONDS = 0.05


class ReplayStalled(Exception):
    """The platform did not finish a window in time."""


@dataclass(frozen=True)
class Hour:
    """One logical hour: rows `[first, last)` of the world, as if scored from `start` on."""

    day: int
    start: datetime
    first: int
    last: int

    @property
    def end(self) -> datetime:
        """Exclusive."""
        return self.start + timedelta(hours=1)


def hours_of(world: World, rows: int) -> Iterator[Hour]:
    """Yield the hours after training: `rows` examples each, four to a logical day.

    The days follow each other from the one after the checkpoint's last training example on, so
    that no window starts before the checkpoint's `trained_until`.
    """
    last_seen = world.timestamps[world.train_rows].astype(datetime).replace(tzinfo=UTC)
    midnight = last_seen.replace(hour=0, minute=0, second=0) + timedelta(days=1)
    for number, first in enumerate(range(world.train_rows, len(world) - rows + 1, rows)):
        day, hour = divmod(number, HOURS_A_DAY)
        start = midnight + timedelta(days=day, hours=FIRST_HOUR + hour)
        yield Hour(day=day + 1, start=start, first=first, last=first + rows)


@dataclass(frozen=True)
class Replay:
    """Scores hours with the world's model server and logs them through the SDK.

    Whatever the world's users considered was displayed to them, and its outcome is known. So both
    populations are drawn at random from the hour's examples, and outcomes are reported for all.
    """

    world: World
    server: ModelServer
    guard: KillSwitchGuard
    client: aftershock.Client
    considered: int
    displayed: int

    def play(self, hour: Hour, corruption: Corruption | None, tick: Callable[[], None]) -> Window:
        """Play one hour and return its closed window with calibration.

        Raises:
            ReplayStalled: the platform did not finish the window within a minute.
        """
        served = self._served(hour, corruption)
        predictions = self.server.predict(served)
        rows = np.random.default_rng(hour.first).permutation(len(predictions))
        self._log(served, rows[: self.considered], "considered", hour)
        tick()
        self._log(served, rows[-self.displayed :], "displayed", hour)
        tick()
        self.client.outcomes(
            start=hour.start,
            end=hour.end,
            expected=float(predictions.sum()),
            observed=int(self.world.labels[hour.first : hour.last].sum()),
        )
        window = self._finished(hour)
        tick()
        return window

    def _served(self, hour: Hour, corruption: Corruption | None) -> pa.Table:
        """Return the examples as the model sees them: broken first, then guarded."""
        table = self.world.examples.slice(hour.first, hour.last - hour.first)
        if corruption is not None:
            table = corruption.apply(table, seed=hour.first).table
        for feature in self.guard.killed:
            place = table.schema.get_field_index(feature)
            field = table.schema.field(place)
            table = table.set_column(place, field, pa.nulls(table.num_rows, field.type))
        return table

    def _log(
        self, table: pa.Table, rows: npt.NDArray[np.intp], population: Population, hour: Hour
    ) -> None:
        with self.client.examples(population=population, on_full="wait") as log:
            log.send(table.take(rows), event_time=hour.start)

    def _finished(self, hour: Hour) -> Window:
        deadline = time.monotonic() + _WINDOW_SECONDS
        while time.monotonic() < deadline:
            for window in self.client.windows():
                if window.start_time.ToDatetime(UTC) == hour.start:
                    closed = window.state == WindowState.WINDOW_STATE_CLOSED
                    if closed and window.HasField("calibration"):
                        return window
            time.sleep(_POLL_SECONDS)
        raise ReplayStalled(f"the window of {hour.start:%Y-%m-%d %H:%M} is not finished")
