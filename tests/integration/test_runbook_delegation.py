"""Bots that speak for people, and what the runbook keeps for them: real gRPC, the real SDK."""

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

import aftershock
from aftershock import aio
from aftershock.v1.incident_pb2 import MITIGATION_STATE_APPROVED, MITIGATION_STATE_PROPOSED
from services.chassis.tokens import Role
from services.runbook.domain.escalation import EscalationStep
from tests.unit.services.runbook.builders import BROKEN, event, rules
from tests.unit.services.runbook.serving import ServedRunbook, serve_runbook

SURFACE = "incidents/INC-1/surfaces/slack.C1"
LEASE = timedelta(seconds=30)


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[ServedRunbook]:
    async with serve_runbook(tmp_path) as running:
        await running.runbook.see(event(1, BROKEN))
        yield running


def client(served: ServedRunbook, *roles: Role) -> aio.Client:
    return aio.Client(runbook=served.address, token=served.token("bot", *roles))


@pytest.fixture
async def bot(served: ServedRunbook) -> AsyncIterator[aio.Client]:
    async with client(served, Role.DELEGATE, Role.READER) as connected:
        yield connected


class TestSpeakingForPeople:
    async def test_the_person_decides_and_the_surface_is_kept(
        self, served: ServedRunbook, bot: aio.Client
    ) -> None:
        plan = (await bot.incident("INC-1")).mitigations[0]
        approved = await bot.acting_for("slack:T1/UADA").approve(plan, "plausible")
        assert (approved.state, approved.approver) == (MITIGATION_STATE_APPROVED, "ada")
        assert approved.reason == "plausible (through slack)"

    async def test_the_bot_itself_decides_nothing(self, bot: aio.Client) -> None:
        with pytest.raises(aftershock.NotAllowed) as refused:
            await bot.approve("INC-1")
        assert refused.value.reason == "FORBIDDEN"

    async def test_who_may_not_approve_may_not_through_a_bot(self, bot: aio.Client) -> None:
        with pytest.raises(aftershock.NotAllowed, match="rex may not call"):
            await bot.acting_for("slack:T1/UREX").approve("INC-1")

    @pytest.mark.parametrize("identity", ["slack:T1/UNKNOWN", "matrix:T1/UADA", "ada", ""])
    async def test_strangers_are_told_so(self, bot: aio.Client, identity: str) -> None:
        with pytest.raises(aftershock.NotAllowed) as refused:
            await bot.acting_for(identity).approve("INC-1")
        assert refused.value.reason == "UNKNOWN_PERSON"

    @pytest.mark.parametrize("role", [Role.ADMIN, Role.APPROVER])
    async def test_only_delegates_speak_for_others(self, served: ServedRunbook, role: Role) -> None:
        async with client(served, role, Role.READER) as somebody:
            with pytest.raises(aftershock.NotAllowed, match="takes the role delegate"):
                await somebody.acting_for("slack:T1/UADA").incidents()

    async def test_the_roster_is_asked_at_the_click(
        self, served: ServedRunbook, bot: aio.Client
    ) -> None:
        ada = bot.acting_for("slack:T1/UADA")
        await ada.incident("INC-1")
        served.roster.write_text(served.roster.read_text().replace("[ada]", "[ada]\n", 1))
        assert (await ada.incident("INC-1")).name == "incidents/INC-1"
        served.roster.write_text('[grace]\nroles = ["approver"]\nidentities = ["slack:T1/UG"]\n')
        with pytest.raises(aftershock.NotAllowed):
            await ada.approve("INC-1")
        assert (await bot.incident("INC-1")).mitigations[0].state == MITIGATION_STATE_PROPOSED

    async def test_a_broken_roster_lets_nobody_decide(
        self, served: ServedRunbook, bot: aio.Client
    ) -> None:
        served.roster.write_text("[ada")
        with pytest.raises(aftershock.Unavailable, match="cannot be followed"):
            await bot.acting_for("slack:T1/UADA").approve("INC-1")

    async def test_one_person_in_two_chats_is_one_approver(
        self, served: ServedRunbook, bot: aio.Client
    ) -> None:
        plan = (await bot.incident("INC-1")).mitigations[0]
        first = await bot.acting_for("slack:T1/UADA").approve(plan)
        again = await bot.acting_for("matrix:@ada:example.org").approve(plan)
        assert first == again


