"""Looks through a snapshot: graph, candidates, leans, and what else was asked for."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from services.audit.domain.audit import Audit
from services.audit.domain.errors import TooLargeForExact
from services.audit.domain.parameters import (
    AuditParameters,
    Centrality,
    ConcentrationParameters,
    LabelRowsFile,
    LargerSetParameters,
    Measure,
    ThresholdParameters,
)
from services.audit.domain.report import AuditReport, LargerClassSet, OutcomeLean
from services.audit.domain.severity import assessed
from services.audit.domain.snapshot import LabelledRows, ScoredLabels
from services.audit.engine import findings, variations
from services.audit.engine.candidates import Candidate, find_candidates
from services.audit.engine.concentration import LabelledCounts, concentrations
from services.audit.engine.graph import CooccurrenceGraph
from services.audit.engine.labelled_counts import added_up, count_outcomes
from services.audit.engine.paths import check_size
from services.audit.engine.poisonable import excluded_labels
from services.audit.ports import Progress, SnapshotSource

_FIRST = 10
"""Candidates that variations are computed for."""
_DEFAULT_MEASURES = tuple(
    Measure(kind, is_weighted) for is_weighted in (False, True) for kind in Centrality
)


@dataclass(frozen=True, eq=False)
class _CountedOutcomes:
    """How often labels go with outcomes, now and in earlier snapshots."""

    names: Sequence[str]
    now: LabelledCounts
    past: LabelledCounts


@dataclass(frozen=True, eq=False)
class _Read:
    """Everything that files say: what is wrong with one is told before anything takes long."""

    labelled: LabelledRows | None
    graph: CooccurrenceGraph
    outcomes: _CountedOutcomes | None
    """None: rows have none."""
    scored: ScoredLabels | None


@dataclass(frozen=True, eq=False)
class _Examined:
    """What variations are computed of."""

    labelled: LabelledRows | None
    graph: CooccurrenceGraph
    candidates: Sequence[Candidate]
    excluded: frozenset[int]
    seed: int


@dataclass(frozen=True)
class Analyse:
    """Makes the report of a snapshot. Blocks for as long as that takes."""

    source: SnapshotSource

    def __call__(self, audit: Audit, progress: Progress) -> AuditReport:
        """Return the report: no checkpoint is asked, no lineage.

        Raises:
            AuditError: the data or the parameters do not allow it.
        """
        parameters = audit.parameters
        progress(0.02, "reading the snapshot")
        read = self._read(audit)
        labelled, graph = read.labelled, read.graph
        count = labelled.rows.row_count if labelled else None
        excluded = excluded_labels(graph, parameters.excluded, count, parameters.max_row_share)
        progress(0.2, "ranking labels")
        measures, notes = _measures(graph, parameters, audit.seed)
        subset = replace(parameters.subset, seed=audit.seed)
        candidates = find_candidates(graph, measures, parameters.top, subset, excluded)
        progress(0.6, "looking at outcomes")
        leans = _leans(read.outcomes, parameters.concentration)
        progress(0.7, "varying thresholds and sets")
        report = AuditReport(
            row_count=count or 0,
            label_count=len(graph.names),
            edge_count=graph.edges.nnz // 2,
            findings=tuple(findings.findings(graph, candidates, leans)),
            notes=tuple(notes),
        )
        examined = _Examined(labelled, graph, candidates, excluded, audit.seed)
        varied = _varied(report, examined, parameters)
        calibrated = _with_thresholds(varied, read.scored, parameters.thresholds)
        return _with_neighbourhood(assessed(calibrated, model_count=None), graph)

    def _read(self, audit: Audit) -> _Read:
        file, parameters = audit.snapshot, audit.parameters
        wanted = parameters.thresholds
        scored = None if wanted is None else self.source.scores(wanted)
        if not isinstance(file, LabelRowsFile):
            counted = self.source.counts(file)
            graph = CooccurrenceGraph.from_matrix(
                counted.names, counted.counts, parameters.min_overlaps
            )
            return _Read(None, graph, None, scored)
        labelled = self.source.rows(file)
        outcomes = self._outcomes(labelled, parameters.concentration.past)
        graph = CooccurrenceGraph.from_rows(labelled.rows, parameters.min_overlaps)
        return _Read(labelled, graph, outcomes, scored)

    def _outcomes(
        self, labelled: LabelledRows, files: Sequence[LabelRowsFile]
    ) -> _CountedOutcomes | None:
        if labelled.outcomes is None:
            return None
        names, outcomes = labelled.rows.names, labelled.outcomes.names
        now = count_outcomes(labelled, names, outcomes)
        past = [count_outcomes(self.source.rows(file), names, outcomes) for file in files]
        return _CountedOutcomes(outcomes, now, added_up(past, now.counts.shape))


def _leans(
    outcomes: _CountedOutcomes | None, wanted: ConcentrationParameters
) -> dict[int, OutcomeLean]:
    if outcomes is None:
        return {}
    found = concentrations(
        outcomes.now,
        outcomes.past,
        prior_rows=wanted.prior_rows,
        false_discovery_rate=wanted.false_discovery_rate,
    )
    return findings.leans(found, outcomes.names)


def _with_thresholds(
    report: AuditReport, scored: ScoredLabels | None, wanted: ThresholdParameters | None
) -> AuditReport:
    if scored is None or wanted is None:
        return report
    return replace(report, thresholds=variations.calibrated(scored, wanted.steps))


def _measures(
    graph: CooccurrenceGraph, parameters: AuditParameters, seed: int
) -> tuple[Sequence[Measure], list[str]]:
    """Return the measures asked for, or all that the size of the graph allows."""
    if parameters.measures:
        return [replace(measure, seed=seed) for measure in parameters.measures], []
    possible, notes = [], []
    for measure in _DEFAULT_MEASURES:
        try:
            check_size(graph, measure)
        except TooLargeForExact as error:
            notes.append(f"a measure is left out: {error}")
        else:
            possible.append(measure)
    return possible, notes


def _with_neighbourhood(report: AuditReport, graph: CooccurrenceGraph) -> AuditReport:
    """Return the report with what the worst finding meets."""
    if not report.findings:
        return report
    worst = report.findings[0]
    edges = findings.neighbourhood(graph, worst)
    return replace(report, neighbourhood=tuple(edges), neighbourhood_label=worst.label)


def _varied(report: AuditReport, examined: _Examined, parameters: AuditParameters) -> AuditReport:
    """Return the report with the paper's variations of the first candidates."""
    graph, excluded = examined.graph, examined.excluded
    first = examined.candidates[:_FIRST]
    sets, notes = _larger_sets(examined, parameters.larger_sets)
    subset = replace(parameters.subset, seed=examined.seed)
    sweeps = [
        variations.sweep(graph, candidate.trigger, subset, parameters.sweep, excluded)
        for candidate in first
        if parameters.sweep
    ]
    return replace(
        report,
        overlaps=variations.overlaps(graph.names, [candidate.subset for candidate in first]),
        sweeps=tuple(sweeps),
        larger_sets=tuple(sets),
        notes=(*report.notes, *notes),
    )


def _larger_sets(
    examined: _Examined, wanted: LargerSetParameters | None
) -> tuple[list[LargerClassSet], list[str]]:
    """Return larger sets of the first candidates, and why some could not be drawn."""
    sets: list[LargerClassSet] = []
    notes: list[str] = []
    if wanted is None:
        return sets, notes
    if examined.labelled is None:
        return sets, ["larger sets take rows: counts do not tell which rows hold one class only"]
    for candidate in examined.candidates[:_FIRST]:
        found, missing = variations.larger_sets(
            examined.labelled.rows, candidate.subset, wanted, examined.excluded, examined.seed
        )
        sets += found
        notes += missing
    return sets, notes
