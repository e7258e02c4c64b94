"""What can be decided on a mitigation that is in force, also after its incident has closed."""

from collections.abc import Mapping

from aftershock.v1.incident_pb2 import Incident, Mitigation, MitigationKind, MitigationState
from clients.chatbot.core.card import Button, Choice
from clients.chatbot.core.decision import Target

_S = MitigationState
_WAYS: Mapping[int, tuple[Choice, ...]] = {
    _S.MITIGATION_STATE_APPLIED: (Choice.REVERT,),
    _S.MITIGATION_STATE_VERIFYING: (Choice.REVERT,),
    _S.MITIGATION_STATE_EFFECTIVE: (Choice.RENEW, Choice.RELEASE, Choice.REVERT),
    _S.MITIGATION_STATE_RELEASING: (Choice.RENEW, Choice.REVERT),
    _S.MITIGATION_STATE_FAILED: (Choice.REVERT,),
}
_ENDED = {
    _S.MITIGATION_STATE_REJECTED,
    _S.MITIGATION_STATE_EXPIRED,
    _S.MITIGATION_STATE_REVERTED,
    _S.MITIGATION_STATE_CONFLICTED,
    _S.MITIGATION_STATE_RELEASED,
}
_LEASED = {Choice.RENEW, Choice.RELEASE}
"""Ways with what lapses unless somebody renews it."""
_LABELS: Mapping[Choice, str] = {
    Choice.RENEW: "Renew",
    Choice.RELEASE: "Serve again by stages",
    Choice.REVERT: "Take back",
}
_QUESTIONS: Mapping[Choice, str] = {
    Choice.RELEASE: "Its features are served again, to a small share of traffic first; what makes "
    "calibration worse is switched off again.",
    Choice.REVERT: "It is undone at once, for all traffic.",
}


def steering(incident: Incident) -> tuple[Button, ...]:
    """Return the buttons of the newest mitigation that has not ended: none while it is changing."""
    lasting = [each for each in incident.mitigations if each.state not in _ENDED]
    return _buttons(lasting[-1], incident) if lasting else ()


def _buttons(mitigation: Mitigation, incident: Incident) -> tuple[Button, ...]:
    ways = _WAYS.get(mitigation.state, ())
    value = Target(incident.name, mitigation.name, mitigation.etag).encode()
    return tuple(
        Button(choice, _label(choice, mitigation), value, _question(choice, mitigation))
        for choice in ways
        if (choice not in _LEASED or mitigation.HasField("lease_expire_time"))
        and (choice is not Choice.RELEASE or not is_on_rows(mitigation))
    )


def is_on_rows(mitigation: Mitigation) -> bool:
    """Whether it acts on rows, for checkpoints to come: there is no traffic to serve again."""
    return mitigation.kind in (
        MitigationKind.MITIGATION_KIND_ROW_QUARANTINE,
        MitigationKind.MITIGATION_KIND_ROW_REBALANCE,
    )


def _label(choice: Choice, mitigation: Mitigation) -> str:
    masks = mitigation.kind == MitigationKind.MITIGATION_KIND_ID_MASK
    if choice is Choice.RENEW and mitigation.state == _S.MITIGATION_STATE_RELEASING:
        return "Mask again" if masks else "Switch off again"
    return "Serve again" if masks and choice is Choice.RELEASE else _LABELS[choice]


def _question(choice: Choice, mitigation: Mitigation) -> str:
    if choice is Choice.REVERT and is_on_rows(mitigation):
        return "The owner of the data is told to train on these rows as before."
    if choice is Choice.RELEASE and mitigation.kind == MitigationKind.MITIGATION_KIND_ID_MASK:
        return (
            "Its ids are served again, to all traffic; if that makes calibration worse they are "
            "masked again."
        )
    return _QUESTIONS.get(choice, "")
