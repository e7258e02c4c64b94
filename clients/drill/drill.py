"""Faults are put into copies of logged examples, and the platform is asked what broke."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from math import ceil

import numpy as np
import numpy.typing as npt

from aftershock.v1.importance_pb2 import LfiMethod
from aftershock.v1.shift_pb2 import Comparison, Verdict
from clients.drill.corruptions import Corruption
from clients.drill.laboratory import Laboratory, Logged
from clients.drill.pipeline_cases import Case, CaseDoesNotApply
from clients.drill.scores import PSI, Scores, ranked, scores_of
from clients.drill.stability import indices
from clients.drill.subject import Subject

TOP_SHARE = 0.03
"""K by default, as a share of the features: the paper's 30 of about a thousand."""
FEWEST_TOP = 3
LOOKED_AT = 2000
"""Examples whose LFIs are looked at one by one."""
EQUATIONS = {
    "equation 2, relative change": LfiMethod.LFI_METHOD_RELATIVE,
    "equation 1, pseudo-loss": LfiMethod.LFI_METHOD_PSEUDO_LOSS,
}


@dataclass(frozen=True)
class Plan:
    """What is done to a subject."""

    cases: Sequence[Case]
    windows: int = 2
    """The last windows, each of which every case breaks."""
    picks: int = 1
    """How often a case chooses victims."""
    same_rows: bool = False
    """Control: the same rows unbroken. Otherwise the window before, as in real use."""
    seed: int = 0


@dataclass(frozen=True)
class Run:
    """One fault in one window, and how each method scores the features."""

    case: str
    title: str
    window: int
    pick: int
    culprits: tuple[str, ...]
    prediction_change: float
    """Relative change of the mean prediction of the same rows."""
    verdict: str
    significant: frozenset[str]
    """Features that survive false-discovery control."""
    gfi: Mapping[str, tuple[float, float]] = field(repr=False)
    """At control and at anomaly, by feature."""
    scores: Mapping[str, Scores] = field(repr=False)
    comparison: Comparison = field(repr=False)
    """All features ranked."""

    def found(self, method: str, top: int) -> tuple[str, ...]:
        """The culprits among the first `top`."""
        return tuple(c for c in self.culprits if c in ranked(self.scores[method])[:top])


@dataclass(frozen=True)
class CleanPair:
    """Two windows in which nothing broke."""

    window: int
    significant: frozenset[str]
    scores: Mapping[str, Scores] = field(repr=False)
    comparison: Comparison = field(repr=False)


@dataclass(frozen=True)
class Magnitudes:
    """The non-zero |LFI| of one feature by equation, float64 [n] each."""

    feature: str
    by_equation: Mapping[str, npt.NDArray[np.float64]] = field(repr=False)


@dataclass(frozen=True)
class Findings:
    """All that a drill has to tell."""

    subject: str
    features: int
    control: str
    rows: int
    importances: Scores
    """GFI in the window before the first that was broken."""
    magnitudes: Magnitudes
    """Of the most important feature."""
    runs: Sequence[Run]
    clean: Sequence[CleanPair]
    left_out: Sequence[str]
    """Cases that do not apply, with the reason."""

    @property
    def default_top(self) -> int:
        """K: three in a hundred features, at least three."""
        return max(FEWEST_TOP, ceil(TOP_SHARE * self.features))

    @property
    def methods(self) -> list[str]:
        """The methods that every run was scored by."""
        return list(self.runs[0].scores) if self.runs else []


@dataclass(frozen=True)
class _Broken:
    """A window with a fault in it, before anybody asks about it."""

    case: Case
    window: int
    pick: int
    corruption: Corruption
    logged: Logged
    stability: Scores


