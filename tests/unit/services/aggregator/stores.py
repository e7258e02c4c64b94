"""What the conformance suites ask of a store: all ports over the same state."""

from typing import Protocol

from services.aggregator.ports import (
    CheckpointStore,
    FoldStore,
    Intake,
    LatestReader,
    ModelDirectory,
    ShiftPublisher,
    ShiftReader,
    SummaryReader,
    WindowKeeper,
    WindowReader,
)


class Checkpoints(CheckpointStore, ModelDirectory, Protocol):
    """Both ports in one."""


class Windows(WindowReader, SummaryReader, Protocol):
    """Both ports in one."""


class Shifts(ShiftPublisher, ShiftReader, Protocol):
    """Both ends of the streams."""


class Store(Protocol):
    """All ports over the same state."""

    @property
    def checkpoints(self) -> Checkpoints: ...
    @property
    def intake(self) -> Intake: ...
    @property
    def folds(self) -> FoldStore: ...
    @property
    def windows(self) -> Windows: ...
    @property
    def latest(self) -> LatestReader: ...
    @property
    def shifts(self) -> Shifts: ...
    def keeper(self, replica: str) -> WindowKeeper: ...
