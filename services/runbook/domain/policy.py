"""Policies as data: conditions over an incident's facts, and what to do where they hold."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from enum import StrEnum
from typing import Protocol

from services.runbook.domain.blast_radius import NOT_ASKED, Downstream
from services.runbook.domain.conclusion import VerificationTerms
from services.runbook.domain.diagnosis import IncidentVerdict
from services.runbook.domain.escalation import EscalationStep
from services.runbook.domain.evidence import Calibration, Comparison, FeatureShift, Window
from services.runbook.domain.finding import AuditFinding, newest_of_each
from services.runbook.domain.guardrail import GuardRails
from services.runbook.domain.lease import LeaseTerms
from services.runbook.domain.plan import MitigationKind
from services.runbook.domain.preview import MissingPreview, Preview, recovery
from services.runbook.domain.track_record import TrackRecord

Fields = Mapping[str, frozenset[str]]
"""Variables that a condition may use, and the fields of each; none where it is a value itself."""

UNKNOWN_RADIUS = 1_000_000
"""Models downstream that conditions see where nobody can say how many there are: the worst is
assumed."""

Fact = str | int | float | bool
Facts = Mapping[str, Fact | Mapping[str, Fact] | tuple[str, ...]]
"""What a condition sees, by variable name."""


def _fields_of(noun: type, *derived: str) -> frozenset[str]:
    return frozenset({each.name for each in fields(noun)} | set(derived))


WHEN_FIELDS: Fields = {
    "model": frozenset(),
    "verdict": frozenset(),
    "anomalous_windows": frozenset(),
    "calibration": _fields_of(Calibration),
    "comparison": frozenset({"feature_count", "significant_count", "history_count"}),
    "history": _fields_of(TrackRecord),
    "lineage": frozenset({"audit_findings", "audit_severity", "blast_radius", "known"}),
}
FEATURES_FIELDS: Fields = {
    **WHEN_FIELDS,
    "shift": _fields_of(
        FeatureShift, "abs_shift", "abs_z", "share_of_top", "coverage_change", "rank_change"
    )
    - {"evidence"},
}
PROPOSE_IF_FIELDS: Fields = {
    **WHEN_FIELDS,
    "features": frozenset(),
    "preview": _fields_of(Preview, "available", "recovery") - {"alternatives"},
}


FINDINGS_FIELDS: Fields = {
    **WHEN_FIELDS,
    "finding": frozenset(
        {
            "label",
            "node",
            "feature",
            "severity",
            "exposure",
            "evidence",
            "outcome",
            "row_count",
            "share",
            "expected_share",
            "z",
            "significant",
            "flips",
        }
    ),
}

OPEN_INCIDENT_FIELDS: Fields = {"model": frozenset(), "finding": FINDINGS_FIELDS["finding"]}
"""What decides whether a finding opens an incident of a model."""


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


_UNBROKEN = Calibration(1.0, 1.0, 1.0, 0.0, 0, anomalous=False)


@dataclass(frozen=True)
class Case:
    """An incident as a policy looks at it."""

    model: str
    """`models/{model}`"""
    verdict: IncidentVerdict
    comparison: Comparison | None
    """None: there was no window to compare with."""
    window: Window | None
    """The anomalous one that the comparison, and so the preview, is about. None: calibration is
    healthy, and what audits found is why there is an incident."""
    anomalous_windows: int
    killed: frozenset[str]
    """Features of the model that are switched off already: their shifts are our own doing."""
    history: TrackRecord = field(default_factory=TrackRecord)
    downstream: Downstream = NOT_ASKED
    findings: tuple[AuditFinding, ...] = ()
    """Of audits lately, in what feeds the model; none where nobody can say."""

    @property
    def calibration(self) -> Calibration:
        """Of the window; healthy where there is none."""
        return self.window.calibration if self.window else _UNBROKEN

    @property
    def candidates(self) -> tuple[FeatureShift, ...]:
        """The shifts that could still be mended, by rank."""
        shifts = self.comparison.shifts if self.comparison else ()
        return tuple(s for s in shifts if s.feature not in self.killed)


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


def case_facts(case: Case) -> dict[str, Fact | Mapping[str, Fact] | tuple[str, ...]]:
    """Return what every condition sees."""
    comparison = case.comparison
    return {
        "model": case.model.removeprefix("models/"),
        "verdict": case.verdict.value,
        "anomalous_windows": case.anomalous_windows,
        "calibration": _known(asdict(case.calibration)),
        "comparison": {
            "feature_count": comparison.feature_count if comparison else 0,
            "significant_count": comparison.significant_count if comparison else 0,
            "history_count": comparison.history_count if comparison else 0,
        },
        "history": asdict(case.history),
        "lineage": _lineage_facts(case),
    }


def _lineage_facts(case: Case) -> Mapping[str, Fact]:
    models = case.downstream.models
    return {
        "audit_findings": len(case.findings),
        "audit_severity": max((each.severity for each in case.findings), default=0.0),
        "blast_radius": UNKNOWN_RADIUS if models is None else models,
        "known": models is not None,
    }


def finding_facts(finding: AuditFinding) -> Mapping[str, Fact]:
    """Return what a `when` condition of an action on findings sees besides.

    What was not looked at is 0, false or empty.
    """
    lean, flips = finding.lean, finding.flips
    return _known(
        {
            "label": finding.label,
            "node": finding.node,
            "feature": finding.feature,
            "severity": finding.severity,
            "exposure": finding.exposure,
            "evidence": finding.evidence,
            "outcome": lean.outcome if lean else "",
            "row_count": lean.row_count if lean else 0,
            "share": lean.share if lean else 0.0,
            "expected_share": lean.expected_share if lean else 0.0,
            "z": lean.z if lean else 0.0,
            "significant": lean.significant if lean else False,
            "flips": flips.share if flips else 0.0,
        }
    )


def shift_facts(shift: FeatureShift, top: float) -> Mapping[str, Fact]:
    """Return what a `features` condition sees besides; `top` is the largest absolute shift."""
    told = {each.name: getattr(shift, each.name) for each in fields(shift)}
    del told["evidence"]
    return _known(
        told
        | {
            "abs_shift": abs(shift.shift),
            "abs_z": abs(shift.z),
            "share_of_top": abs(shift.shift) / top if top > 0 else 0.0,
            "coverage_change": shift.anomaly_coverage - shift.control_coverage,
            "rank_change": shift.control_rank - shift.anomaly_rank,
        }
    )


def preview_facts(
    preview: Preview | MissingPreview, calibration: Calibration
) -> Mapping[str, Fact]:
    """Return what a `propose_if` condition sees besides."""
    if isinstance(preview, MissingPreview):
        nothing = {"calibration": 0.0, "lower": 0.0, "upper": 0.0, "recovery": 0.0}
        return {"available": False, "example_count": 0, **nothing}
    told = {name: value for name, value in asdict(preview).items() if name != "alternatives"}
    return _known({"available": True, **told, "recovery": recovery(preview, calibration)})


def _known(facts: Mapping[str, Fact]) -> dict[str, Fact]:
    # A NaN compares with nothing, and would fail the condition instead of answering it.
    return {
        name: 0.0 if isinstance(fact, float) and math.isnan(fact) else fact
        for name, fact in facts.items()
    }
