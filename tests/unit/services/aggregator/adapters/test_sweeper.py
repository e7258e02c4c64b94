import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

from services.aggregator.adapters.sweeper import Sweeper
from services.aggregator.domain.window import ModelRules, ModelState
from services.chassis.errors import DependencyUnavailable


@dataclass
class Models:
    """A directory that can fail."""

    names: Sequence[str] = ("a", "b")
    failures: int = 0

    async def models(self) -> Sequence[str]:
        if self.failures:
            self.failures -= 1
            raise DependencyUnavailable("no store")
        return self.names

    async def model(self, model: str) -> ModelState:
        raise NotImplementedError

    async def set_rules(self, model: str, rules: ModelRules) -> None:
        raise NotImplementedError


@dataclass
class Sweeps:
    """What was swept; the first sweeps of some models fail."""

    failing: set[str] = field(default_factory=set)
    swept: list[str] = field(default_factory=list)
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    async def __call__(self, model: str) -> None:
        self.swept.append(model)
        self.changed.set()
        if model in self.failing:
            self.failing.remove(model)
            raise ValueError("not this time")

    async def until(self, enough: Callable[[list[str]], bool]) -> None:
        async with asyncio.timeout(10):
            while not enough(self.swept):
                self.changed.clear()
                await self.changed.wait()


@asynccontextmanager
async def running(
    sweep: Callable[[str], Awaitable[None]], models: Models, seconds: float
) -> AsyncIterator[Sweeper]:
    sweeper = Sweeper(sweep, models, interval_seconds=seconds, at_once=2)
    task = asyncio.create_task(sweeper.run())
    try:
        yield sweeper
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def test_all_models_have_their_turn_again_and_again() -> None:
    sweeps = Sweeps()
    async with running(sweeps, Models(), 0.01):
        await sweeps.until(lambda swept: swept.count("a") > 2 and swept.count("b") > 2)


async def test_a_woken_model_is_swept_at_once() -> None:
    sweeps = Sweeps()
    async with running(sweeps, Models(), 3600) as sweeper:
        await sweeps.until(lambda swept: swept == ["a"])
        sweeper.wake("b")
        await sweeps.until(lambda swept: swept == ["a", "b"])


async def test_a_round_is_spread_over_its_time_and_leaves_nobody_out() -> None:
    sweeps = Sweeps()
    models = Models([f"m{number:03}" for number in range(201)])
    async with running(sweeps, models, 1.0):
        await sweeps.until(lambda swept: len(swept) >= 11)
        assert len(sweeps.swept) < 50
        await sweeps.until(lambda swept: len(set(swept)) == 201)
        assert len(sweeps.swept) == 201


async def test_a_failure_stops_nothing() -> None:
    sweeps = Sweeps(failing={"a"})
    async with running(sweeps, Models(failures=2), 0.01):
        await sweeps.until(lambda swept: swept.count("a") > 1)


async def test_waking_does_not_keep_the_others_waiting() -> None:
    sweeps = Sweeps()

    async def rewaking(model: str) -> None:
        await sweeps(model)
        sweeper.wake("a")

    async with running(rewaking, Models(), 0.01) as sweeper:
        await sweeps.until(lambda swept: swept.count("b") > 2)


async def test_a_model_that_failed_is_not_woken_before_its_turn() -> None:
    sweeps = Sweeps(failing={"a"})
    async with running(sweeps, Models(), 1.0) as sweeper:
        await sweeps.until(lambda swept: len(swept) == 2)
        sweeper.wake("a")
        sweeper.wake("b")
        await sweeps.until(lambda swept: len(swept) >= 3)
        assert sweeps.swept[2] == "b"
        await sweeps.until(lambda swept: swept.count("a") == 2)
