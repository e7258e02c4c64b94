"""One incident -> one message that tells the truth, with its thread and its plots."""

import logging
from dataclasses import dataclass

from aftershock.v1.incident_pb2 import Incident
from aftershock.v1.surface_pb2 import Surface
from clients.chatbot.core.card import Card
from clients.chatbot.core.describe import card_of, short
from clients.chatbot.core.thread import next_note, told_by
from clients.chatbot.ports import Found, Lineage, MessageGone, Pictures, Room, Surfaces

_log = logging.getLogger(__name__)
_NOTHING = Found("")


@dataclass(frozen=True)
class Show:
    """Brings an incident's message up to date.

    It works under a claim, so that several bots make one message. A bot that dies between posting
    and recording leaves a claim that was not released: whoever claims next looks for what is in the
    room before posting anything.
    """

    room: Room
    surfaces: Surfaces
    pictures: Pictures
    lineage: Lineage

    async def __call__(self, incident: Incident) -> None:
        """Post or update the message, then its thread. What is true already is left alone.

        Raises:
            SurfaceBusy: another bot does it; look again later.
            ChatUnavailable, RunbookUnavailable: try again; nothing is posted twice.
            ChatRefused: the chat system will not have the message.
        """
        surface = await self.surfaces.claim(f"{incident.name}/surfaces/{self.room.surface}")
        key, found = short(incident.name), _NOTHING
        if surface.interrupted:
            found = await self.room.find(key) or _NOTHING
        surface.message = surface.message or found.message
        card = card_of(incident, await self.lineage.around(incident))
        surface = await self._message(surface, key, card)
        surface.told_count = max(surface.told_count, told_by(incident, found.keys))
        await self._thread(surface, incident)
        await self._plots(surface, incident, found)
        await self.surfaces.record(surface, release=True)

    async def _message(self, surface: Surface, key: str, card: Card) -> Surface:
        if surface.message and surface.shown == card.digest:
            return surface
        if surface.message:
            try:
                await self.room.update(surface.message, card)
            except MessageGone:
                _log.warning("somebody deleted the message of %s: posting it anew", key)
                surface.message, surface.told_count = "", 0
                del surface.attachments[:]
        if not surface.message:
            surface.message = await self.room.post(key, card)
        surface.shown = card.digest
        return await self.surfaces.record(surface, release=False)

    async def _thread(self, surface: Surface, incident: Incident) -> None:
        while note := next_note(incident, surface.told_count):
            await self.room.reply(surface.message, note)
            surface.told_count = told_by(incident, [note.key])

    async def _plots(self, surface: Surface, incident: Incident, found: Found) -> None:
        for name in self.pictures.names(incident):
            key = f"{short(incident.name)}/plots/{name}"
            if name in surface.attachments:
                continue
            if key not in found.keys:
                picture = await self.pictures.draw(incident, name)
                if picture is None:
                    continue
                await self.room.attach(surface.message, key, picture)
            surface.attachments.append(name)