class TestSurfaces:
    async def test_what_is_recorded_is_what_the_next_bot_finds(self, bot: aio.Client) -> None:
        claimed = await bot.claim_surface(SURFACE, holder="one", lease=LEASE)
        assert (claimed.message, claimed.interrupted, claimed.holder) == ("", False, "one")
        claimed.message, claimed.shown, claimed.told_count = "C1/12.34", "abc", 3
        claimed.attachments.append("gfi")
        recorded = await bot.record_surface(claimed, release=True)
        assert recorded.holder == ""
        found = await bot.claim_surface(SURFACE, holder="two", lease=LEASE)
        assert (found.message, found.shown, found.told_count) == ("C1/12.34", "abc", 3)
        assert (list(found.attachments), found.interrupted) == (["gfi"], False)

    async def test_one_bot_at_a_time(self, served: ServedRunbook, bot: aio.Client) -> None:
        await bot.claim_surface(SURFACE, holder="one", lease=LEASE)
        with pytest.raises(aftershock.Conflict) as busy:
            await bot.claim_surface(SURFACE, holder="two", lease=LEASE)
        assert (busy.value.reason, busy.value.retry_after) == ("SURFACE_BUSY", 30.0)
        served.runbook.clock.advance(seconds=30)
        taken = await bot.claim_surface(SURFACE, holder="two", lease=LEASE)
        assert taken.interrupted

    async def test_who_lost_the_claim_records_nothing(
        self, served: ServedRunbook, bot: aio.Client
    ) -> None:
        late = await bot.claim_surface(SURFACE, holder="one", lease=LEASE)
        served.runbook.clock.advance(seconds=30)
        await bot.claim_surface(SURFACE, holder="two", lease=LEASE)
        late.message = "C1/99"
        with pytest.raises(aftershock.Conflict) as changed:
            await bot.record_surface(late)
        assert changed.value.reason == "SURFACE_CHANGED"

    async def test_nothing_is_recorded_without_a_claim(self, bot: aio.Client) -> None:
        claimed = await bot.claim_surface(SURFACE, holder="one", lease=LEASE)
        released = await bot.record_surface(claimed, release=True)
        with pytest.raises(aftershock.Conflict):
            await bot.record_surface(released)
        claimed.etag = "not one of ours"
        with pytest.raises(aftershock.Conflict):
            await bot.record_surface(claimed)

    async def test_only_of_incidents_that_there_are(self, bot: aio.Client) -> None:
        with pytest.raises(aftershock.NotFound):
            await bot.claim_surface("incidents/INC-9/surfaces/x", holder="one", lease=LEASE)

    async def test_people_have_no_business_with_them(self, bot: aio.Client) -> None:
        ada = bot.acting_for("slack:T1/UADA")
        with pytest.raises(aftershock.NotAllowed):
            await ada.claim_surface(SURFACE, holder="ada", lease=LEASE)


class TestSnooze:
    async def test_nobody_is_called_meanwhile(self, tmp_path: Path) -> None:
        async with serve_runbook(tmp_path) as served, client(served, Role.DELEGATE) as bot:
            runbook = served.runbook
            step = EscalationStep(timedelta(minutes=5), "second line")
            runbook.rules.rules = replace(rules(), escalation=(step,))
            await runbook.see(event(1, BROKEN))
            ada = bot.acting_for("slack:T1/UADA")
            snoozed = await ada.snooze("INC-1", timedelta(minutes=10), "on my way")
            assert snoozed.timeline[-1].message.endswith("on my way (through slack)")
            runbook.clock.advance(minutes=6)
            await runbook.worker.drain()
            assert not (await runbook.mitigation()).escalated_to
            runbook.clock.advance(minutes=5)
            await runbook.worker.drain()
            assert (await runbook.mitigation()).escalated_to == ("second line",)

    async def test_the_same_wish_twice_counts_once(
        self, served: ServedRunbook, bot: aio.Client
    ) -> None:
        ada = bot.acting_for("slack:T1/UADA")
        once = await ada.snooze("INC-1", timedelta(minutes=10))
        served.runbook.clock.advance(seconds=2)
        assert await ada.snooze("INC-1", timedelta(minutes=10)) == once
        longer = await ada.snooze("INC-1", timedelta(minutes=30))
        assert longer.snooze_expire_time.seconds > once.snooze_expire_time.seconds

    async def test_not_by_everybody(self, bot: aio.Client) -> None:
        with pytest.raises(aftershock.NotAllowed):
            await bot.acting_for("slack:T1/UREX").snooze("INC-1", timedelta(minutes=10))
