"""Incidents as the runbook tells them, in miniature and at their worst."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import strategies as st

from aftershock.v1.incident_pb2 import (
    Incident,
    IncidentState,
    IncidentVerdict,
    Mitigation,
    MitigationKind,
    MitigationState,
    Preview,
    TimelineEntry,
)
from aftershock.v1.shift_pb2 import Comparison, FeatureShift, Verdict
from aftershock.v1.window_pb2 import Calibration, Window

START = datetime(2026, 11, 22, 2, tzinfo=UTC)
NASTY = (
    "<!channel>",
    "<@U012AB>",
    "@room",
    "https://evil.example/?a=1&b=<2>",
    "*bold* _it_ ~no~ `code` ```block```",
    ":tada: <b>&amp;</b> [x](y)",
    "x" * 200,
    "\u202egnp.exe\u202c",
    "مرحبا_ميزة",
    "👩\u200d👩\u200d👧 z\u0351\u0352\u0353\u0354\u0355\u0356",
    "line\nbreak\r\ttab\u2028sep\x00\x1b[31m",
    "</code></p><script>alert(1)</script>",
    "> quote",
    "",
)

names = st.one_of(
    st.sampled_from(NASTY),
    st.text(max_size=200),
    st.lists(st.sampled_from(NASTY), max_size=5).map("".join),
)
states = st.sampled_from([s for s in MitigationState.values() if s])


def stamp(minutes: int = 0) -> Timestamp:
    """Return a time after the break."""
    moment = Timestamp()
    moment.FromDatetime(START + timedelta(minutes=minutes))
    return moment


def window(ratio: float, hour: int = 0, *, anomalous: bool = True) -> Window:
    """Return a window."""
    return Window(
        name=f"models/ads_ctr/windows/2026112{hour}",
        start_time=stamp(60 * hour),
        end_time=stamp(60 * hour + 60),
        checkpoint_digest="a" * 64,
        considered_count=5000,
        displayed_count=5000,
        calibration=Calibration(
            ratio=ratio, lower=ratio * 0.96, upper=ratio * 1.04, anomalous=anomalous
        ),
    )


def shift(feature: str, rank: int = 1) -> FeatureShift:
    """Return a significant shift."""
    return FeatureShift(
        feature=feature,
        rank=rank,
        shift=1.17,
        control_gfi=0.008,
        anomaly_gfi=1.178,
        control_coverage=0.97,
        anomaly_coverage=0.97,
        control_rank=212,
        anomaly_rank=rank,
        lower=1.1,
        upper=1.25,
        z=40,
        significant=True,
    )


def mitigation(
    features: Sequence[str],
    state: MitigationState.ValueType = MitigationState.MITIGATION_STATE_PROPOSED,
    *,
    reason: str = "policy threshold, version 1",
    approvers: Sequence[str] = (),
) -> Mitigation:
    """Return a kill-switch."""
    return Mitigation(
        name="incidents/INC-42/mitigations/1",
        kind=MitigationKind.MITIGATION_KIND_KILL_SWITCH,
        state=state,
        features=features,
        preview=Preview(calibration=1.03, lower=0.99, upper=1.07, example_count=2000),
        plan_hash="ab" * 32,
        proposer="policy:threshold",
        approvers=approvers,
        approver=approvers[-1] if approvers else "",
        create_time=stamp(72),
        expire_time=stamp(102),
        apply_time=stamp(74),
        verified_calibration=1.02,
        required_approvals=1,
        lease_expire_time=stamp(72 + 360),
        reason=reason,
    )


def incident(
    *mitigations: Mitigation,
    features: Sequence[str] = ("user_embedding_v3", "user_embedding_v2"),
    model: str = "ads_ctr",
    said: Sequence[str] = ("opened: calibration 1.31",),
    actor: str = "runbook",
    state: IncidentState.ValueType = IncidentState.INCIDENT_STATE_OPEN,
) -> Incident:
    """Return an incident whose calibration broke from 1.00 to 1.31."""
    return Incident(
        name="incidents/INC-42",
        model=f"models/{model}",
        state=state,
        comparison=Comparison(
            control=window(1.0, anomalous=False),
            anomaly=window(1.31, 1),
            verdict=Verdict.VERDICT_FEATURE_CORRUPTION,
            feature_count=214,
            significant_count=len(features),
            shifts=[shift(name, rank) for rank, name in enumerate(features, 1)],
        ),
        verdict=IncidentVerdict.INCIDENT_VERDICT_FEATURE_CORRUPTION,
        mitigations=mitigations,
        timeline=[
            TimelineEntry(time=stamp(n), actor=actor, message=text) for n, text in enumerate(said)
        ],
        create_time=stamp(70),
        windows=[window(1.30), window(1.31, 1)],
        advice="Approve or reject: switch off 2 features. Expires at 03:42 UTC.",
    )


@st.composite
def incidents(draw: st.DrawFn) -> Incident:
    """Incidents with up to 30 features, in any state, named and told by somebody who means ill."""
    features = draw(st.lists(names, max_size=30))
    said = draw(st.lists(names, min_size=1, max_size=40))
    killed = draw(st.one_of(st.just(features), st.lists(names, min_size=1, max_size=30)))
    people = draw(st.lists(names, max_size=3))
    acts = [
        mitigation(killed, draw(states), reason=draw(names), approvers=people)
        for _ in range(draw(st.integers(0, 3)))
    ]
    built = incident(
        *acts,
        features=features,
        model=draw(names),
        said=said,
        actor=draw(names),
        state=draw(st.sampled_from([s for s in IncidentState.values() if s])),
    )
    built.advice = draw(names)
    return built
