"""Bots that die anywhere, in any order: one message, its thread and its plots, each once."""

import asyncio
from collections.abc import Sequence
from datetime import timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from aftershock.v1.incident_pb2 import Incident
from aftershock.v1.surface_pb2 import Surface
from clients.chatbot.adapters.memory_room import MemoryRoom
from clients.chatbot.adapters.no_lineage import NoLineage
from clients.chatbot.core.card import Card, Note, Picture
from clients.chatbot.core.describe import card_of
from clients.chatbot.core.text import plain
from clients.chatbot.ports import Found, SurfaceBusy
from clients.chatbot.show import Show
from services.runbook.adapters.grpc_messages import incident_message
from services.runbook.adapters.grpc_surface_messages import surface_from, surface_message
from services.runbook.domain.errors import SurfaceBusy as BusyInRunbook
from services.runbook.domain.errors import SurfaceChanged
from services.runbook.domain.mitigation import MitigationState
from tests.unit.services.runbook.builders import BROKEN, HEALTHY, Runbook, event

LEASE = timedelta(seconds=30)


class Died(BaseException):
    """The bot's process ended."""


class Doom:
    """Ends a bot at its n-th step, before or after the step took effect."""

    def __init__(self, steps: int, *, after: bool) -> None:
        self._left = steps
        self._after = after

    def before(self) -> None:
        self._left -= 1
        if self._left == 0 and not self._after:
            raise Died

    def after(self) -> None:
        if self._left == 0 and self._after:
            raise Died


class MortalRoom:
    """A room as seen by a bot that is about to die."""

    surface = MemoryRoom.surface

    def __init__(self, room: MemoryRoom, doom: Doom) -> None:
        self._room = room
        self._doom = doom

    async def post(self, key: str, card: Card) -> str:
        self._doom.before()
        reference = await self._room.post(key, card)
        self._doom.after()
        return reference

    async def update(self, reference: str, card: Card) -> None:
        self._doom.before()
        await self._room.update(reference, card)
        self._doom.after()

    async def reply(self, reference: str, note: Note) -> None:
        self._doom.before()
        await self._room.reply(reference, note)
        self._doom.after()

    async def attach(self, reference: str, key: str, picture: Picture) -> None:
        self._doom.before()
        await self._room.attach(reference, key, picture)
        self._doom.after()

    async def find(self, key: str) -> Found | None:
        return await self._room.find(key)


class MortalSurfaces:
    """The runbook's surfaces, without the network."""

    def __init__(self, runbook: Runbook, holder: str, doom: Doom) -> None:
        self._runbook = runbook
        self._holder = holder
        self._doom = doom

    async def claim(self, name: str) -> Surface:
        self._doom.before()
        _, incident_id, _, surface_id = name.split("/")
        try:
            claimed = await self._runbook.claim_surface(
                incident_id, surface_id, self._holder, LEASE
            )
        except BusyInRunbook as error:
            raise SurfaceBusy(str(error), error.retry_after) from error
        self._doom.after()
        return surface_message(claimed)

    async def record(self, surface: Surface, *, release: bool) -> Surface:
        self._doom.before()
        try:
            kept = await self._runbook.record_surface(surface_from(surface), release=release)
        except SurfaceChanged as error:
            raise SurfaceBusy(str(error), 1.0) from error
        self._doom.after()
        return surface_message(kept)


class TwoPlots:
    def names(self, incident: Incident) -> Sequence[str]:
        return ("gfi", "calibration")

    async def draw(self, incident: Incident, name: str) -> Picture | None:
        return Picture(name, name, name, b"png")


lives = st.lists(
    st.tuples(st.integers(1, 9), st.booleans(), st.sampled_from(["stay", "yes", "later"])),
    max_size=8,
)


@settings(max_examples=60, deadline=None)
@given(lives)
def test_one_message_whoever_dies_where(lives: list[tuple[int, bool, str]]) -> None:
    asyncio.run(_play(lives))


async def _play(lives: list[tuple[int, bool, str]]) -> None:
    runbook, room = Runbook(), MemoryRoom()
    await runbook.see(event(1, BROKEN))
    hours = iter(range(2, 20))

    async def show(holder: str, doom: Doom) -> None:
        surfaces = MortalSurfaces(runbook, holder, doom)
        bot = Show(MortalRoom(room, doom), surfaces, TwoPlots(), NoLineage())
        await bot(incident_message(await runbook.incident()))

    for life, (steps, after, what) in enumerate(lives):
        if what == "yes" and (await runbook.mitigation()).state is MitigationState.PROPOSED:
            await runbook.say_yes()
            await runbook.worker.drain()
        if what == "later":
            await runbook.see(event(next(hours), HEALTHY))
        try:
            await show(f"bot-{life}", Doom(steps, after=after))
        except (Died, SurfaceBusy):
            runbook.clock.advance(seconds=30 if after else 10)
    runbook.clock.advance(seconds=30)
    await show("the last one", Doom(0, after=False))
    incident = incident_message(await runbook.incident())
    (message,) = room.messages.values()
    assert message.card == card_of(incident)
    lines = [plain(line).split(": ", 1)[1] for note in message.notes for line in note.lines]
    assert lines == [entry.message for entry in incident.timeline]
    assert list(message.pictures) == ["INC-1/plots/gfi", "INC-1/plots/calibration"]
