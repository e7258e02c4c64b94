"""The Redis adapters over one client, with the rules of the other test stores."""

from dataclasses import dataclass
from datetime import timedelta

from redis.asyncio import Redis

from services.aggregator.adapters.redis_checkpoints import RedisCheckpoints
from services.aggregator.adapters.redis_durability import Durability
from services.aggregator.adapters.redis_folds import RedisFolds
from services.aggregator.adapters.redis_intake import RedisIntake, SampleRules
from services.aggregator.adapters.redis_keeper import RedisKeeper
from services.aggregator.adapters.redis_panes import RedisLatest
from services.aggregator.adapters.redis_shifts import RedisShifts
from services.aggregator.adapters.redis_windows import RedisWindows
from tests.unit.services.aggregator.worlds import BAND, LATEST_RULES, RULES


@dataclass(frozen=True)
class RedisStore:
    """All ports over one server."""

    client: Redis

    @property
    def checkpoints(self) -> RedisCheckpoints:
        return RedisCheckpoints(self.client, RULES.retention)

    @property
    def intake(self) -> RedisIntake:
        sample = SampleRules(2000, timedelta(hours=1))
        return RedisIntake(self.client, RULES, sample, LATEST_RULES, Durability())

    @property
    def latest(self) -> RedisLatest:
        return RedisLatest(self.client)

    @property
    def folds(self) -> RedisFolds:
        return RedisFolds(self.client, self.windows)

    @property
    def windows(self) -> RedisWindows:
        return RedisWindows(self.client, RULES, BAND)

    @property
    def shifts(self) -> RedisShifts:
        return RedisShifts(self.client, RULES.retention)

    def keeper(self, replica: str) -> RedisKeeper:
        return RedisKeeper(self.client, RULES, replica)
