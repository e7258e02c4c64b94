"""What others want to know is told, once however often the teller dies."""

from datetime import timedelta

import pytest

from services.runbook.adapters.change_signal import ChangeSignal
from services.runbook.adapters.memory_incidents import MemoryStore
from services.runbook.adapters.memory_timeline import MemoryTimeline
from services.runbook.domain.errors import TimelineUnavailable
from services.runbook.domain.happening import Happening, HappeningKind
from services.runbook.domain.incident import Incident, opened
from services.runbook.domain.mitigation import Mitigation, MitigationState, propose
from services.runbook.domain.pause import Pause, PauseState
from services.runbook.domain.plan import MitigationKind, Plan
from services.runbook.domain.preview import MissingPreview
from services.runbook.domain.suspect import SuspectLabel
from services.runbook.tell import Tell
from tests.unit.services.runbook.builders import BROKEN, MODEL, WALL_TIME, event

S = MitigationState
APPLIED = (S.APPROVED, S.APPLYING, S.APPLIED)
LONG_AGO = WALL_TIME - timedelta(days=1)
KILL = Plan("INC-1", MODEL, MitigationKind.KILL_SWITCH, ("user_embedding",))


def an_incident(incident_id: str = "INC-1", model: str = MODEL) -> Incident:
    return opened(incident_id, event(1, BROKEN, model=model), WALL_TIME)


def a_mitigation(mitigation_id: str = "1", plan: Plan = KILL) -> Mitigation:
    return propose(
        mitigation_id=mitigation_id,
        plan=plan,
        preview=MissingPreview("nobody asked"),
        proposer="policy:threshold",
        time=WALL_TIME,
        expire_time=WALL_TIME + timedelta(minutes=30),
        reason="policy threshold",
    )


def move(incident: Incident, *states: MitigationState, mitigation: str = "1") -> Incident:
    for state in states:
        incident = incident.moved(mitigation, state, actor="ada", time=WALL_TIME, reason="why not")
    return incident


async def save(store: MemoryStore, incident: Incident) -> None:
    await store.transact(lambda unit: unit.incidents.save(incident))


class Flaky(MemoryTimeline):
    """Takes nothing for so many times."""

    failures = 0

    async def record(self, happening: Happening) -> None:
        if type(self).failures:
            type(self).failures -= 1
            raise TimelineUnavailable("the aggregator says UNAVAILABLE: gone")
        await super().record(happening)


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore(ChangeSignal())


@pytest.fixture
def timeline() -> MemoryTimeline:
    return MemoryTimeline()


@pytest.fixture
def tell(store: MemoryStore, timeline: MemoryTimeline) -> Tell:
    return Tell(store, timeline)


def summaries(timeline: MemoryTimeline) -> list[tuple[HappeningKind, str]]:
    return [(told.kind, told.summary.partition(":")[0]) for told in timeline.kept.values()]


async def test_what_was_done_to_models_is_told(
    store: MemoryStore, timeline: MemoryTimeline, tell: Tell
) -> None:
    incident = an_incident().with_proposal(a_mitigation())
    await save(store, move(incident, *APPLIED, S.REVERTING, S.REVERTED))
    assert await tell(0, LONG_AGO) == len(list(await store.read(lambda u: u.audit.records())))
    assert summaries(timeline) == [
        (HappeningKind.INCIDENT, "INC-1 opened"),
        (HappeningKind.FLAG_FLIP, "switch off user_embedding"),
        (HappeningKind.FLAG_FLIP, "undone"),
    ]
    opened, flipped, _ = timeline.kept.values()
    assert (opened.model, opened.details["incident"]) == (MODEL, "incidents/INC-1")
    assert flipped.details == {"mitigation": "incidents/INC-1/mitigations/1"}


