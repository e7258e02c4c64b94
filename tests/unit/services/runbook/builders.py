"""Incidents in miniature, and a runbook to play them on."""

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Protocol

from services.runbook.act import Act
from services.runbook.adapters.actuators.by_kind import ByKind
from services.runbook.adapters.actuators.dry_rollback import DryRollback
from services.runbook.adapters.actuators.dry_rows import DryRows
from services.runbook.adapters.actuators.dry_run import DryRun
from services.runbook.adapters.cel_conditions import CelConditions
from services.runbook.adapters.change_signal import ChangeSignal
from services.runbook.adapters.memory_incidents import MemoryStore
from services.runbook.adapters.no_registry import NoRegistry
from services.runbook.adapters.worker import Worker, WorkTable
from services.runbook.approve import Approve
from services.runbook.claim_surface import ClaimSurface
from services.runbook.consider import Consider
from services.runbook.domain.approval import Answer, Expert, Recall, Wish
from services.runbook.domain.conclusion import VerificationTerms
from services.runbook.domain.errors import (
    ImportancesUnavailable,
    LineageUnavailable,
    PagerUnavailable,
    PreviewUnavailable,
)
from services.runbook.domain.escalation import EscalationStep
from services.runbook.domain.evidence import (
    Calibration,
    Comparison,
    Evidence,
    FeatureShift,
    ShiftEvent,
    Verdict,
    Window,
)
from services.runbook.domain.facts import (
    FEATURES_FIELDS,
    FINDINGS_FIELDS,
    OPEN_INCIDENT_FIELDS,
    PROPOSE_IF_FIELDS,
    WHEN_FIELDS,
)
from services.runbook.domain.finding import AuditEnd, AuditFinding, Flips, Lean, standing
from services.runbook.domain.guardrail import GuardRails
from services.runbook.domain.incident import Incident
from services.runbook.domain.lease import LeaseTerms
from services.runbook.domain.mitigation import Mitigation
from services.runbook.domain.pause import Pause, PauseState
from services.runbook.domain.plan import Change, MitigationKind, Plan, Settings
from services.runbook.domain.policy import Action, Mode, Policy, Rules, Threshold
from services.runbook.domain.preview import JointAblation
from services.runbook.domain.rollback import RegisteredCheckpoint
from services.runbook.domain.suspect import SuspectLabel
from services.runbook.domain.work import Call, WorkKind
from services.runbook.escalate import Escalate
from services.runbook.expire import Expire
from services.runbook.expose import Expose
from services.runbook.heed import Heed
from services.runbook.lapse import Lapse
from services.runbook.open import Open
from services.runbook.page import Page
from services.runbook.pause import SetPause
from services.runbook.ports import Actuator, Registry, Releases, Store
from services.runbook.propose import Propose
from services.runbook.record_surface import RecordSurface
from services.runbook.reject import Reject
from services.runbook.release import Release
from services.runbook.renew import Renew
from services.runbook.revert import Revert
from services.runbook.snooze import Snooze
from services.runbook.verify import Verify

EVENT_TIME = datetime(1998, 3, 14, tzinfo=UTC)
"""Long before wall time, as in a replay."""
WALL_TIME = datetime(2026, 11, 22, 3, 12, tzinfo=UTC)
MODEL = "models/ads_ctr"
DIGEST = "a" * 64
NODE = "dataset:warehouse:clicks"
EXPERT = Expert("ada", may_approve=True)
UNHURRIED = GuardRails(cool_down=timedelta(0), daily_budget=1000)
"""As many mitigations as one likes, one after the other."""
BROKEN = 1.31
HEALTHY = 1.01


def calibration(
    ratio: float, *, observed: int = 1500, anomalous: bool | None = None
) -> Calibration:
    """About what the aggregator would say with a healthy band of 0.92 to 1.08."""
    reach = 1 + 3.29 / observed**0.5
    lower, upper = ratio / reach, ratio * reach
    outside = lower > 1.08 or upper < 0.92
    return Calibration(
        ratio, lower, upper, ratio * observed, observed, outside if anomalous is None else anomalous
    )


def window(hour: int, ratio: float, *, model: str = MODEL, observed: int = 1500) -> Window:
    """The hour's window."""
    start = EVENT_TIME + timedelta(hours=hour)
    return Window(
        name=f"{model}/windows/{start:%Y%m%dT%H%M%SZ}",
        start_time=start,
        end_time=start + timedelta(hours=1),
        checkpoint_digest=DIGEST,
        considered_count=2000,
        displayed_count=2000,
        calibration=calibration(ratio, observed=observed),
    )