@dataclass(frozen=True)
class Drill:
    """Runs a plan in a laboratory."""

    subject: Subject
    laboratory: Laboratory

    def __call__(self, plan: Plan, progress: Callable[[float], None]) -> Findings:
        """Log clean windows, each after its broken copies, then compare.

        So that no past holds the rows that broke as they would have been. And time passes before
        the copies: how far they are from the control is chance, and must not look like a season.

        Raises:
            RefusedBatch: broken examples are not such that the model server would take them.
        """
        slices = self.subject.slices
        first = max(1, len(slices) - plan.windows)
        steps = len(slices) + (len(slices) - first) * len(plan.cases) * plan.picks
        done = iter(range(1, 2 * steps + 1))

        def tick() -> None:
            progress(min(1.0, next(done) / steps))

        clean: list[Logged] = []
        broken: list[_Broken] = []
        importances: dict[str, float] = {}
        left_out: list[str] = []
        for number, piece in enumerate(slices):
            if number == first:
                importances = self.laboratory.importances(clean[-1])
            if number >= first:
                self.laboratory.skip(len(clean))
                for one in self._break(plan, number, importances, left_out):
                    broken.append(one)
                    tick()
            clean.append(self.laboratory.log(piece.examples, piece, healthy=True))
            tick()
        self.laboratory.settle()
        return Findings(
            subject=self.subject.name,
            features=len(self.subject.schema.features),
            control="same rows" if plan.same_rows else "earlier window",
            rows=clean[-1].example_count,
            importances=importances,
            magnitudes=self._magnitudes(max(importances, key=lambda name: importances[name])),
            runs=[self._run(plan, one, clean) for one in broken],
            clean=[self._clean_pair(number, clean) for number in range(first, len(slices))],
            left_out=left_out,
        )

    def _magnitudes(self, feature: str) -> Magnitudes:
        place = self.subject.schema.names().index(feature)
        examples = self.subject.slices[-1].examples.slice(0, LOOKED_AT)
        found = {}
        for equation, method in EQUATIONS.items():
            values = np.abs(self.laboratory.lfis(examples, method).values[:, place])
            found[equation] = values[values > 0]
        return Magnitudes(feature, found)

    def _break(
        self, plan: Plan, number: int, importances: Scores, left_out: list[str]
    ) -> Iterator[_Broken]:
        piece = self.subject.slices[number]
        for case in plan.cases:
            for pick in range(plan.picks):
                seed = plan.seed + 1000 * number + pick
                try:
                    corruption = case.corruption(self.subject.schema, seed, importances)
                except CaseDoesNotApply as error:
                    if str(error) not in left_out:
                        left_out.append(str(error))
                    continue
                table = corruption.apply(piece.examples, seed=seed).table
                logged = self.laboratory.log(table, piece)
                before = self.subject.slices[number if plan.same_rows else number - 1]
                stability = indices(self.subject.schema, before.examples, table)
                yield _Broken(case, number, pick, corruption, logged, stability)

    def _run(self, plan: Plan, one: _Broken, clean: Sequence[Logged]) -> Run:
        before = clean[one.window] if plan.same_rows else clean[one.window - 1]
        comparison = self.laboratory.compare(one.logged, before)
        expected = clean[one.window].mean_prediction
        return Run(
            case=one.case.name,
            title=one.case.title,
            window=one.window,
            pick=one.pick,
            culprits=one.corruption.culprits,
            prediction_change=one.logged.mean_prediction / expected - 1,
            verdict=Verdict.Name(comparison.verdict).removeprefix("VERDICT_"),
            significant=_significant(comparison),
            gfi={s.feature: (s.control_gfi, s.anomaly_gfi) for s in comparison.shifts},
            scores={**scores_of(comparison), PSI: one.stability},
            comparison=comparison,
        )

    def _clean_pair(self, number: int, clean: Sequence[Logged]) -> CleanPair:
        comparison = self.laboratory.compare(clean[number], clean[number - 1])
        before, now = (self.subject.slices[place].examples for place in (number - 1, number))
        scores = {**scores_of(comparison), PSI: indices(self.subject.schema, before, now)}
        return CleanPair(number, _significant(comparison), scores, comparison)


def _significant(comparison: Comparison) -> frozenset[str]:
    return frozenset(shift.feature for shift in comparison.shifts if shift.significant)
