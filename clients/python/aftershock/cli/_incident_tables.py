"""Incidents, mitigations and policies, as people read them."""

from collections.abc import Iterable, Sequence

from rich.table import Table

from aftershock._names import short
from aftershock.cli import _words as words
from aftershock.cli._output import table_of
from aftershock.v1.incident_pb2 import Incident, Mitigation, TimelineEntry
from aftershock.v1.lineage_pb2 import FindingDetails
from aftershock.v1.runbook_service_pb2 import PolicySummary, ReplayedIncident
from aftershock.v1.shift_pb2 import FeatureShift


def incidents_table(incidents: Iterable[Incident]) -> Table:
    """One row an incident."""
    table = table_of(
        "=incident",
        "=model",
        "state",
        "opened (UTC)",
        "calibration",
        "verdict",
        "first suspect",
        "mitigations",
    )
    for incident in incidents:
        shifts: Sequence[FeatureShift] = incident.comparison.shifts
        table.add_row(
            short(incident.name),
            short(incident.model),
            words.incident_state(incident.state),
            words.moment(incident.create_time),
            words.calibration(incident.comparison.anomaly),
            words.incident_verdict(incident.verdict),
            shifts[0].feature if shifts else words.suspect_labels(incident),
            words.mitigation_states(incident.mitigations),
        )
    return table


def mitigations_table(mitigations: Iterable[Mitigation]) -> Table:
    """One row a mitigation: what it does, what was previewed and what came of it."""
    table = table_of(
        "=mitigation",
        "state",
        "does",
        "previewed calibration",
        "verified",
        "expires (UTC)",
        "lease until (UTC)",
        "reason",
    )
    for mitigation in mitigations:
        verified = mitigation.verified_calibration
        table.add_row(
            short(mitigation.name),
            words.progress(mitigation),
            words.action(mitigation),
            words.preview(mitigation.preview),
            f"{verified:.2f}" if verified else words.NOTHING,
            words.moment(mitigation.expire_time),
            words.moment(mitigation.lease_expire_time),
            mitigation.reason,
        )
    return table


def findings_table(findings: Iterable[FindingDetails]) -> Table:
    """One row a label that an audit found, the most severe first."""
    table = table_of(
        "=label", "=feature", "=of", "#severity", "leans to", "flips", "=audit", "#models fed"
    )
    for finding in findings:
        table.add_row(
            finding.label,
            finding.feature or words.NOTHING,
            finding.node,
            words.number(finding.severity),
            words.lean(finding),
            words.flips(finding),
            short(finding.audit),
            str(finding.model_count) if finding.HasField("model_count") else words.NOTHING,
        )
    return table


def timeline_table(timeline: Iterable[TimelineEntry]) -> Table:
    """One row an event, oldest first."""
    table = table_of("time (UTC)", "who", "what")
    for entry in timeline:
        table.add_row(words.moment(entry.time), entry.actor, entry.message)
    return table


def policies_table(policies: Iterable[PolicySummary]) -> Table:
    """One row a policy, in the order in which they are asked."""
    table = table_of("=policy", "#version", "mode", "action")
    for policy in policies:
        table.add_row(policy.name, str(policy.version), policy.mode, policy.action)
    return table


def replayed_table(replayed: Iterable[ReplayedIncident]) -> Table:
    """One row an incident: what a policy would have done, and what was done."""
    table = table_of("=incident", "policy", "would have", "previewed calibration", "what was done")
    for incident in replayed:
        done = (
            f"{words.action(m)}: {words.mitigation_state(m.state)}" for m in incident.mitigations
        )
        table.add_row(
            short(incident.incident),
            incident.policy or words.NOTHING,
            incident.would,
            words.preview(incident.preview) if incident.would_act else words.NOTHING,
            "; ".join(done) or words.NOTHING,
        )
    return table
