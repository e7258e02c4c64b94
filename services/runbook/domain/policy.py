"""Policies as data: conditions over an incident's facts, and what to do where they hold."""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from services.runbook.domain.case import Case
from services.runbook.domain.conclusion import VerificationTerms
from services.runbook.domain.escalation import EscalationStep
from services.runbook.domain.facts import (
    Facts,
    case_facts,
    finding_facts,
    preview_facts,
    shift_facts,
)
from services.runbook.domain.finding import AuditFinding, newest_of_each
from services.runbook.domain.guardrail import GuardRails
from services.runbook.domain.lease import LeaseTerms
from services.runbook.domain.plan import MitigationKind
from services.runbook.domain.preview import MissingPreview, Preview


class Mode(StrEnum):
    """What a policy may do by itself."""

    OBSERVE = "observe"
    """Say what it would propose."""
    SUGGEST = "suggest"
    """Propose."""
    APPLY = "apply"
    """Propose and approve."""


class Action(StrEnum):
    """What a policy does where it has a say."""

    KILL_SWITCH = "kill_switch"
    ROLLBACK = "rollback"
    MASK_IDS = "mask_ids"
    QUARANTINE_ROWS = "quarantine_rows"
    REBALANCE_ROWS = "rebalance_rows"
    PAGE = "page"
    """Call somebody, by a line in the timeline that bots and consoles watch."""
    ANNOTATE = "annotate"
    """Add a line to the timeline. As with `page`, other policies decide as if it were not there."""

    @property
    def on_findings(self) -> MitigationKind | None:
        """The kind of mitigation of what audits found; None of other actions."""
        return _ON_FINDINGS.get(self)


_ON_FINDINGS = {
    Action.MASK_IDS: MitigationKind.ID_MASK,
    Action.QUARANTINE_ROWS: MitigationKind.ROW_QUARANTINE,
    Action.REBALANCE_ROWS: MitigationKind.ROW_REBALANCE,
}


class Condition(Protocol):
    """A yes-or-no question about an incident's facts."""

    def holds(self, facts: Facts) -> bool:
        """Answer it. Raises ConditionFailed where the facts do not allow an answer."""


@dataclass(frozen=True)
class Choice:
    """Features to act on, and why these; none: nothing stands out."""

    features: tuple[str, ...]
    why: str = ""


class Chooser(Protocol):
    """Picks features out of a case."""

    def choose(self, case: Case) -> Choice:
        """Return those to act on, of the case's candidates. Raises ConditionFailed."""


@dataclass(frozen=True)
class Threshold:
    """Picks the candidates for which a condition holds."""

    condition: Condition

    def choose(self, case: Case) -> Choice:
        """Ask the condition of each candidate."""
        facts = case_facts(case)
        top = max((abs(s.shift) for s in case.candidates), default=0.0)
        return Choice(
            tuple(
                shift.feature
                for shift in case.candidates
                if self.condition.holds({**facts, "shift": shift_facts(shift, top)})
            )
        )


@dataclass(frozen=True)
class Policy:
    """When to do something, what, and to which features."""

    name: str
    mode: Mode
    action: Action
    when: Condition
    """Whether the policy has a say in the case; of an action on findings, in one of them."""
    features: Chooser | None
    """Which of the candidates a kill-switch would act on; None for other actions."""
    propose_if: Condition
    """Whether the preview of acting is good enough."""
    version: int = 1
    note: str = ""
    """What `annotate` and `page` say."""
    to: str = ""
    """Whom `page` calls."""

    @property
    def decides(self) -> bool:
        """Whether it may propose anything. Those that only observe stop nobody."""
        return self.mode is not Mode.OBSERVE

    @property
    def principal(self) -> str:
        """The name under which the policy proposes and, in mode apply, approves."""
        return f"policy:{self.name}"

    def has_a_say(self, case: Case) -> bool:
        """Whether it is for such cases."""
        if self.action.on_findings:
            return bool(self.findings_of(case))
        return self.when.holds(case_facts(case))

    def findings_of(self, case: Case) -> tuple[AuditFinding, ...]:
        """Return the findings to act on, the most severe first; none for other actions."""
        if self.action.on_findings is None:
            return ()
        facts = case_facts(case)
        return tuple(
            finding
            for finding in newest_of_each(case.findings)
            if self.when.holds({**facts, "finding": finding_facts(finding)})
        )

    def select(self, case: Case) -> Choice:
        """Return the features to act on; none where the policy has no say."""
        if self.features is None or not self.has_a_say(case):
            return Choice(())
        return self.features.choose(case)

    def accepts(
        self, case: Case, features: tuple[str, ...], preview: Preview | MissingPreview
    ) -> bool:
        """Whether acting on the features is worth proposing."""
        previewed = preview_facts(preview, case.calibration)
        return self.propose_if.holds(
            {**case_facts(case), "features": features, "preview": previewed}
        )


@dataclass(frozen=True)
class Rules:
    """Everything that is configured about what may be done, and when it has worked."""

    policies: tuple[Policy, ...]
    """Of those that decide, the first that would act does."""
    guard_rails: GuardRails
    verification: VerificationTerms
    escalation: tuple[EscalationStep, ...] = ()
    """By time."""
    lease: LeaseTerms = field(default_factory=LeaseTerms)
    open_incident_when: Condition | None = None
    """Which findings of audits open an incident. None: none do."""

    @property
    def deciding(self) -> tuple[Policy, ...]:
        """The policies that may propose, in the order in which they are asked."""
        return tuple(policy for policy in self.policies if policy.decides)

    @property
    def observing(self) -> tuple[Policy, ...]:
        """The policies that say what they would do."""
        return tuple(policy for policy in self.policies if not policy.decides)
