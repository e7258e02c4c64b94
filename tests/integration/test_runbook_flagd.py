"""The real OpenFeature flagd provider, in-process resolver, follows the runbook's flags."""
# ruff: noqa: ASYNC110 - the provider lives on threads of its own

import asyncio
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import grpc
import pytest
from openfeature.contrib.provider.flagd import FlagdProvider
from openfeature.contrib.provider.flagd.config import ResolverType
from openfeature.evaluation_context import EvaluationContext
from openfeature.exception import FlagNotFoundError

from aftershock.serving import KillSwitchGuard
from aftershock.v1.flag_sync_pb2 import (
    FlagFetchRequest,
    FlagFetchResponse,
    FlagMetadataRequest,
    FlagMetadataResponse,
)
from services.chassis.server import Service, bind, build_server
from services.chassis.settings import ServiceSettings
from services.runbook.adapters.actuators.flagd_sync import FlagBoard, FlagdSync
from services.runbook.adapters.flag_sync_servicer import (
    FLAG_SYNC,
    FlagSyncServicer,
    add_flag_sync_to_server,
)
from services.runbook.adapters.sql_engine import open_engine
from services.runbook.adapters.sql_killed_features import SqlKilledFeatures
from services.runbook.adapters.sql_schema import upgrade
from services.runbook.adapters.sql_transactions import SqlTransactions
from services.runbook.domain.plan import KILLED, SERVED, Change, MitigationKind, Plan
from services.runbook.domain.suspect import SuspectLabel
from services.runbook.ports import KilledFeatures
from tests.unit.services.runbook.builders import MODEL

KEY = "aftershock.kill.ads_ctr.user_embedding"
MASK_KEY = "aftershock.mask.ads_ctr.watched"
PLAN = Plan("INC-1", MODEL, MitigationKind.KILL_SWITCH, ("user_embedding",))
CHANGE = Change({"user_embedding": SERVED}, {"user_embedding": KILLED})
MITIGATION = "incidents/INC-1/mitigations/1"


class Served:
    """Killed features in SQLite, and whichever server serves them now."""

    def __init__(self, killed: KilledFeatures) -> None:
        self.killed = killed
        self.address = "127.0.0.1:0"
        self.step = 0
        self._server: grpc.aio.Server | None = None
        self._following: asyncio.Task[None] | None = None

    @property
    def port(self) -> int:
        return int(self.address.rpartition(":")[2])

    async def start(self) -> None:
        """Serve as a fresh process would: at the address of the one before."""
        board = FlagBoard(self.killed)
        self.actuator = FlagdSync(self.killed, board)
        settings = ServiceSettings(listen=self.address)
        service = Service(
            names=[FLAG_SYNC],
            register=lambda server: add_flag_sync_to_server(FlagSyncServicer(board), server),
            errors={},
            access={},
        )
        self._server = build_server(service, settings)
        self.address = bind(self._server, settings)
        await self._server.start()
        self._following = asyncio.create_task(board.follow())

    async def stop(self) -> None:
        assert self._server is not None
        assert self._following is not None
        self._following.cancel()
        await self._server.stop(None)

    async def kill(self) -> None:
        await self.actuator.apply(MITIGATION, PLAN, CHANGE)

    async def expose(self, percent: int) -> None:
        self.step += 1
        await self.actuator.expose(MITIGATION, PLAN, percent, self.step)

    async def restore(self) -> None:
        await self.actuator.revert(MITIGATION, PLAN, CHANGE)


@pytest.fixture
def killed(tmp_path: Path) -> Iterator[KilledFeatures]:
    engine = open_engine(f"sqlite:///{tmp_path}/runbook.sqlite")
    upgrade(engine)
    yield SqlKilledFeatures(SqlTransactions(engine))
    engine.dispose()


@pytest.fixture
async def served(killed: KilledFeatures) -> AsyncIterator[Served]:
    runbook = Served(killed)
    await runbook.start()
    yield runbook
    await runbook.stop()


