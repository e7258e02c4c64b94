"""One incident, as a runbook would hold it."""

from aftershock.v1.aggregator_service_pb2 import (
    ChooseSampleSizeResponse,
    FeatureSampleSize,
    GetFeatureProfileResponse,
    ModelSummary,
    SampleSizeBasis,
)
from aftershock.v1.attribution_service_pb2 import (
    AblationFallback,
    AblationRoute,
    ExplainCheckpointResponse,
    PredictedCost,
    RecognisedJoin,
)
from aftershock.v1.checkpoint_pb2 import Checkpoint, Feature
from aftershock.v1.example_pb2 import FeatureKind
from aftershock.v1.importance_pb2 import FeatureProfile, HeavyHitter, Quantity, QuantityProfile
from aftershock.v1.incident_pb2 import (
    Incident,
    IncidentState,
    Mitigation,
    MitigationKind,
    MitigationState,
    Preview,
    TimelineEntry,
)
from aftershock.v1.shift_pb2 import (
    Comparison,
    ControlSelection,
    Evidence,
    FeatureShift,
    RankBy,
    Signal,
    Verdict,
)
from aftershock.v1.window_pb2 import Calibration, Window, WindowState
from tests.unit.clients.aftershock.recording import stamp

DIGEST = "ab" * 32
PLAN = "cd" * 32


def window(hour: int, ratio: float | None = None, anomalous: bool = False) -> Window:
    result = Window(
        name=f"models/ads_ctr/windows/20261120T{hour:02d}0000Z",
        start_time=stamp(2026, 11, 20, hour),
        end_time=stamp(2026, 11, 20, hour + 1),
        state=WindowState.WINDOW_STATE_CLOSED,
        checkpoint_digest=DIGEST,
        considered_count=2000,
        displayed_count=500,
    )
    if ratio is not None:
        result.calibration.CopyFrom(
            Calibration(
                ratio=ratio,
                lower=ratio - 0.1,
                upper=ratio + 0.1,
                expected=1310.0,
                observed=1000,
                anomalous=anomalous,
            )
        )
    return result


def explanation() -> ExplainCheckpointResponse:
    return ExplainCheckpointResponse(
        checkpoint=checkpoint(),
        feature_count=1000,
        tower_step_count=450,
        forward_operations=9.95e6,
        routes=[
            AblationRoute(
                feature_count=995,
                joins=[RecognisedJoin(step="addmm_2", kind="linear map")],
                delta_step_count=4,
                operations_per_pair=2.7e5,
            ),
            AblationRoute(
                feature_count=5,
                rerun_step_count=3,
                fallbacks=[AblationFallback(step="sort_1", operator="sort", reason="no rule")],
                operations_per_pair=9e6,
            ),
        ],
        unknown_steps=["sort_1"],
        predicted_costs=[PredictedCost(coverage=0.5, operations=1e8, plain_operations=9.95e9)],
    )


def sample_size() -> ChooseSampleSizeResponse:
    return ChooseSampleSizeResponse(
        window=window(2),
        sample_size=9_800,
        basis=SampleSizeBasis.SAMPLE_SIZE_BASIS_SUMMARY,
        features=[
            FeatureSampleSize(
                feature="user_embedding[v3]", sample_size=9_800, gfi=1.18, standard_error=0.0198
            )
        ],
    )


def profile() -> GetFeatureProfileResponse:
    return GetFeatureProfileResponse(
        window=window(2),
        profile=FeatureProfile(
            feature="genres",
            kind=FeatureKind.FEATURE_KIND_ID_LIST,
            baseline_rate=0.125,
            example_count=10_000,
            quantities=[
                QuantityProfile(
                    quantity=Quantity.QUANTITY_LENGTH,
                    quantiles=[1, 1, 2, 3, 4, 6, 9],
                    correlation=0.31,
                ),
                QuantityProfile(
                    quantity=Quantity.QUANTITY_ID,
                    heavy_hitters=[HeavyHitter(id=7, frequency=0.25)],
                ),
            ],
        ),
    )


def comparison() -> Comparison:
    shift = FeatureShift(
        feature="user_embedding[v3]",
        kind=FeatureKind.FEATURE_KIND_ENCODED_EMBEDDING,
        rank=1,
        shift=1.17,
        control_gfi=0.008,
        anomaly_gfi=1.18,
        control_coverage=0.97,
        anomaly_coverage=0.93,
        control_rank=212,
        anomaly_rank=1,
        lower=1.1,
        upper=1.2,
        z=41.0,
        significant=True,
        score=12.5,
        evidence=[
            Evidence(signal=Signal.SIGNAL_VALUE_DISTANCE, change=0.9, noise=0.02, strength=45.0),
            Evidence(signal=Signal.SIGNAL_LFI_DISTANCE, change=1.2, noise=0.1, strength=12.0),
        ],
        shift_rank=1,
    )
    return Comparison(
        control=window(1, 0.99),
        anomaly=window(2, 1.31, anomalous=True),
        control_selection=ControlSelection.CONTROL_SELECTION_PREVIOUS_HOUR,
        control_note="no window at the same hour of the previous day",
        verdict=Verdict.VERDICT_FEATURE_CORRUPTION,
        feature_count=214,
        significant_count=1,
        shifts=[shift],
        rank_by=RankBy.RANK_BY_EVIDENCE,
    )


def mitigation(
    number: int = 1,
    state: MitigationState.ValueType = MitigationState.MITIGATION_STATE_PROPOSED,
) -> Mitigation:
    return Mitigation(
        name=f"incidents/INC-1/mitigations/M-{number}",
        kind=MitigationKind.MITIGATION_KIND_KILL_SWITCH,
        state=state,
        features=["user_embedding[v3]"],
        preview=Preview(calibration=1.03, lower=0.99, upper=1.07, example_count=2000),
        plan_hash=PLAN,
        proposer="policy:threshold",
        downstream_model_count=3,
    )


def incident(*mitigations: Mitigation) -> Incident:
    return Incident(
        name="incidents/INC-1",
        model="models/ads_ctr",
        state=IncidentState.INCIDENT_STATE_OPEN,
        comparison=comparison(),
        mitigations=mitigations or [mitigation()],
        timeline=[TimelineEntry(time=stamp(2026, 11, 20, 3), actor="runbook", message="opened")],
        create_time=stamp(2026, 11, 20, 3),
        advice="approve or reject incidents/INC-1/mitigations/M-1",
    )


def checkpoint() -> Checkpoint:
    return Checkpoint(
        name="models/ads_ctr/checkpoints/2026-11-19",
        digest=DIGEST,
        trained_until=stamp(2026, 11, 19),
        features=[Feature(name="user_age", kind=FeatureKind.FEATURE_KIND_NUMERIC)],
    )


def summary() -> ModelSummary:
    return ModelSummary(
        name="models/ads_ctr",
        checkpoint=checkpoint(),
        latest_window=window(2, 1.31, anomalous=True),
        block_count=12,
        duplicate_block_count=1,
        latest_event_time=stamp(2026, 11, 20, 2, 59),
    )
