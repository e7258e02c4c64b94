"""Drills and incidents in miniature, as their records tell."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from google.protobuf.json_format import MessageToDict

from aftershock.v1.incident_pb2 import Incident, Mitigation, MitigationKind, MitigationState
from aftershock.v1.shift_pb2 import Comparison, ControlSelection, FeatureShift, Verdict
from aftershock.v1.window_pb2 import Calibration, Window
from tests.unit.clients.aftershock.recording import stamp

FEATURES = [f"f{i}" for i in range(12)]
PREFIX = "MITIGATION_STATE_"


def window(hour: int, ratio: float) -> Window:
    return Window(
        name=f"models/ads_ctr/windows/20261120T{hour:02d}0000Z",
        start_time=stamp(2026, 11, 20, hour),
        end_time=stamp(2026, 11, 20, hour + 1),
        checkpoint_digest="ab" * 32,
        considered_count=2000,
        calibration=Calibration(ratio=ratio, lower=ratio - 0.1, upper=ratio + 0.1, observed=1000),
    )


def compared(broken: set[str], random: np.random.Generator) -> Comparison:
    """A broken feature has much evidence and, in one case of two, a z that is not large."""
    evidence = {
        name: random.uniform(5, 9) if name in broken else random.uniform(0, 2) for name in FEATURES
    }
    ranked = sorted(FEATURES, key=lambda name: -evidence[name])
    shifts = [
        FeatureShift(
            feature=name,
            rank=rank,
            shift=random.uniform(0.5, 1) if name in broken else random.uniform(0, 0.1),
            control_gfi=0.1,
            anomaly_gfi=0.3,
            z=random.choice([3.0, 40.0]) if name in broken else random.normal(),
            significant=name in broken,
            score=evidence[name],
            shift_rank=rank,
        )
        for rank, name in enumerate(ranked, start=1)
    ]
    return Comparison(
        control=window(1, 1.0),
        anomaly=window(2, 1.3),
        control_selection=ControlSelection.CONTROL_SELECTION_PREVIOUS_HOUR,
        verdict=Verdict.VERDICT_FEATURE_CORRUPTION,
        feature_count=len(FEATURES),
        significant_count=len(broken),
        shifts=shifts,
    )


def drill(file: Path, seed: int, count: int = 36) -> Path:
    """Write the records of a drill that breaks some features in turn, and of clean windows.

    As in earnest, broken windows have no outcomes.
    """
    random = np.random.default_rng(seed)
    culprits = [{FEATURES[number % 12]} if number % 3 else set() for number in range(count)]
    lines = [
        json.dumps(
            {
                "world": "ads",
                "seed": seed,
                "case": "frozen",
                "culprits": sorted(broken),
                "comparison": told(compared(broken, random), broken),
            }
        )
        for broken in culprits
    ]
    file.write_text("\n".join(lines) + "\n")
    return file


def told(comparison: Comparison, broken: set[str]) -> Any:
    if broken:
        comparison.anomaly.ClearField("calibration")
    return MessageToDict(comparison, preserving_proto_field_name=True)


def mitigation(
    number: int, state: str, *features: str, reason: str = "", verified: float = 0.0
) -> Mitigation:
    return Mitigation(
        name=f"incidents/INC-1/mitigations/{number}",
        kind=MitigationKind.MITIGATION_KIND_KILL_SWITCH,
        state=MitigationState.Value(PREFIX + state),
        features=features,
        reason=reason,
        approvers=["ada"],
        verified_calibration=verified,
    )


def incident(*mitigations: Mitigation) -> Incident:
    return Incident(
        name="incidents/INC-1",
        model="models/ads_ctr",
        comparison=compared({"f1"}, np.random.default_rng(0)),
        mitigations=mitigations,
    )