class ModelServer:
    """A model server that asks the provider before it serves a feature."""

    def __init__(self, port: int, selector: str | None = None) -> None:
        self.provider = FlagdProvider(
            resolver_type=ResolverType.IN_PROCESS,
            host="127.0.0.1",
            port=port,
            tls=False,
            deadline_ms=20_000,
            retry_backoff_ms=50,
            retry_backoff_max_ms=100,
            selector=selector,
        )

    def is_killed(self, key: str = KEY) -> bool:
        try:
            return bool(self.provider.resolve_boolean_details(key, False).value)
        except FlagNotFoundError:
            return False

    def killed_for(self, keys: Iterable[str]) -> set[str]:
        """Return the targeting keys whose requests are served the baseline."""
        asked = {key: EvaluationContext(targeting_key=key or None) for key in keys}
        return {
            key
            for key, context in asked.items()
            if self.provider.resolve_boolean_details(KEY, False, context).value
        }

    async def sees_another_share(self, keys: Sequence[str], before: set[str]) -> set[str]:
        async with asyncio.timeout(20):
            while (now := self.killed_for(keys)) == before:
                await asyncio.sleep(0.01)
        return now

    async def masks(self, ids: set[str]) -> None:
        """Wait until these ids of `watched` are left out."""
        async with asyncio.timeout(20):
            while self._masked() != ids:
                await asyncio.sleep(0.01)

    def _masked(self) -> set[str]:
        nothing: dict[str, list[str]] = {"ids": []}
        try:
            found = self.provider.resolve_object_details(MASK_KEY, nothing).value
        except FlagNotFoundError:
            return set()
        assert isinstance(found, dict)
        return set(found["ids"])

    async def sees(self, killed: bool) -> None:
        async with asyncio.timeout(20):
            while self.is_killed() is not killed:
                await asyncio.sleep(0.01)


@contextmanager
def started(server: ModelServer) -> Iterator[ModelServer]:
    try:
        yield server
    finally:
        server.provider.shutdown()


async def connected(port: int, selector: str | None = None) -> ModelServer:
    server = ModelServer(port, selector)
    await asyncio.to_thread(server.provider.initialize, EvaluationContext())
    return server


async def test_a_kill_reaches_the_provider_and_goes_again(served: Served) -> None:
    with started(await connected(served.port)) as server:
        assert not server.is_killed()
        await served.kill()
        await server.sees(killed=True)
        await served.restore()
        await server.sees(killed=False)


async def test_a_release_by_stages_is_flagds_fractional_targeting(served: Served) -> None:
    keys = [f"user-{number}" for number in range(1000)]
    await served.kill()
    with started(await connected(served.port)) as server:
        assert server.killed_for(keys) == set(keys)
        before = set(keys)
        for percent in (1, 10, 50):
            await served.expose(percent)
            now = await server.sees_another_share(keys, before)
            # Who is served it once is served it from then on.
            assert now < before
            assert abs(len(keys) - len(now) - 10 * percent) < 50
            # A request without a key is among the last.
            assert server.is_killed()
            before = now
        await served.expose(100)
        await server.sees(killed=False)
        await served.expose(0)
        await server.sees(killed=True)
        assert server.killed_for(keys) == set(keys)


async def test_the_sdks_guard_and_the_provider_serve_the_same_requests(served: Served) -> None:
    keys = ["", "é", "x" * 300, *(f"user-{number}" for number in range(1000))]
    await served.kill()
    await served.expose(37)
    with (
        started(await connected(served.port)) as server,
        KillSwitchGuard(served.address, model="ads_ctr") as guard,
    ):
        assert await asyncio.to_thread(guard.wait_ready, 20.0)
        by_guard = {key for key in keys if guard.is_killed("user_embedding", key or None)}
        assert by_guard == server.killed_for(keys)


