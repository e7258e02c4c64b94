"""Policies, and what they would have done, as the contract's messages."""

from aftershock.v1 import runbook_service_pb2 as pb
from services.runbook.adapters.grpc_messages import mitigation_message, preview_message
from services.runbook.domain.policy import Policy
from services.runbook.domain.replay import Replayed


def policy_summary(policy: Policy) -> pb.PolicySummary:
    """Return the message of a policy."""
    return pb.PolicySummary(
        name=policy.name, version=policy.version, mode=policy.mode, action=policy.action
    )


def replayed_message(replayed: Replayed) -> pb.ReplayedIncident:
    """Return the message of a replayed incident."""
    acted = replayed.draft
    return pb.ReplayedIncident(
        incident=replayed.incident.name,
        would_act=acted is not None,
        policy=acted.policy.name if acted else "",
        would=replayed.would,
        features=acted.plan.features if acted else (),
        preview=preview_message(replayed.preview) if acted else None,
        mitigations=[mitigation_message(m) for m in replayed.incident.mitigations],
    )
