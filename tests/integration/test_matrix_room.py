"""A room of a real Synapse, sent to by copies of a bot."""

import asyncio
import logging
import os
import re
import sys
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from aiohttp.test_utils import unused_port
from hypothesis import given
from hypothesis import strategies as st

from clients.chatbot.adapters.matrix_client import MatrixClient
from clients.chatbot.adapters.matrix_room import MatrixRoom
from clients.chatbot.core.card import Card, Note, Picture
from clients.chatbot.core.describe import card_of
from clients.chatbot.core.text import say
from clients.chatbot.ports import ChatRefused, ChatUnavailable, MessageGone
from tests.matrix_people import MatrixMessage, MatrixPerson, open_room
from tests.synapse import Account, Synapse
from tests.unit.clients.chatbot.incidents import incident, mitigation
from tests.waiting import until

PROPOSED = card_of(incident(mitigation(["user_embedding"])))
OPENED = card_of(incident())
ROOT = Path(__file__).parents[2]


def note(number: int) -> Note:
    return Note(f"INC-42/timeline/{number}", ((say(f"note {number}"),),))


@dataclass(frozen=True)
class Place:
    """A room with a bot in it."""

    account: Account
    id: str

    def copy(self) -> MatrixRoom:
        """A copy of the bot, which knows nothing of the others."""
        return MatrixRoom(MatrixClient(self.account.url, self.account.token, self.id))

    async def messages(self) -> Sequence[MatrixMessage]:
        return await asyncio.to_thread(self.as_person().messages)

    def as_person(self) -> MatrixPerson:
        return MatrixPerson(self.account, self.id)


@pytest.fixture
def place(synapse: Synapse) -> Place:
    account = synapse.account(f"bot-{uuid.uuid4().hex[:8]}")
    return Place(account, open_room(account))


async def test_what_is_sent_again_is_there_once(place: Place) -> None:
    picture = Picture("gfi", "GFI", "a plot", b"\x89PNG")
    references = []
    for copy in (place.copy(), place.copy()):
        reference = await copy.post("INC-42", OPENED)
        await copy.update(reference, PROPOSED)
        await copy.reply(reference, note(1))
        await copy.attach(reference, "INC-42/plots/gfi", picture)
        references.append(reference)
    (message,) = await place.messages()
    assert references == [message.event] * 2
    assert message.edits == 1
    assert len(message.thread) == 2


async def test_a_message_may_show_the_same_card_again(place: Place) -> None:
    room = place.copy()
    reference = await room.post("INC-42", OPENED)
    for card in (PROPOSED, OPENED, PROPOSED, OPENED):
        await room.update(reference, card)
    (message,) = await place.messages()
    assert message.edits == 4
    assert "Proposed" not in message.body


async def test_a_deleted_message(place: Place) -> None:
    room = place.copy()
    reference = await room.post("INC-42", OPENED)
    await asyncio.to_thread(place.as_person().delete, reference)
    with pytest.raises(MessageGone):
        await room.update(reference, PROPOSED)
    assert await room.find("INC-42") is None
    again = await room.post("INC-42", OPENED)
    (message,) = await place.messages()
    assert message.event == again != reference


async def test_another_copy_finds_what_was_posted(place: Place) -> None:
    room = place.copy()
    await room.post("INC-41", OPENED)
    reference = await room.post("INC-42", OPENED)
    await room.reply(reference, note(1))
    await room.attach(reference, "INC-42/plots/gfi", Picture("gfi", "GFI", "a plot", b"\x89PNG"))
    await room.update(reference, PROPOSED)
    found = await place.copy().find("INC-42")
    assert found is not None
    assert found.message == reference
    assert found.keys == {"INC-42/timeline/1", "INC-42/plots/gfi"}
    assert await place.copy().find("INC-4") is None


async def test_a_limit_is_waited_for(
    synapse: Synapse, place: Place, caplog: pytest.LogCaptureFixture
) -> None:
    root = synapse.account("root", admin=True)
    limits = f"/_synapse/admin/v1/users/{place.account.user}/override_ratelimit"
    root.call("POST", limits, {"messages_per_second": 1, "burst_count": 1})
    caplog.set_level(logging.INFO)
    room = place.copy()
    reference = await room.post("INC-42", OPENED)
    for number in range(3):
        await room.reply(reference, note(number))
    (message,) = await place.messages()
    assert [reply["content"]["body"] for reply in message.thread] == ["note 0", "note 1", "note 2"]
    assert "M_LIMIT_EXCEEDED" in caplog.text


@pytest.mark.parametrize("card", [OPENED, PROPOSED])
async def test_no_server(card: Card) -> None:
    nobody = MatrixClient(f"http://127.0.0.1:{unused_port()}", "token", "!abc:example.org")
    with pytest.raises(ChatUnavailable):
        await MatrixRoom(nobody).post("INC-42", card)


async def test_a_token_that_is_not_known_and_a_room_of_others(
    synapse: Synapse, place: Place
) -> None:
    with pytest.raises(ChatRefused, match="M_UNKNOWN_TOKEN"):
        await MatrixRoom(MatrixClient(synapse.url, "wrong", place.id)).post("INC-42", OPENED)
    others = open_room(synapse.account("ada"))
    outside = MatrixRoom(MatrixClient(synapse.url, place.account.token, others))
    with pytest.raises(ChatRefused, match="M_FORBIDDEN"):
        await outside.post("INC-42", OPENED)


async def test_an_encrypted_room(place: Place) -> None:
    client = MatrixClient(place.account.url, place.account.token, place.id)
    await client.join()
    secret = {"algorithm": "m.megolm.v1.aes-sha2"}
    state = f"/_matrix/client/v3/rooms/{place.id}/state/m.room.encryption/"
    place.account.call("PUT", state, secret)
    with pytest.raises(ChatRefused, match="without encryption"):
        await client.join()


LETTERS = r"[A-Za-z0-9._~+/=-]"
rooms = st.from_regex(rf"!{LETTERS}{{1,60}}(:[a-z0-9.-]{{1,100}}(:[0-9]{{1,5}})?)?", fullmatch=True)


@given(rooms, rooms)
def test_a_surface_names_one_room(one: str, other: str) -> None:
    names = [MatrixRoom(MatrixClient("", "", room)).surface for room in (one, other)]
    assert all(re.fullmatch(r"matrix\.[A-Za-z0-9_.-]{1,121}", name) for name in names)
    assert (names[0] == names[1]) == (one == other)


async def test_synapse_ends_with_who_started_it(tmp_path: Path) -> None:
    """However that ends: here it is killed."""
    code = (
        "from tests.synapse import serve_synapse\n"
        "with serve_synapse() as synapse:\n"
        "    print(synapse.url, flush=True)\n"
        "    input()\n"
    )
    parent = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", code),
        cwd=ROOT,
        env={**os.environ, "TMPDIR": str(tmp_path)},
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert parent.stdout is not None
    url = await parent.stdout.readline()
    parent.kill()
    await parent.wait()
    client = MatrixClient(url.decode().strip(), "token", "!abc:example.org")

    async def is_gone() -> bool:
        try:
            await client.me()
        except ChatUnavailable:
            return True
        except ChatRefused:
            return False
        return False

    await until(is_gone)