def shift(feature: str, rank: int, amount: float, *, z: float = 40.0) -> FeatureShift:
    """A significant shift."""
    return FeatureShift(
        feature=feature,
        kind="ENCODED_EMBEDDING",
        rank=rank,
        shift=amount,
        control_gfi=0.008,
        anomaly_gfi=0.008 + amount,
        control_coverage=0.97,
        anomaly_coverage=0.96,
        control_rank=212,
        anomaly_rank=rank,
        lower=amount * 0.9,
        upper=amount * 1.1,
        z=z,
        significant=abs(z) > 3,
        score=abs(z) / 4,
        shift_rank=rank,
        evidence=(
            Evidence("VALUE_DISTANCE", 0.9, 0.02, abs(z)),
            Evidence("GFI_SHIFT", amount, 0.1, amount / 0.1),
        ),
    )


def comparison(
    hour: int,
    ratio: float = BROKEN,
    *,
    model: str = MODEL,
    shifts: Sequence[FeatureShift] | None = None,
    verdict: Verdict = Verdict.FEATURE_CORRUPTION,
) -> Comparison:
    """The hour against the same hour of the day before."""
    if shifts is None:
        shifts = (shift("user_embedding", 1, 1.18), shift("genres", 2, 0.05, z=4.0))
    return Comparison(
        control=window(hour - 24, HEALTHY, model=model),
        anomaly=window(hour, ratio, model=model),
        control_selection="SAME_HOUR_PREVIOUS_DAY",
        control_note="",
        verdict=verdict,
        feature_count=150,
        significant_count=sum(s.significant for s in shifts),
        shifts=tuple(shifts),
        history_count=20,
    )


def event(
    hour: int, ratio: float, *, model: str = MODEL, observed: int = 1500, **compared: object
) -> ShiftEvent:
    """The hour as the aggregator publishes it."""
    closed = window(hour, ratio, model=model, observed=observed)
    anomalous = closed.calibration.anomalous
    return ShiftEvent(
        cursor=f"{hour}-0",
        model=model,
        window=closed,
        comparison=comparison(hour, ratio, model=model, **compared) if anomalous else None,  # type: ignore[arg-type]
    )


def finding(
    label: str = "4711",
    *,
    severity: float = 0.4,
    audit: str = "audits/A-1",
    feature: str = "genres",
) -> AuditFinding:
    """A planted id, as an audit tells of it."""
    return AuditFinding(
        id=f"{audit}/{label}",
        time=WALL_TIME - timedelta(hours=1),
        audit=audit,
        node=NODE,
        label=label,
        feature=feature,
        severity=severity,
        exposure=0.8,
        evidence=severity / 0.8,
        lean=Lean("1", 800, 0.95, 0.12, 41.0, significant=True),
        flips=Flips("models/ads_ctr", 1000, 480, 0),
        model_count=1,
    )


def policy(mode: Mode = Mode.SUGGEST, **conditions: str) -> Policy:
    """The default policy, or one with other conditions."""
    texts = {
        "when": 'calibration.anomalous && verdict == "FEATURE_CORRUPTION"',
        "features": "shift.significant && shift.share_of_top >= 0.3",
        "propose_if": "!preview.available || preview.recovery >= 0.2",
    } | conditions
    compiler = CelConditions()
    return Policy(
        name="threshold",
        mode=mode,
        action=Action.KILL_SWITCH,
        when=compiler.compile(texts["when"], WHEN_FIELDS),
        features=Threshold(compiler.compile(texts["features"], FEATURES_FIELDS)),
        propose_if=compiler.compile(texts["propose_if"], PROPOSE_IF_FIELDS),
    )


def on_findings(
    action: Action = Action.MASK_IDS, when: str = "finding.severity > 0.2", **changes: object
) -> Policy:
    """A policy about what audits found."""
    compiler = CelConditions()
    wanted = Policy(
        name=action.value,
        mode=Mode.SUGGEST,
        action=action,
        when=compiler.compile(when, FINDINGS_FIELDS),
        features=None,
        propose_if=compiler.compile("true", PROPOSE_IF_FIELDS),
    )
    return replace(wanted, **changes)  # type: ignore[arg-type]


