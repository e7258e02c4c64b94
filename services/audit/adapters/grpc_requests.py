"""From the contract's snapshots and parameters to the domain's; what is left out is the default."""

from collections.abc import Mapping
from typing import Final

from aftershock.v1 import audit_pb2 as pb
from services.audit.domain.parameters import (
    AuditParameters,
    Centrality,
    ConcentrationParameters,
    IndependentSetMethod,
    InsertionParameters,
    LabelCountsFile,
    LabelRowsFile,
    LargerSetParameters,
    Measure,
    PathLength,
    SaliencyParameters,
    SnapshotFile,
    SubsetParameters,
    ThresholdParameters,
    Usability,
)

_DEFAULT = AuditParameters()
_USABILITY = Usability()

CENTRALITIES: Final[Mapping[int, Centrality]] = {
    pb.CENTRALITY_KIND_DEGREE: Centrality.DEGREE,
    pb.CENTRALITY_KIND_BETWEENNESS: Centrality.BETWEENNESS,
    pb.CENTRALITY_KIND_CLOSENESS: Centrality.CLOSENESS,
    pb.CENTRALITY_KIND_EIGENVECTOR: Centrality.EIGENVECTOR,
}
_LENGTHS: Final[Mapping[int, PathLength]] = {
    pb.PATH_LENGTH_UNSPECIFIED: PathLength.INVERSE_STRENGTH,
    pb.PATH_LENGTH_INVERSE_STRENGTH: PathLength.INVERSE_STRENGTH,
    pb.PATH_LENGTH_STRENGTH: PathLength.STRENGTH,
}
SEARCHES: Final[Mapping[int, IndependentSetMethod]] = {
    pb.INDEPENDENT_SET_SEARCH_UNSPECIFIED: IndependentSetMethod.MINIMUM_DEGREE,
    pb.INDEPENDENT_SET_SEARCH_RANDOM_RESTARTS: IndependentSetMethod.RANDOM_RESTARTS,
    pb.INDEPENDENT_SET_SEARCH_MINIMUM_DEGREE: IndependentSetMethod.MINIMUM_DEGREE,
    pb.INDEPENDENT_SET_SEARCH_EXACT: IndependentSetMethod.EXACT,
}


def snapshot_of(message: pb.AuditSnapshot) -> SnapshotFile:
    """Return where the snapshot is."""
    if message.WhichOneof("content") == "rows":
        return _rows(message.rows)
    counts = message.counts
    return LabelCountsFile(
        counts.file,
        counts.label_column or "label",
        counts.other_column or "other",
        counts.count_column or "count",
    )


def parameters_of(message: pb.AuditParameters) -> AuditParameters:
    """Return what to look for."""
    return AuditParameters(
        min_overlaps=message.min_overlaps or _DEFAULT.min_overlaps,
        measures=tuple(_measure(measure) for measure in message.measures),
        top=message.top or _DEFAULT.top,
        subset=_subset(message),
        excluded=tuple(message.excluded),
        max_row_share=message.max_row_share if message.HasField("max_row_share") else 1.0,
        sweep=tuple(message.sweep),
        concentration=_concentration(message.concentration),
        larger_sets=LargerSetParameters(message.larger_sets.poisoned, message.larger_sets.added)
        if message.HasField("larger_sets")
        else None,
        insertion=_insertion(message.insertion) if message.HasField("insertion") else None,
        saliency=_saliency(message.saliency) if message.HasField("saliency") else None,
        thresholds=_thresholds(message.thresholds) if message.HasField("thresholds") else None,
        lineage_node=message.lineage_node or None,
        feature=message.feature or None,
    )


def _rows(message: pb.LabelRowsFile) -> LabelRowsFile:
    return LabelRowsFile(
        message.file,
        message.row_id_column or "row_id",
        message.labels_column or "labels",
        message.outcome_column or None,
    )


def _measure(message: pb.CentralityMeasure) -> Measure:
    return Measure(
        CENTRALITIES[message.kind],
        message.weighted,
        _LENGTHS[message.path_length],
        message.pivots or None,
    )


def _subset(message: pb.AuditParameters) -> SubsetParameters:
    min_overlaps = message.min_overlaps or _DEFAULT.min_overlaps
    tolerated = message.tolerated_class_overlaps
    return SubsetParameters(
        min_trigger_overlaps=message.min_trigger_overlaps or min_overlaps,
        tolerated_class_overlaps=tolerated
        if message.HasField("tolerated_class_overlaps")
        else None,
        method=SEARCHES[message.independent_set_search],
        restarts=message.restarts or _DEFAULT.subset.restarts,
        usability=Usability(
            min_classes=message.min_classes or _USABILITY.min_classes,
            min_clean_rows=message.min_clean_rows
            if message.HasField("min_clean_rows")
            else _USABILITY.min_clean_rows,
            min_trigger_rows=message.min_trigger_rows
            if message.HasField("min_trigger_rows")
            else _USABILITY.min_trigger_rows,
        ),
    )


def _concentration(message: pb.ConcentrationParameters) -> ConcentrationParameters:
    default = _DEFAULT.concentration
    rate = message.false_discovery_rate
    return ConcentrationParameters(
        past=tuple(_rows(past) for past in message.past),
        prior_rows=message.prior_rows if message.HasField("prior_rows") else default.prior_rows,
        false_discovery_rate=rate
        if message.HasField("false_discovery_rate")
        else default.false_discovery_rate,
    )


def _insertion(message: pb.InsertionParameters) -> InsertionParameters:
    return InsertionParameters(
        checkpoint=message.checkpoint,
        feature=message.feature,
        examples_file=message.examples_file,
        example_count=message.example_count or 1000,
        label_count=message.label_count or 20,
    )


def _saliency(message: pb.SaliencyParameters) -> SaliencyParameters:
    return SaliencyParameters(
        checkpoint=message.checkpoint,
        layer=message.layer,
        examples_file=message.examples_file,
        mask_column=message.mask_column,
        height=message.height,
        width=message.width,
        clean_checkpoint=message.clean_checkpoint or None,
        example_count=message.example_count or 200,
        is_after_activation=message.after_activation,
        target_class=message.target_class,
    )


def _thresholds(message: pb.ThresholdParameters) -> ThresholdParameters:
    return ThresholdParameters(
        file=message.file,
        labels_column=message.labels_column or "labels",
        scores_column=message.scores_column or "scores",
        truth_column=message.truth_column or "truth",
        are_logits=message.logits,
        steps=message.steps or 99,
    )
