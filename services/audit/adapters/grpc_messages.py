"""From the domain's audits to the contract's messages."""

from dataclasses import asdict
from datetime import datetime

from google.protobuf.timestamp_pb2 import Timestamp

from aftershock.v1 import audit_pb2 as pb
from services.audit.adapters.grpc_errors import ERRORS
from services.audit.adapters.grpc_requests import CENTRALITIES, SEARCHES
from services.audit.adapters.process_analyst import error_of
from services.audit.domain.audit import Audit
from services.audit.domain.parameters import (
    AuditParameters,
    LabelRowsFile,
    Measure,
    PathLength,
    SaliencyParameters,
    SnapshotFile,
    ThresholdParameters,
)
from services.chassis.errors import status_of

_KINDS = {kind: pb.CentralityKind.ValueType(number) for number, kind in CENTRALITIES.items()}
_SEARCHES = {method: pb.IndependentSetSearch.ValueType(n) for n, method in SEARCHES.items()}
_LENGTHS = {
    PathLength.INVERSE_STRENGTH: pb.PATH_LENGTH_INVERSE_STRENGTH,
    PathLength.STRENGTH: pb.PATH_LENGTH_STRENGTH,
}


def audit_message(audit: Audit) -> pb.Audit:
    """Return an audit without its report."""
    return pb.Audit(
        name=audit.name,
        state=pb.AuditState.Value(f"AUDIT_STATE_{audit.state.value}"),
        snapshot=_snapshot(audit.snapshot),
        parameters=_parameters(audit.parameters),
        seed=audit.seed,
        progress=audit.progress,
        stage=audit.stage,
        error=status_of(error_of(audit.failure), ERRORS) if audit.failure else None,
        create_time=_stamp(audit.create_time),
        end_time=_stamp(audit.end_time) if audit.end_time else None,
    )


def measure_message(measure: Measure) -> pb.CentralityMeasure:
    """Return a way to rank labels."""
    return pb.CentralityMeasure(
        kind=_KINDS[measure.centrality],
        weighted=measure.is_weighted,
        path_length=_LENGTHS[measure.path_length],
        pivots=measure.pivots or 0,
    )


def _snapshot(file: SnapshotFile) -> pb.AuditSnapshot:
    if isinstance(file, LabelRowsFile):
        return pb.AuditSnapshot(rows=_rows(file))
    return pb.AuditSnapshot(counts=pb.LabelCountsFile(**asdict(file)))


def _rows(file: LabelRowsFile) -> pb.LabelRowsFile:
    return pb.LabelRowsFile(
        file=file.file,
        row_id_column=file.row_id_column,
        labels_column=file.labels_column,
        outcome_column=file.outcome_column or "",
    )


def _parameters(parameters: AuditParameters) -> pb.AuditParameters:
    subset, usability = parameters.subset, parameters.subset.usability
    concentration, larger = parameters.concentration, parameters.larger_sets
    return pb.AuditParameters(
        min_overlaps=parameters.min_overlaps,
        measures=[measure_message(measure) for measure in parameters.measures],
        top=parameters.top,
        min_trigger_overlaps=subset.min_trigger_overlaps,
        tolerated_class_overlaps=subset.tolerated_class_overlaps,
        independent_set_search=_SEARCHES[subset.method],
        restarts=subset.restarts,
        min_classes=usability.min_classes,
        min_clean_rows=usability.min_clean_rows,
        min_trigger_rows=usability.min_trigger_rows,
        excluded=parameters.excluded,
        max_row_share=parameters.max_row_share,
        sweep=parameters.sweep,
        concentration=pb.ConcentrationParameters(
            past=[_rows(past) for past in concentration.past],
            prior_rows=concentration.prior_rows,
            false_discovery_rate=concentration.false_discovery_rate,
        ),
        larger_sets=pb.LargerSetParameters(**asdict(larger)) if larger else None,
        insertion=pb.InsertionParameters(**asdict(parameters.insertion))
        if parameters.insertion
        else None,
        saliency=_saliency(parameters.saliency) if parameters.saliency else None,
        thresholds=_thresholds(parameters.thresholds) if parameters.thresholds else None,
        lineage_node=parameters.lineage_node or "",
        feature=parameters.feature or "",
    )


def _saliency(parameters: SaliencyParameters) -> pb.SaliencyParameters:
    return pb.SaliencyParameters(
        checkpoint=parameters.checkpoint,
        clean_checkpoint=parameters.clean_checkpoint or "",
        layer=parameters.layer,
        examples_file=parameters.examples_file,
        mask_column=parameters.mask_column,
        height=parameters.height,
        width=parameters.width,
        example_count=parameters.example_count,
        after_activation=parameters.is_after_activation,
        target_class=parameters.target_class,
    )


def _thresholds(parameters: ThresholdParameters) -> pb.ThresholdParameters:
    return pb.ThresholdParameters(
        file=parameters.file,
        labels_column=parameters.labels_column,
        scores_column=parameters.scores_column,
        truth_column=parameters.truth_column,
        logits=parameters.are_logits,
        steps=parameters.steps,
    )


def _stamp(time: datetime) -> Timestamp:
    stamp = Timestamp()
    stamp.FromDatetime(time)
    return stamp