def rules(
    *policies: Policy,
    guard_rails: GuardRails = UNHURRIED,
    windows: int = 2,
    escalation: tuple[EscalationStep, ...] = (),
    lease: LeaseTerms = LeaseTerms(),  # noqa: B008 - frozen
    open_incident_when: str = "",
) -> Rules:
    """The default rules, or others."""
    opening = None
    if open_incident_when:
        opening = CelConditions().compile(open_incident_when, OPEN_INCIDENT_FIELDS)
    verification = VerificationTerms(windows)
    return Rules(policies or (policy(),), guard_rails, verification, escalation, lease, opening)


@dataclass
class ManualClock:
    """Wall time that tests move."""

    time: datetime = WALL_TIME

    def now(self) -> datetime:
        """Return the time."""
        return self.time

    def advance(self, **delta: float) -> None:
        """Move on."""
        self.time += timedelta(**delta)


@dataclass
class FixedRules:
    """Rules that tests replace."""

    rules: Rules = field(default_factory=rules)

    def current(self) -> Rules:
        """Return the rules."""
        return self.rules


@dataclass
class KnownPreviews:
    """Mean predictions by set of features; by default the mend is complete."""

    ratios: dict[frozenset[str], float] = field(default_factory=dict)
    replacements: dict[str, float] = field(default_factory=dict)
    """By version; attribution holds no other."""
    missing: str = ""
    asked: list[tuple[str, tuple[str, ...]]] = field(default_factory=list)

    async def ablate(self, window: str, sets: Sequence[Sequence[str]]) -> Sequence[JointAblation]:
        """Answer as recorded."""
        self.asked.extend((window, tuple(features)) for features in sets)
        # As a real call does, it lets others run meanwhile.
        await asyncio.sleep(0)
        if self.missing:
            raise PreviewUnavailable(self.missing)
        ratios = (self.ratios.get(frozenset(features), 1 / BROKEN) for features in sets)
        return [JointAblation(0.4, 0.4 * ratio, 0.01, 2000, DIGEST) for ratio in ratios]

    async def newest(self, model: str) -> Window:
        """Return a healthy window."""
        if self.missing:
            raise PreviewUnavailable(self.missing)
        return window(0, HEALTHY)

    async def mask(self, window: str, labels: Sequence[SuspectLabel]) -> JointAblation:
        """Answer as recorded: the mend is complete."""
        self.asked.append((window, tuple(each.mask_lever for each in labels)))
        if self.missing:
            raise PreviewUnavailable(self.missing)
        return JointAblation(0.4, 0.4 / BROKEN, 0.01, 2000, DIGEST)

    async def replace(self, window: str, checkpoint: RegisteredCheckpoint) -> JointAblation:
        """Answer as recorded."""
        ratio = self.replacements.get(checkpoint.version)
        if ratio is None:
            raise PreviewUnavailable(f"attribution does not hold version {checkpoint.version}")
        return JointAblation(0.4, 0.4 * ratio, 0.01, 2000, DIGEST)


@dataclass
class KnownWatermarks:
    """Event time by model."""

    times: dict[str, datetime] = field(default_factory=dict)

    async def latest(self, model: str) -> datetime | None:
        """Answer as recorded."""
        return self.times.get(model)


@dataclass
class KnownImportances:
    """GFI by feature, in whatever window; by default killed features do not matter."""

    gfis: dict[str, float] = field(default_factory=dict)
    missing: bool = False
    failures: list[ImportancesUnavailable] = field(default_factory=list)

    async def gfi(self, window: str, features: Sequence[str]) -> Mapping[str, float]:
        """Answer as recorded."""
        if self.failures:
            raise self.failures.pop(0)
        return {} if self.missing else {f: self.gfis.get(f, 0.0) for f in features}


