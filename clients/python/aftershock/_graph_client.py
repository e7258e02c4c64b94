"""What the client tells and asks of the lineage graph."""

from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta

from aftershock import _graph_calls as calls
from aftershock._backoff import Backoff
from aftershock._caller import Caller
from aftershock._errors import Unavailable
from aftershock._group_calls import GroupTest, group_test
from aftershock._log import logger
from aftershock.v1.lineage_pb2 import PropagationWarning
from aftershock.v1.lineage_service_pb2 import (
    FeatureSources,
    FindCommonCausesResponse,
    GetBlastRadiusResponse,
    GetLineageResponse,
    OutputFeed,
    TracePropagationResponse,
)
from aftershock.v1.window_pb2 import Window


class GraphClient(Caller):
    """How shifts spread, and where they came from.

    Nodes are named as `feature:user_embedding`, `model:ads_ctr`, `output:ads_ctr/score`,
    `job:NAMESPACE:NAME`, `dataset:NAMESPACE:NAME` or `column:NAMESPACE:DATASET:COLUMN`.
    """

    def register_features(
        self, features: Iterable[FeatureSources], *, since: datetime | None = None
    ) -> bool:
        """Tell what features are made of; False if the same was told before.

        What was told of the same features in this way ends then.

        Args:
            features: with the nodes that each is computed of.
            since: with a time zone; now if left out.
        """
        return self._run(calls.register_features(features, since))

    def register_model(
        self,
        model: str,
        *,
        features: Iterable[str] = (),
        feeds: Iterable[OutputFeed] = (),
        owner: str = "",
        description: str = "",
        since: datetime | None = None,
    ) -> bool:
        """Tell what feeds a model and what it feeds; False if the same was told before.

        What was told of the same model in this way ends then.

        Args:
            model: its id.
            features: names of features that feed it. Those of checkpoints whose importances the
                aggregator keeps are known without.
            feeds: which of its outputs become which features.
            owner: who answers for it.
            description: in plain words.
            since: with a time zone; now if left out.
        """
        flow = calls.register_model(
            model, features, feeds, owner=owner, description=description, since=since
        )
        return self._run(flow)

    def lineage(
        self, node: str, *, depth: int = 3, as_of: datetime | None = None
    ) -> GetLineageResponse:
        """Return the graph around a node, as it was at a time; now if left out."""
        return self._run(calls.lineage(node, depth, as_of))

    def trace_propagation(
        self,
        node: str,
        *,
        start: datetime | None = None,
        end: datetime | None = None,
        depth: int = 6,
    ) -> TracePropagationResponse:
        """Return what is downstream of a shift, and where it came from.

        Args:
            node: that shifted.
            start: windows that start from then on count; a day before the end if left out.
            end: and before then; now if left out.
            depth: edges up and down.

        Raises:
            NotFound: nobody told of the node.
        """
        return self._run(calls.trace_propagation(node, start, end, depth))

    def common_causes(
        self,
        shifted: str | Iterable[str],
        *,
        time: datetime | None = None,
        depth: int = 6,
        lookback: timedelta | None = None,
        limit: int = 10,
        with_others: bool = False,
    ) -> FindCommonCausesResponse:
        """Return what best explains several shifts, the most likely first.

        Args:
            shifted: the nodes that did, or the name of a window whose significant features did.
            time: when the nodes did; now if left out.
            depth: edges upstream.
            lookback: events so long before count; a day if left out.
            limit: most causes.
            with_others: of a window: what other models' windows of about that time showed belongs
                to what is explained.

        Raises:
            NotFound: nobody told of a node, or nothing is kept of the window.
        """
        flow = calls.common_causes(shifted, time, depth, lookback, limit, with_others=with_others)
        return self._run(flow)

    def blast_radius(
        self, nodes: Iterable[str], *, within: str | None = None, depth: int = 6
    ) -> GetBlastRadiusResponse:
        """Return which models would notice if nodes were switched off together.

        Args:
            nodes: which.
            within: a model, if features are switched off in it only, as by a kill-switch.
            depth: edges downstream.

        Raises:
            NotFound: nobody told of a node, or of the model.
        """
        return self._run(calls.blast_radius(nodes, within, depth))

    def test_group(
        self,
        nodes: Iterable[str],
        *,
        model: str | None = None,
        window: Window | str | None = None,
        control: Window | str | None = None,
        earlier: int = 6,
    ) -> GroupTest:
        """Return how the joint importance of what nodes are or feed moved, and each one's own.

        The features are ablated together, as if they were one, on examples that are kept of a
        window, of its control and of healthy windows before that.

        Args:
            nodes: features, or pipelines, datasets and columns that feed some; two features or more
                of the model together.
            model: its id; the client's if left out.
            window: itself, its name or its id; the newest that is closed if left out.
            control: likewise; the newest healthy one before, if left out.
            earlier: at most so many windows before the control tell how much importances change
                while nothing is broken.

        Raises:
            NotFound: no such node or window; the nodes feed fewer than two of its features; its
                examples are not kept any more, or attribution does not hold its checkpoint.
        """
        flow = group_test(
            nodes, self._model_name(model), window=window, control=control, earlier=earlier
        )
        return self._run(flow)

    def watch_propagation(
        self,
        model: str | None = None,
        *,
        cursor: str = "",
        depth: int = 6,
        least_expected_shift: float = 0.0,
    ) -> Iterator[PropagationWarning]:
        """Yield shifts that are on their way to a model, before it feels them.

        Ends when the client is closed. A broken stream is opened again after the last warning.

        Args:
            model: its id; the client's if left out.
            cursor: of the last warning that was seen; from now on if left out.
            depth: edges upstream.
            least_expected_shift: weaker ones are left out.
        """
        backoff = Backoff()
        while True:
            call = calls.watch_propagation(
                self._model_name(model), cursor, depth, least_expected_shift
            )
            try:
                for answer in self._stream(call):
                    backoff.reset()
                    cursor = answer.cursor or answer.warning.cursor or cursor
                    if answer.HasField("warning"):
                        yield answer.warning
            except Unavailable as error:
                if not self._channels.closed.is_set():
                    logger.warning("%s; trying again", error)
            if self._channels.closed.wait(backoff.pause()):
                return
