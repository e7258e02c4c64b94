"""Two windows are held against each other, feature by feature."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from services.aggregator.domain.control import Control, ControlSelection, choose_control
from services.aggregator.domain.diagnosis import History, diagnose
from services.aggregator.domain.errors import CheckpointMismatch, NoControl
from services.aggregator.domain.history import pair_up, phases_of
from services.aggregator.domain.shift import Comparison, RankBy
from services.aggregator.domain.summary import Summary
from services.aggregator.domain.verdict import decide
from services.aggregator.domain.window import Window
from services.aggregator.measure import Measure
from services.aggregator.ports import CheckpointStore, WindowReader

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
        past = await self._history(anomaly, earlier)
        # The latest window may be held against the hour in which it lies.
        lag = abs(interval.start - chosen.window.place.start) or interval.end - interval.start
        windows = [window for window, _ in past]
        pairs = pair_up(windows, lag)
        history = History(
            summaries=[summary for _, summary in past],
            pairs=pairs,
            phases=phases_of(windows, pairs, anomaly, lag),
        )
        diagnosis = await asyncio.to_thread(
            diagnose, checkpoint.features, control_summary, anomaly_summary, history, rank_by
        )
        ranking = diagnosis.ranking
        significant = ranking.significant_count
        return Comparison(
            control=chosen,
            anomaly=anomaly,
            verdict=decide(control_summary, anomaly_summary, significant, self.fewest_examples),
            feature_count=len(ranking.shifts),
            significant_count=significant,
            shifts=ranking.shifts[:top_k],
            history_count=len(pairs),
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

    async def _history(
        self, anomaly: Window, earlier: Sequence[Window]
    ) -> list[tuple[Window, Summary]]:
        """Return the latest healthy windows like `anomaly` with their summaries, oldest first."""
        healthy = [
            window
            for window in earlier
            if window.is_healthy
            and window.is_comparable(anomaly)
            and window.example_count >= self.fewest_examples
        ][: self.history_windows]
        healthy.reverse()
        summaries = await self.windows.summaries(healthy)
        return [
            (window, summary)
            for window, summary in zip(healthy, summaries, strict=True)
            if summary is not None and summary.example_count
        ]