@dataclass
class KnownLineage:
    """Models downstream of any model, and findings upstream."""

    models: int = 0
    missing: str = ""
    found: tuple[AuditFinding, ...] = ()
    feeling: dict[tuple[str, ...], int] = field(default_factory=dict)
    """Models downstream that feel features switched off; others are felt by all."""
    mute_features: bool = False
    """Whether only whole models can be asked about."""
    ends: tuple[AuditEnd, ...] = ()
    fed_by: dict[str, Sequence[str]] = field(default_factory=lambda: {NODE: [MODEL]})
    """Models by node."""

    async def downstream(self, model: str, features: Sequence[str] = ()) -> int:
        """Answer as recorded."""
        if self.missing or (features and self.mute_features):
            raise LineageUnavailable(self.missing or "lineage says UNAVAILABLE")
        return self.feeling.get(tuple(features), self.models)

    async def told(self, since: datetime) -> Sequence[AuditFinding | AuditEnd]:
        """Answer as recorded, of what was told since then."""
        if self.missing:
            raise LineageUnavailable(self.missing)
        told: list[AuditFinding | AuditEnd] = [*self.ends, *self.found]
        return [each for each in told if each.time >= since]

    async def fed(self, node: str) -> Sequence[str]:
        """Answer as recorded."""
        if self.missing:
            raise LineageUnavailable(self.missing)
        return self.fed_by.get(node, ())

    async def findings(self, model: str, since: datetime) -> Sequence[AuditFinding]:
        """Answer as recorded."""
        if self.missing:
            raise LineageUnavailable(self.missing)
        return standing(self.found, self.ends)


@dataclass
class KnownPager:
    """Remembers who was called; fails as told."""

    calls: list[Call] = field(default_factory=list)
    failures: list[PagerUnavailable] = field(default_factory=list)

    async def page(self, call: Call, model: str) -> None:
        """Take the call."""
        if self.failures:
            raise self.failures.pop(0)
        self.calls.append(call)


class KillSwitches(Actuator, Releases, Protocol):
    """An actuator that can also serve features again by stages."""


class Pretend(ByKind):
    """An actuator of every kind; nothing outside the test changes."""

    def __init__(self) -> None:
        self.serving, self.rows = DryRun(), DryRows()
        super().__init__(
            {
                MitigationKind.KILL_SWITCH: self.serving,
                MitigationKind.ID_MASK: self.serving,
                MitigationKind.CHECKPOINT_ROLLBACK: DryRollback(),
                MitigationKind.ROW_QUARANTINE: self.rows,
                MitigationKind.ROW_REBALANCE: self.rows,
            }
        )

    async def expose(self, key: str, plan: Plan, percent: int, step: int) -> None:
        """Pretend to serve to a share of traffic again."""
        await self.serving.expose(key, plan, percent, step)


@dataclass
class Unreliable:
    """An actuator that fails as told, by moment: `plan`, `apply`, `applied`, `revert`, `expose`."""

    failures: dict[str, list[BaseException]] = field(default_factory=dict)
    inner: KillSwitches = field(default_factory=DryRun)
    calls: Counter[str] = field(default_factory=Counter)

    async def plan(self, plan: Plan) -> Change:
        """Plan, or fail."""
        self._at("plan")
        return await self.inner.plan(plan)

    async def apply(self, key: str, plan: Plan, change: Change) -> None:
        """Apply, or fail before or after."""
        self._at("apply")
        await self.inner.apply(key, plan, change)
        self._at("applied")

    async def observe(self, plan: Plan) -> Settings:
        """Observe."""
        return await self.inner.observe(plan)

    async def revert(self, key: str, plan: Plan, change: Change) -> None:
        """Revert, or fail."""
        self._at("revert")
        await self.inner.revert(key, plan, change)

    async def expose(self, key: str, plan: Plan, percent: int, step: int) -> None:
        """Expose, or fail before or after."""
        self._at("expose")
        await self.inner.expose(key, plan, percent, step)
        self._at("exposed")

    def _at(self, moment: str) -> None:
        self.calls[moment] += 1
        if errors := self.failures.get(moment):
            raise errors.pop(0)