async def test_a_mask_reaches_the_provider_and_the_guard(served: Served) -> None:
    labels = tuple(SuspectLabel(each, feature="watched") for each in ("4711", str(2**60 + 1)))
    plan = Plan("INC-1", MODEL, MitigationKind.ID_MASK, labels=labels)
    change = Change(dict.fromkeys(plan.target, SERVED), plan.target)
    request = {"watched": [7, 4711], "bought": [4711], "age": [3]}
    with (
        started(await connected(served.port)) as server,
        KillSwitchGuard(served.address, model="ads_ctr") as guard,
    ):
        assert await asyncio.to_thread(guard.wait_ready, 20.0)
        assert guard.apply(request, {}) is request
        await served.actuator.apply(MITIGATION, plan, change)
        await server.masks({"4711", str(2**60 + 1)})
        async with asyncio.timeout(20):
            while not guard.masked:
                await asyncio.sleep(0.01)
        assert guard.apply(request, {}) == {**request, "watched": [7]}
        assert guard.apply({"watched": [2**60 + 1]}, {}) == {"watched": []}
        # Released: served to all, and still the mitigation's to mask again.
        await served.actuator.expose(MITIGATION, plan, 100, 1)
        await server.masks(set())
        await served.actuator.expose(MITIGATION, plan, 0, 2)
        await server.masks({"4711", str(2**60 + 1)})
        await served.actuator.revert(MITIGATION, plan, change)
        await server.masks(set())
        async with asyncio.timeout(20):
            while guard.masked:
                await asyncio.sleep(0.01)
        assert guard.apply(request, {}) is request


async def test_a_restart_serves_no_masked_id(served: Served) -> None:
    plan = Plan("INC-1", MODEL, MitigationKind.ID_MASK, labels=(SuspectLabel("4711", "watched"),))
    await served.actuator.apply(MITIGATION, plan, await served.actuator.plan(plan))
    await served.stop()
    await served.start()
    with started(await connected(served.port)) as server:
        await server.masks({"4711"})


async def test_a_new_subscriber_gets_the_current_state(served: Served) -> None:
    await served.kill()
    with started(await connected(served.port)) as server:
        assert server.is_killed()


async def test_a_selector_leaves_other_models_out(served: Served) -> None:
    await served.kill()
    with started(await connected(served.port, "feed_rank")) as other:
        assert not other.is_killed()
    with started(await connected(served.port, "ads_ctr")) as same:
        assert same.is_killed()


async def test_a_restart_never_un_kills(served: Served) -> None:
    with started(await connected(served.port)) as server:
        await served.kill()
        await server.sees(killed=True)
        await served.stop()
        assert server.is_killed()
        await served.start()
        await served.restore()
        await server.sees(killed=False)


async def test_many_subscribers_follow(served: Served) -> None:
    servers = await asyncio.gather(*(connected(served.port) for _ in range(10)))
    try:
        await served.kill()
        await asyncio.gather(*(server.sees(killed=True) for server in servers))
    finally:
        for server in servers:
            server.provider.shutdown()


async def test_the_methods_that_the_provider_does_not_call(served: Served) -> None:
    await served.kill()
    async with grpc.aio.insecure_channel(served.address) as channel:
        fetch = channel.unary_unary(
            f"/{FLAG_SYNC}/FetchAllFlags",
            FlagFetchRequest.SerializeToString,
            FlagFetchResponse.FromString,
        )
        assert KEY in (await fetch(FlagFetchRequest(), timeout=20)).flag_configuration
        selected = await fetch(FlagFetchRequest(selector="models/feed"), timeout=20)
        assert KEY not in selected.flag_configuration
        describe = channel.unary_unary(
            f"/{FLAG_SYNC}/GetMetadata",
            FlagMetadataRequest.SerializeToString,
            FlagMetadataResponse.FromString,
        )
        answer = await describe(FlagMetadataRequest(), timeout=20)
        assert dict(answer.metadata.items()) == {"source": "aftershock"}
