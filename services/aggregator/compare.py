"""Two windows are held against each other, feature by feature."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from services.aggregator.domain.control import Control, ControlSelection, choose_control
from services.aggregator.domain.diagnosis import diagnose
from services.aggregator.domain.errors import CheckpointMismatch, NoControl
from services.aggregator.domain.shift import Comparison, RankBy
from services.aggregator.domain.verdict import decide
from services.aggregator.domain.window import Window
from services.aggregator.measure import Measure
from services.aggregator.ports import CheckpointStore, WindowReader
from services.aggregator.recall import Recall

_WEEK = timedelta(days=7)


@dataclass(frozen=True)
class Compare:
    """Ranks the features by what speaks for their corruption since a control window.

    An open window is compared as its live panes are now; its state says so. Both windows were
    refused at ingest if their checkpoint had been trained on them.
    """

    checkpoints: CheckpointStore
    windows: WindowReader
    measure: Measure
    recall: Recall
    fewest_examples: int
    """With fewer in either window there is no verdict."""
    history_windows: int
    """How many earlier healthy windows the historical noise is estimated from."""

    async def __call__(
        self,
        anomaly: Window,
        control: Window | ControlSelection,
        top_k: int,
        rank_by: RankBy = RankBy.EVIDENCE,
    ) -> Comparison:
        """Compare with a control of the caller's, or choose one.

        Raises:
            NoControl: no earlier window can serve, or the window is its own control.
            CheckpointMismatch: the control was scored by another checkpoint or method.
            CorruptValue: a summary does not match its checksum.
        """
        interval = anomaly.place
        within_a_week = _WEEK // (interval.end - interval.start) + 1
        earlier = await self.windows.windows(anomaly.model, interval.start, within_a_week)
        chosen = self._choose(anomaly, control, earlier)
        control_summary = await self.measure(chosen.window)
        anomaly_summary = await self.measure(anomaly)
        checkpoint = await self.checkpoints.find(anomaly.model, anomaly.digest)
        # The latest window may be held against the hour in which it lies.
        lag = abs(interval.start - chosen.window.place.start) or interval.end - interval.start
        history = await self.recall(
            checkpoint.features, self._healthy(anomaly, earlier), anomaly, lag
        )
        diagnosis = await asyncio.to_thread(
            diagnose,
            checkpoint.features,
            control_summary,
            anomaly_summary,
            history,
            rank_by,
            top_k=top_k,
        )
        ranking = diagnosis.ranking
        significant = ranking.significant_count
        return Comparison(
            control=chosen,
            anomaly=anomaly,
            verdict=decide(control_summary, anomaly_summary, significant, self.fewest_examples),
            feature_count=ranking.feature_count,
            significant_count=significant,
            shifts=ranking.shifts,
            history_count=len(history.pairs),
            rank_by=rank_by,
            chance=diagnosis.chance,
        )

    def _choose(
        self, anomaly: Window, control: Window | ControlSelection, earlier: Sequence[Window]
    ) -> Control:
        if isinstance(control, ControlSelection):
            return choose_control(anomaly, earlier, control, self.fewest_examples)
        if control.name == anomaly.name:
            raise NoControl(
                f"{anomaly.name} cannot be its own control: name another window",
                field="control_window",
            )
        if not control.is_comparable(anomaly):
            raise CheckpointMismatch(
                f"{control.name} and {anomaly.name} were not scored by the same checkpoint with "
                "the same method: their importances are not comparable",
                field="control_window",
            )
        return Control(control, selection=None, note="")

    def _healthy(self, anomaly: Window, earlier: Sequence[Window]) -> Sequence[Window]:
        """Return the latest healthy windows like `anomaly`, oldest first."""
        healthy = [
            window
            for window in earlier
            if window.is_healthy
            and window.is_comparable(anomaly)
            and window.example_count >= self.fewest_examples
        ]
        return healthy[: self.history_windows][::-1]
