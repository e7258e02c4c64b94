"""One corruption, seen against three controls, ranked by every method.

`earlier_window`: the control is the clean window before, as in real use. `same_rows`: the control
is the same examples before they broke. `distractors`: like `earlier_window`, with ten harmless
drifts elsewhere.
"""

from collections.abc import Mapping, Sequence
from concurrent.futures import Executor, Future
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from clients.drill.series import Series
from services.aggregator.domain.diagnosis import History, diagnose
from services.aggregator.domain.portrait import Frame, portrait_of
from services.aggregator.domain.signals import shift_of_magnitudes
from tests.bench.diagnosis.draws import draw
from tests.bench.diagnosis.peers import INDICES, Drift, drifts_of
from tests.bench.diagnosis.scoring import Seen
from tests.bench.diagnosis.windows import Windows

CONTROLS = ("earlier_window", "same_rows", "distractors")
METHODS = (
    "ours",
    "gfi",
    "captum_gfi",
    "mfc",
    "psi",
    "psi_history",
    "ks",
    "ks_history",
    "evidently",
)
VISIBLE = 0.01

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Scored:
    """Every feature's score by each method, [M], and which of them our verdict flags, bool [M]."""

    scores: Mapping[str, Floats]
    flags: NDArray[np.bool_]
    drifts: Sequence["Future[Drift]"]
    """What `evidently` says of columns, later ones instead of earlier ones; of no others."""

    def by(self, method: str) -> Floats:
        """Return the scores by a method."""
        if method != "evidently":
            return self.scores[method]
        scores = np.zeros(len(self.flags))
        for drift in self.drifts:
            for place, excess in drift.result().excess.items():
                scores[place] = excess
        return scores


@dataclass(frozen=True)
class Trial:
    """What became of one corruption."""

    case: str
    culprits: Sequence[int]
    is_visible: bool
    """The mean prediction moved by one in a hundred or more."""
    by_control: Mapping[str, Scored]


@dataclass(frozen=True)
class Side:
    """One side of a comparison."""

    seen: Seen
    series: Sequence[Series]


@dataclass(frozen=True)
class Laboratory:
    """Compares one window of one model with what came before it."""

    windows: Windows
    number: int
    pool: Executor
    """Where `evidently` works beside us."""

    def trial(self, case: str, pick: int) -> Trial:
        """Break one draw of the case's features."""
        world, clean = self.windows.world, self.windows.clean(self.number)
        before, table = self.earlier, self.windows.table(self.number)
        gfi = before.seen.summary.gfi
        seed = (self.windows.seed, self.number, pick)
        drawn = draw(case, world.schema, table, gfi, seed)
        broken = drawn.corruption.apply(table, self.number).table
        names = world.schema.names()
        culprits = [names.index(name) for name in drawn.corruption.culprits]
        drifting = [names.index(name) for name in drawn.drifts.culprits]
        anomaly = self._side(broken)
        drifted = self._side(drawn.drifts.apply(broken, self.number).table)
        same = Side(clean, self.windows.series(self.number))
        return Trial(
            case=case,
            culprits=culprits,
            is_visible=abs(anomaly.seen.mean_prediction / clean.mean_prediction - 1) >= VISIBLE,
            by_control={
                "earlier_window": self._compared(before, anomaly, culprits, [self.drift]),
                "same_rows": self._compared(same, anomaly, culprits, []),
                "distractors": self._compared(
                    before, drifted, [*culprits, *drifting], [self.drift]
                ),
            },
        )

    def untouched(self, *, with_evidently: bool) -> Scored:
        """Compare the clean window with the one before; all of its columns take the peer long."""
        side = Side(self.windows.clean(self.number), self.windows.series(self.number))
        drifts = [self.drift] if with_evidently else []
        return self._compared(self.earlier, side, [], drifts)

    @cached_property
    def drift(self) -> "Future[Drift]":
        """What the peer says of all columns from the clean window before to this one."""
        places = range(len(self.windows.world.schema.features))
        return self._submitted(self.earlier.series, self.windows.series(self.number), places)

    @property
    def earlier(self) -> Side:
        """The window before."""
        return Side(self.windows.clean(self.number - 1), self.windows.series(self.number - 1))

    def _compared(
        self,
        control: Side,
        anomaly: Side,
        changed: Sequence[int],
        drifts: Sequence["Future[Drift]"],
    ) -> Scored:
        """Score all features; `changed` are the columns that the peer has not seen yet."""
        schema = self.windows.world.schema
        ours, flags = self._diagnosed(control.seen, anomaly.seen)
        features = self.windows.scoring.features
        frame = Frame.of(features)
        hung = [portrait_of(frame, side.seen.summary) for side in (control, anomaly)]
        scores = {
            "ours": ours,
            "gfi": np.abs(anomaly.seen.summary.gfi - control.seen.summary.gfi),
            "captum_gfi": np.abs(anomaly.seen.relative_gfi - control.seen.relative_gfi),
            "mfc": np.nan_to_num(shift_of_magnitudes(frame, *hung), nan=-1.0),
        }
        for name, index in INDICES.items():
            scores[name] = index(schema, control.series, anomaly.series)
            scores[f"{name}_history"] = scores[name] / self._noise[name]
        if changed:
            drifts = [*drifts, self._submitted(control.series, anomaly.series, changed)]
        return Scored(scores, flags, drifts)

    def _submitted(
        self, control: Sequence[Series], anomaly: Sequence[Series], places: Sequence[int]
    ) -> "Future[Drift]":
        columns = [(control[j], anomaly[j]) for j in places]
        features = [self.windows.world.schema.features[j] for j in places]
        return self.pool.submit(drifts_of, features, columns, tuple(places))

    def _side(self, table: pa.Table) -> Side:
        return Side(self.windows.scoring(table), self.windows.series_of(table))

    def _diagnosed(self, control: Seen, anomaly: Seen) -> tuple[Floats, NDArray[np.bool_]]:
        """Return ours: minus the rank, and the verdict's flags, in the features' order."""
        features = self.windows.scoring.features
        found = diagnose(features, control.summary, anomaly.summary, self._history).ranking.shifts
        by_name = {shift.feature.name: shift for shift in found}
        in_order = [by_name[feature.name] for feature in features]
        ranks = np.array([-float(shift.rank) for shift in in_order])
        return ranks, np.array([shift.significant for shift in in_order])

    @cached_property
    def _history(self) -> History:
        """Return the windows before, each held against the one before it."""
        return History.of(
            Frame.of(self.windows.scoring.features),
            summaries=[self.windows.clean(n).summary for n in range(self.number)],
            pairs=[(n, n - 1) for n in range(1, self.number)],
            phases=np.zeros(self.number + 1, dtype=np.intp),
        )

    @cached_property
    def _noise(self) -> Mapping[str, Floats]:
        """Return what indices usually are from one window to the next, kept from vanishing."""
        return {name: self._usual(name) for name in INDICES}

    def _usual(self, index: str) -> Floats:
        seen = [self.windows.since_before(index, n) for n in range(1, self.number)]
        noise = np.sqrt(np.mean(np.square(seen), axis=0))
        return np.asarray(noise + np.median(noise))