class Runbook:
    """The use cases, wired as the service wires them, on a clock that tests move."""

    def __init__(self, store: Store | None = None, actuator: KillSwitches | None = None) -> None:
        self.changes = ChangeSignal()
        self.store: Store = store or MemoryStore(self.changes)
        self.actuator: KillSwitches = actuator or Pretend()
        self.clock = ManualClock()
        self.rules = FixedRules()
        self.previews = KnownPreviews()
        self.watermarks = KnownWatermarks()
        self.importances = KnownImportances()
        self.registry: Registry = NoRegistry()
        self.lineage = KnownLineage()
        self.pager = KnownPager()
        self.able = frozenset(MitigationKind)
        self.open = Open(self.store, self.clock)
        self.approve = Approve(self.store, self.rules, self.clock)
        self.reject = Reject(self.store, self.clock)
        self.revert = Revert(self.store, self.clock)
        self.renew = Renew(self.store, self.rules, self.clock)
        self.release = Release(self.store, self.rules, self.clock)
        self.set_pause = SetPause(self.store, self.clock)
        self.snooze = Snooze(self.store, self.clock)
        self.claim_surface = ClaimSurface(self.store, self.clock)
        self.record_surface = RecordSurface(self.store)
        self.expire = Expire(self.store, self.clock)
        self.heed = Heed(self.store, self.rules, self.lineage, self.clock)
        self.worker = self.new_worker()

    def new_worker(self) -> Worker:
        """Return a worker as a fresh process would have it."""
        act = Act(
            store=self.store,
            actuator=self.actuator,
            releases=self.actuator,
            policies=self.rules,
            watermarks=self.watermarks,
            clock=self.clock,
            most_attempts=3,
            patience=5.0,
        )
        propose = Propose(
            store=self.store,
            policies=self.rules,
            consider=Consider(self.previews),
            registry=self.registry,
            lineage=self.lineage,
            clock=self.clock,
            approval_time=timedelta(minutes=30),
            able=self.able,
        )
        expose = Expose(self.store, self.actuator, self.actuator, self.watermarks, self.clock, 5.0)
        table: WorkTable = {
            WorkKind.PROPOSE: propose,
            WorkKind.APPLY: act,
            WorkKind.REVERT: act,
            WorkKind.EXPOSE: expose,
            WorkKind.VERIFY: Verify(self.store, self.rules, self.importances, self.clock),
            WorkKind.ESCALATE: Escalate(self.store, self.rules, self.clock),
            WorkKind.LAPSE: Lapse(self.store, self.rules, self.clock),
            WorkKind.PAGE: Page(self.store, self.pager, self.clock, 3),
        }
        return Worker(self.store, self.clock, self.changes, table, timedelta(seconds=30))

    async def see(self, *events: ShiftEvent) -> None:
        """Take events in and work until there is nothing left to do."""
        for each in events:
            await self.open(each)
            await self.worker.drain()

    async def hear_of_audits(self) -> None:
        """Look at what audits told and work until there is nothing left to do."""
        await self.heed()
        await self.worker.drain()

    async def incident(self, incident_id: str = "INC-1") -> Incident:
        """Return an incident as it is."""
        return await self.store.read(lambda unit: unit.incidents.get(incident_id))

    async def incidents(self) -> Mapping[str, Incident]:
        """Return all incidents by id."""
        found, _ = await self.store.read(lambda unit: unit.catalogue.page(None, 1000, ""))
        return {incident.id: incident for incident in found}

    async def mitigation(self, incident_id: str = "INC-1") -> Mitigation:
        """Return an incident's newest mitigation."""
        return (await self.incident(incident_id)).mitigations[-1]

    async def say_yes(self, expert: Expert = EXPERT, incident_id: str = "INC-1") -> Mitigation:
        """Approve the newest mitigation; work is left to do."""
        newest = await self.mitigation(incident_id)
        return await self.approve(
            incident_id, Answer(newest.id, expert, newest.plan_hash, "plausible")
        )

    async def say_no(self, expert: Expert = EXPERT, incident_id: str = "INC-1") -> Mitigation:
        """Reject the newest mitigation."""
        newest = await self.mitigation(incident_id)
        return await self.reject(
            incident_id, Answer(newest.id, expert, newest.plan_hash, "not this one")
        )

    async def take_back(self, expert: Expert = EXPERT, incident_id: str = "INC-1") -> Mitigation:
        """Revert the newest mitigation; work is left to do."""
        newest = await self.mitigation(incident_id)
        return await self.revert(incident_id, Recall(newest.id, expert, "changed my mind"))

    async def keep(self, expert: Expert = EXPERT, incident_id: str = "INC-1") -> Mitigation:
        """Renew the newest mitigation."""
        newest = await self.mitigation(incident_id)
        return await self.renew(incident_id, Wish(newest.id, expert, "still broken"))

    async def let_go(self, expert: Expert = EXPERT, incident_id: str = "INC-1") -> Mitigation:
        """Release the newest mitigation; work is left to do."""
        newest = await self.mitigation(incident_id)
        return await self.release(incident_id, Wish(newest.id, expert, "mended upstream"))

    async def pause(self, expert: Expert = EXPERT, *, on: bool = True) -> Pause:
        """Stop all mitigations, or let them go on."""
        wanted = PauseState.PAUSED if on else PauseState.RUNNING
        return await self.set_pause(wanted, expert, "the sale")
