"""The sections of a policy file that hold for everybody: guard rails, verification, approval,
leases."""

from datetime import UTC, timedelta
from typing import Annotated, Self

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, model_validator

from services.runbook.domain.conclusion import VerificationTerms
from services.runbook.domain.escalation import EscalationStep
from services.runbook.domain.guardrail import FreezeWindow, GuardRails, Quorum
from services.runbook.domain.lease import LeaseTerms

_MINUTE = timedelta(minutes=1)
_HOUR = timedelta(hours=1)
_ALL_TRAFFIC = 100
_Count = Annotated[int, Field(ge=1)]


class Section(BaseModel):
    """Part of a policy file. What it does not know it refuses."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class FreezeWindowEntry(Section):
    """See `FreezeWindow`."""

    start: AwareDatetime
    end: AwareDatetime
    reason: str = Field(min_length=1)

    @model_validator(mode="after")
    def _lasts(self) -> Self:
        if self.end <= self.start:
            raise ValueError("it ends before it starts")
        return self

    def window(self) -> FreezeWindow:
        """Return the window, in UTC."""
        return FreezeWindow(self.start.astimezone(UTC), self.end.astimezone(UTC), self.reason)


class QuorumEntry(Section):
    """See `Quorum`."""

    approvers: int = Field(ge=2, le=10)
    features: _Count | None = None
    examples: _Count | None = None
    models: _Count | None = None

    @model_validator(mode="after")
    def _has_a_limit(self) -> Self:
        if self.features is self.examples is self.models is None:
            raise ValueError("from which blast radius on? give features, examples or models")
        return self

    def quorum(self) -> Quorum:
        """Return the quorum."""
        return Quorum(self.approvers, self.features, self.examples, self.models)


class GuardRailsSection(Section):
    """See `GuardRails`."""

    never_kill: tuple[str, ...] = GuardRails.never_kill
    most_features_at_once: _Count = GuardRails.most_features_at_once
    most_features_killed: _Count = GuardRails.most_features_killed
    most_features_killed_of_model: _Count = GuardRails.most_features_killed_of_model
    most_labels_at_once: _Count = GuardRails.most_labels_at_once
    most_ids_masked_of_model: _Count = GuardRails.most_ids_masked_of_model
    cool_down_minutes: float = Field(default=GuardRails.cool_down / _MINUTE, ge=0)
    daily_budget: int = Field(default=GuardRails.daily_budget, ge=0)
    quorum: tuple[QuorumEntry, ...] = ()
    freeze_windows: tuple[FreezeWindowEntry, ...] = ()

    def rails(self) -> GuardRails:
        """Return the guard rails."""
        return GuardRails(
            never_kill=self.never_kill,
            most_features_at_once=self.most_features_at_once,
            most_features_killed=self.most_features_killed,
            most_features_killed_of_model=self.most_features_killed_of_model,
            most_labels_at_once=self.most_labels_at_once,
            most_ids_masked_of_model=self.most_ids_masked_of_model,
            cool_down=self.cool_down_minutes * _MINUTE,
            daily_budget=self.daily_budget,
            quorums=tuple(entry.quorum() for entry in self.quorum),
            freeze_windows=tuple(entry.window() for entry in self.freeze_windows),
        )


class VerificationSection(Section):
    """See `VerificationTerms`."""

    windows: int = Field(default=2, ge=1, le=48)
    ask_after_minutes: float = Field(default=VerificationTerms.patience / _MINUTE, gt=0)

    def terms(self) -> VerificationTerms:
        """Return the terms."""
        return VerificationTerms(self.windows, self.ask_after_minutes * _MINUTE)


class EscalationEntry(Section):
    """See `EscalationStep`."""

    after_minutes: float = Field(gt=0)
    to: str = Field(min_length=1, max_length=200)


class ApprovalSection(Section):
    """What happens while a proposal waits."""

    escalation: tuple[EscalationEntry, ...] = ()

    @model_validator(mode="after")
    def _once_each(self) -> Self:
        names = [entry.to for entry in self.escalation]
        if len(set(names)) < len(names):
            raise ValueError("somebody is called twice")
        return self

    def steps(self) -> tuple[EscalationStep, ...]:
        """Return the steps by time."""
        steps = [EscalationStep(e.after_minutes * _MINUTE, e.to) for e in self.escalation]
        return tuple(sorted(steps, key=lambda step: step.after))


class AuditSection(Section):
    """What is done when an audit finds something."""

    open_incident_when: str | None = None


class LeaseSection(Section):
    """See `LeaseTerms`."""

    hours: float = Field(default=LeaseTerms.length / _HOUR, gt=0)
    rows_hours: float = Field(default=LeaseTerms.rows / _HOUR, gt=0)
    reapproval_minutes: float = Field(default=LeaseTerms.reapproval / _MINUTE, ge=0)
    stages: tuple[Annotated[int, Field(ge=1, le=_ALL_TRAFFIC)], ...] = LeaseTerms.stages

    @model_validator(mode="after")
    def _grows_to_all(self) -> Self:
        if sorted(set(self.stages)) != list(self.stages) or self.stages[-1:] != (_ALL_TRAFFIC,):
            raise ValueError("stages are percents of traffic that grow to 100")
        return self

    def terms(self) -> LeaseTerms:
        """Return the terms."""
        return LeaseTerms(
            self.hours * _HOUR,
            self.reapproval_minutes * _MINUTE,
            self.stages,
            self.rows_hours * _HOUR,
        )
