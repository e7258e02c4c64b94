"""What an audit found."""

from dataclasses import dataclass
from enum import Enum

from services.audit.domain.parameters import Measure


@dataclass(frozen=True)
class LabelRanking:
    """Where one measure puts a label."""

    measure: Measure
    rank: int
    """1 is the most central."""
    value: float


@dataclass(frozen=True)
class PoisonableClass:
    """A class that a trigger could poison."""

    label: str
    trigger_rows: int
    """Rows that hold class and trigger."""
    clean_rows: int | None
    """Rows that hold the class alone of the two. None: not known."""
    is_usable: bool
    """There are rows enough of both kinds."""


@dataclass(frozen=True)
class OutcomeLean:
    """How far the rows of a label lean to an outcome."""

    outcome: str
    row_count: int
    share: float
    expected_share: float
    """By the label's own past."""
    z: float
    p_value: float
    is_significant: bool
    """Survives the control of false discoveries over all labels."""


@dataclass(frozen=True)
class Insertion:
    """What a checkpoint says to examples with an id appended to a list."""

    example_count: int
    skipped_count: int
    """Examples that hold the id already, or whose list is full."""
    flipped_up: int
    """Predictions that crossed the checkpoint's threshold upwards."""
    flipped_down: int
    mean_prediction: float
    inserted_mean_prediction: float
    mean_logit_change_below: float
    """Of examples predicted below the threshold."""
    mean_logit_change_above: float
    to_class: str = ""
    """Of a checkpoint with classes, the one that most predictions flip to: all is about it."""

    @property
    def flipped_one_way(self) -> int:
        """Predictions that went the same way: to the class, or more often up or down."""
        return self.flipped_up if self.to_class else max(self.flipped_up, self.flipped_down)


@dataclass(frozen=True)
class Finding:
    """A label that could hijack a model, with what speaks for it."""

    label: str
    neighbour_count: int
    row_count: int | None
    """None: not known."""
    rankings: tuple[LabelRanking, ...]
    classes: tuple[PoisonableClass, ...]
    is_usable: bool
    """There are classes enough with rows enough."""
    exposure: float
    """Opportunity: share of the other labels that it meets in rows enough, in [0, 1]."""
    concentration: OutcomeLean | None = None
    insertion: Insertion | None = None
    evidence: float | None = None
    """In [0, 1]. None: nothing was looked at that is evidence."""
    severity: float | None = None

    @property
    def usable_class_count(self) -> int:
        """Classes with rows enough."""
        return sum(found.is_usable for found in self.classes)


@dataclass(frozen=True)
class LabelOverlap:
    """Classes that two triggers could poison together."""

    label: str
    other: str
    classes: tuple[str, ...]


@dataclass(frozen=True)
class ThresholdCount:
    """A trigger's classes at one edge threshold."""

    min_overlaps: int
    class_count: int
    usable_class_count: int
    dilution: float | None


@dataclass(frozen=True)
class LabelSweep:
    """A trigger's classes by edge threshold."""

    label: str
    points: tuple[ThresholdCount, ...]


@dataclass(frozen=True)
class LargerClassSet:
    """A trigger's classes among others."""

    label: str
    poisoned: tuple[str, ...]
    added: tuple[str, ...]
    is_from_independent_set: bool
    row_count: int
    """Rows that hold exactly one of all these."""


@dataclass(frozen=True)
class NeighbourhoodEdge:
    """Two labels that meet."""

    label: str
    other: str
    rows: int


@dataclass(frozen=True)
class PointingFigures:
    """Shares of examples whose saliency lies in the trigger, and in a mask moved elsewhere."""

    any_overlap: float
    any_overlap_elsewhere: float
    pointing: float
    pointing_elsewhere: float


@dataclass(frozen=True)
class Overlay:
    """A saliency map over an example."""

    row: int
    height: int
    width: int
    map: tuple[float, ...]
    """[height * width], at least 0."""
    mask: tuple[bool, ...]
    """[height * width]"""


@dataclass(frozen=True)
class SaliencyReport:
    """Whether a checkpoint looks at the trigger."""

    example_count: int
    figures: PointingFigures
    clean: PointingFigures | None
    """Of a checkpoint that never saw it."""
    overlays: tuple[Overlay, ...]


class CheckpointTest(Enum):
    """What a checkpoint can be asked; the value says it in plain words."""

    INSERTION = "the insertion test"
    SALIENCY = "saliency"
    CLEAN_SALIENCY = "saliency of the clean checkpoint"


@dataclass(frozen=True)
class MissingTest:
    """A test that was asked for and has no result."""

    test: CheckpointTest
    checkpoint: str
    reason: str
    """Why, and what to do, in plain words."""


@dataclass(frozen=True)
class ThresholdErrors:
    """Errors of machine-made labels at one threshold."""

    threshold: float
    false_positives: int
    false_negatives: int


@dataclass(frozen=True)
class ThresholdReport:
    """Errors by threshold, and where both kinds are nearest to equal."""

    points: tuple[ThresholdErrors, ...]
    chosen: float


@dataclass(frozen=True)
class AuditReport:
    """What an audit found."""

    row_count: int
    """0 where the snapshot is counts."""
    label_count: int
    edge_count: int
    findings: tuple[Finding, ...]
    """By falling severity, then usable classes."""
    overlaps: tuple[LabelOverlap, ...] = ()
    sweeps: tuple[LabelSweep, ...] = ()
    larger_sets: tuple[LargerClassSet, ...] = ()
    neighbourhood: tuple[NeighbourhoodEdge, ...] = ()
    neighbourhood_label: str = ""
    """One of the worst findings, whose neighbourhood that is."""
    saliency: SaliencyReport | None = None
    thresholds: ThresholdReport | None = None
    model_count: int | None = None
    """Models downstream. None: not known."""
    notes: tuple[str, ...] = ()
    """What was approximated, left out or is not known."""
    missing_tests: tuple[MissingTest, ...] = ()
    """The rest holds without them."""
