"""What an audit looks for, and where it looks."""

from dataclasses import dataclass, field
from enum import Enum


class Centrality(Enum):
    """What makes a vertex central."""

    DEGREE = "DEGREE"
    """Its neighbours, or the sum of its edges: the paper's "vertex centrality"."""
    BETWEENNESS = "BETWEENNESS"
    """Shortest paths that pass through it."""
    CLOSENESS = "CLOSENESS"
    """Short paths to all others."""
    EIGENVECTOR = "EIGENVECTOR"
    """Neighbours that are central themselves."""


class PathLength(Enum):
    """How the strength of an edge counts in a weighted path."""

    INVERSE_STRENGTH = "INVERSE_STRENGTH"
    """Labels that meet often are near: 1 / count."""
    STRENGTH = "STRENGTH"
    """The paper's reading: labels that meet often are *far*. For reproduction."""


@dataclass(frozen=True)
class Measure:
    """One way to rank vertices."""

    centrality: Centrality
    is_weighted: bool
    path_length: PathLength = PathLength.INVERSE_STRENGTH
    pivots: int | None = None
    """Weighted betweenness from so many sources only: approximate. None: exact."""
    seed: int = 0
    """Draws the pivots."""


class IndependentSetMethod(Enum):
    """How a maximum independent set is sought; it is NP-hard in general."""

    RANDOM_RESTARTS = "RANDOM_RESTARTS"
    """The paper's: the largest of several random maximal independent sets."""
    MINIMUM_DEGREE = "MINIMUM_DEGREE"
    """The largest of several greedy ones that take a vertex of least remaining degree."""
    EXACT = "EXACT"
    """An integer program; for neighbourhoods that allow it."""


@dataclass(frozen=True)
class Usability:
    """What a set of classes needs before a model could learn a trigger from it (section 5.2)."""

    min_classes: int = 5
    min_clean_rows: int = 200
    """Rows of a class without the trigger."""
    min_trigger_rows: int = 50
    """Rows of a class with it."""


@dataclass(frozen=True)
class SubsetParameters:
    """Which classes are sought.

    The paper calls two things `trig`: the fewest rows that a class shares with the trigger, and the
    most that two classes may share. They are two parameters here.
    """

    min_trigger_overlaps: int = 15
    """A class shares at least so many rows with the trigger."""
    tolerated_class_overlaps: int | None = None
    """Two classes may share so many rows. None: fewer than make an edge of the graph."""
    method: IndependentSetMethod = IndependentSetMethod.MINIMUM_DEGREE
    restarts: int = 20
    seed: int = 0
    usability: Usability = field(default_factory=Usability)


@dataclass(frozen=True)
class LabelRowsFile:
    """Parquet with the labels of each row."""

    file: str
    row_id_column: str = "row_id"
    labels_column: str = "labels"
    outcome_column: str | None = None
    """The class or outcome of each row. None: rows have none."""


@dataclass(frozen=True)
class LabelCountsFile:
    """Parquet with a co-occurrence count for each ordered pair of labels; missing ones are 0."""

    file: str
    label_column: str = "label"
    other_column: str = "other"
    count_column: str = "count"


SnapshotFile = LabelRowsFile | LabelCountsFile


@dataclass(frozen=True)
class ConcentrationParameters:
    """How labels that go with an outcome more than before are looked for."""

    past: tuple[LabelRowsFile, ...] = ()
    """Earlier snapshots, added up. None: the outcomes' shares are what is usual."""
    prior_rows: float = 50.0
    false_discovery_rate: float = 0.05


@dataclass(frozen=True)
class InsertionParameters:
    """Which labels are appended to which list, and who predicts."""

    checkpoint: str
    feature: str
    examples_file: str
    example_count: int = 1000
    label_count: int = 20
    """Findings that are tested, the first ones."""


@dataclass(frozen=True)
class SaliencyParameters:
    """What a checkpoint looks at in images that hold a trigger."""

    checkpoint: str
    layer: str
    """Path of a convolution in the model."""
    examples_file: str
    mask_column: str
    height: int
    width: int
    clean_checkpoint: str | None = None
    """One that never saw the trigger."""
    example_count: int = 200
    is_after_activation: bool = False
    """Look behind the activation that follows the convolution."""
    target_class: str = ""
    """Of checkpoints with classes, the one that the trigger would lead to."""


@dataclass(frozen=True)
class LargerSetParameters:
    """How many classes a trigger's are put among."""

    poisoned: int
    added: int


@dataclass(frozen=True)
class ThresholdParameters:
    """Labels of a machine with scores, and of a person, for the same rows."""

    file: str
    labels_column: str = "labels"
    scores_column: str = "scores"
    truth_column: str = "truth"
    are_logits: bool = False
    """Scores are top logits: their softmax over each row is taken."""
    steps: int = 99
    """Thresholds between 0 and 1."""


@dataclass(frozen=True)
class AuditParameters:
    """What an audit looks for. What is None is not looked at."""

    min_overlaps: int = 15
    """Two labels are neighbours from so many rows that hold both."""
    measures: tuple[Measure, ...] = ()
    """None: each centrality, unweighted and weighted, as far as the size of the graph allows."""
    top: int = 50
    """Labels that are candidates by each measure."""
    subset: SubsetParameters = field(default_factory=SubsetParameters)
    excluded: tuple[str, ...] = ()
    """Labels that are neither triggers nor classes."""
    max_row_share: float = 1.0
    """Labels that a larger share of the rows holds are excluded too."""
    sweep: tuple[int, ...] = ()
    """Edge thresholds at which the first findings' classes are counted again."""
    concentration: ConcentrationParameters = field(default_factory=ConcentrationParameters)
    larger_sets: LargerSetParameters | None = None
    insertion: InsertionParameters | None = None
    saliency: SaliencyParameters | None = None
    thresholds: ThresholdParameters | None = None
    lineage_node: str | None = None
    """Stands for the snapshot in the lineage graph. None: no lineage."""
    feature: str | None = None
    """The id-list feature whose ids the labels are. None: the insertion test's, if there is one."""

    @property
    def id_feature(self) -> str | None:
        """Return the feature whose ids the labels are; None where nobody said which."""
        return self.feature or (self.insertion.feature if self.insertion else None)