async def test_what_was_never_done_is_not(
    store: MemoryStore, timeline: MemoryTimeline, tell: Tell
) -> None:
    incident = an_incident()
    for number, path in {"1": (S.REJECTED,), "2": (S.APPROVED, S.REVERTED)}.items():
        incident = incident.with_proposal(a_mitigation(number))
        incident = move(incident, *path, mitigation=number)
    await save(store, incident)
    paused = Pause().moved(PauseState.PAUSED, actor="ada", time=WALL_TIME, reason="the sale")
    await store.transact(lambda unit: unit.restraints.record(paused))
    await tell(0, LONG_AGO)
    assert summaries(timeline) == [(HappeningKind.INCIDENT, "INC-1 opened")]


async def test_a_release_is_told(store: MemoryStore, timeline: MemoryTimeline, tell: Tell) -> None:
    incident = an_incident().with_proposal(a_mitigation())
    path = (*APPLIED, S.VERIFYING, S.EFFECTIVE, S.RELEASING, S.RELEASING, S.RELEASED)
    await save(store, move(incident, *path))
    await tell(0, LONG_AGO)
    assert summaries(timeline)[-1] == (HappeningKind.FLAG_FLIP, "served again to all")


async def test_a_rollback_is_no_flag(
    store: MemoryStore, timeline: MemoryTimeline, tell: Tell
) -> None:
    plan = Plan("INC-1", MODEL, MitigationKind.CHECKPOINT_ROLLBACK, checkpoint="7", replaces="8")
    incident = an_incident().with_proposal(a_mitigation(plan=plan))
    await save(store, move(incident, *APPLIED))
    await tell(0, LONG_AGO)
    assert summaries(timeline)[-1] == (
        HappeningKind.ROLLBACK,
        "serve checkpoint 7 instead of 8",
    )


@pytest.mark.parametrize(
    ("kind", "told"),
    [
        (MitigationKind.ID_MASK, (HappeningKind.FLAG_FLIP, "serve genres without id 4711")),
        (
            MitigationKind.ROW_QUARANTINE,
            (
                HappeningKind.ROW_ACTION,
                "leave rows of clicks with label '4711' and outcome '1' out of training",
            ),
        ),
    ],
)
async def test_what_is_done_about_findings_is_told(
    store: MemoryStore,
    timeline: MemoryTimeline,
    tell: Tell,
    kind: MitigationKind,
    told: tuple[HappeningKind, str],
) -> None:
    label = SuspectLabel("4711", "genres", "clicks", "1", 0.9)
    plan = Plan("INC-1", MODEL, kind, labels=(label,))
    incident = an_incident().with_proposal(a_mitigation(plan=plan))
    await save(store, move(incident, *APPLIED))
    await tell(0, LONG_AGO)
    assert summaries(timeline)[-1] == told


async def test_only_what_is_new_is_told(
    store: MemoryStore, timeline: MemoryTimeline, tell: Tell
) -> None:
    await save(store, an_incident())
    assert await tell(0, WALL_TIME + timedelta(seconds=1)) == 0
    told = await tell(0, LONG_AGO)
    assert await tell(told, LONG_AGO) == told
    await save(store, an_incident("INC-2", model="models/feed"))
    assert await tell(told, LONG_AGO) > told
    assert [happening.model for happening in timeline.kept.values()] == [MODEL, "models/feed"]


async def test_a_timeline_that_was_away_is_told_everything_once(store: MemoryStore) -> None:
    incident = an_incident().with_proposal(a_mitigation())
    await save(store, move(incident, *APPLIED))
    timeline = Flaky()
    tell = Tell(store, timeline)
    for failures in (1, 1):
        Flaky.failures = failures
        with pytest.raises(TimelineUnavailable):
            await tell(0, LONG_AGO)
    await tell(0, LONG_AGO)
    await tell(0, LONG_AGO)
    assert len(timeline.kept) == 2


async def test_many_records_are_told_in_several_looks(
    store: MemoryStore, timeline: MemoryTimeline, tell: Tell
) -> None:
    for number in range(1, 131):
        await save(store, an_incident(f"INC-{number}", model=f"models/m{number}"))
    await tell(0, LONG_AGO)
    assert len(timeline.kept) == 130
