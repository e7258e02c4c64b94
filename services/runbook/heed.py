"""What audits find opens an incident, where a rule says so."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from services.runbook.domain.errors import ConditionFailed
from services.runbook.domain.facts import Facts, finding_facts
from services.runbook.domain.finding import AuditEnd, AuditFinding
from services.runbook.domain.incident import opened_on
from services.runbook.domain.policy import Condition
from services.runbook.domain.trigger import cleared, is_acted_on
from services.runbook.domain.work import WorkKind
from services.runbook.ports import Clock, Lineage, PolicySource, Store, UnitOfWork

_LOOK_BACK = timedelta(days=1)
"""Before the newest finding that was taken in: a finding has the time at which its audit began, and
audits that began later may have ended earlier."""


@dataclass(frozen=True)
class Heed:
    """Takes in what audits told since it last looked, each once.

    A finding comes to the open incident of each model that it concerns, or opens one. What is acted
    on already concerns nobody. An audit that looks again and finds nothing clears what one before
    it found.
    """

    store: Store
    policies: PolicySource
    lineage: Lineage
    clock: Clock

    async def __call__(self) -> None:
        """Look once. Does nothing where no rule opens incidents.

        Raises:
            LineageUnavailable: look again; what was taken in is not taken in twice.
            StoreUnavailable: likewise.
        """
        rule = self.policies.current().open_incident_when
        if rule is None:
            return
        since, seen = await self.store.read(lambda unit: _known(unit, self.clock.now()))
        told = await self.lineage.told(since)
        # What an audit found is taken in before its end.
        for each in sorted(told, key=lambda one: (one.time, isinstance(one, AuditEnd), one.id)):
            if each.id in seen:
                continue
            if isinstance(each, AuditEnd):
                await self._clear(each)
            else:
                await self._take(each, rule)

    async def _clear(self, end: AuditEnd) -> None:
        time = self.clock.now()
        await self.store.transact(lambda unit: _record_end(unit, end, time))

    async def _take(self, finding: AuditFinding, rule: Condition) -> None:
        models: Sequence[str] = ()
        if finding.label:
            models = [m for m in await self._models(finding) if _concerns(rule, finding, m)]
        time = self.clock.now()
        await self.store.transact(lambda unit: _record(unit, finding, models, time))

    async def _models(self, finding: AuditFinding) -> Collection[str]:
        fed = set(await self.lineage.fed(finding.node))
        if finding.flips is not None and finding.flips.model:
            fed.add(finding.flips.model)
        return sorted(fed)


def _known(unit: UnitOfWork, now: datetime) -> tuple[datetime, Collection[str]]:
    """Return from when on to look, and what was taken in of that time."""
    since = (unit.findings.until() or now) - _LOOK_BACK
    return since, unit.findings.seen(since)


def _concerns(rule: Condition, finding: AuditFinding, model: str) -> bool:
    facts: Facts = {"model": model.removeprefix("models/"), "finding": finding_facts(finding)}
    try:
        return rule.holds(facts)
    except ConditionFailed:
        # One incident too many is looked at; one too few is not.
        return True


def _record_end(unit: UnitOfWork, end: AuditEnd, time: datetime) -> None:
    if not unit.findings.record(end):
        return
    for incident_id in unit.catalogue.open_ids():
        before = unit.incidents.get(incident_id)
        after = cleared(before, end, time)
        if after is not before:
            unit.incidents.save(after)


def _record(unit: UnitOfWork, finding: AuditFinding, models: Sequence[str], time: datetime) -> None:
    if not unit.findings.record(finding):
        return
    in_force = unit.restraints.circumstances(time).in_force
    for model in models:
        if is_acted_on(finding, model, in_force):
            continue
        standing = next((i for i in unit.incidents.recent(model) if i.is_open), None)
        if standing is None:
            incident = opened_on(unit.incidents.next_id(), model, [finding], time)
        else:
            incident = standing.with_finding(finding, time)
        unit.incidents.save(incident)
        if incident.under_way is None:
            unit.outbox.hasten(WorkKind.PROPOSE, incident.id)
