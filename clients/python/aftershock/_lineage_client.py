"""What the client tells and asks of lineage."""

from collections.abc import Iterable, Mapping
from datetime import datetime

from aftershock import _lineage_calls as calls
from aftershock._caller import Caller
from aftershock.v1.lineage_service_pb2 import ListedEvent, RegisterLineageRequest


class LineageClient(Caller):
    """What feeds what, and what happened to it."""

    def register_lineage(self, lineage: RegisterLineageRequest) -> bool:
        """Tell what feeds what; False if it was told before.

        Args:
            lineage: nodes, edges and who tells (`provenance`). Without a time it is so now; without
                a request id, what is equal and of the same time makes an equal one: it counts once.
        """
        return self._run(calls.register_lineage(lineage))

    def record_event(
        self,
        kind: str,
        node: str,
        summary: str,
        *,
        time: datetime | None = None,
        actor: str = "",
        details: Mapping[str, object] | None = None,
        event_id: str | None = None,
    ) -> bool:
        """Tell of something that happened to a node; False if it was told before.

        Args:
            kind: "deploy", "pipeline-run", "failed-run", "schema-change", "checkpoint-publish",
                "flag-flip", "incident", "lifecycle-change", "rollback" or "audit-finding".
            node: such as `job:airflow:encode` or `model:ads_ctr`.
            summary: in plain words.
            time: with a time zone; now if left out.
            actor: who or what did it.
            details: anything more, as JSON has it.
            event_id: an event that arrives twice counts once. Equal arguments, with an equal time,
                make an equal one if it is left out.

        Raises:
            ValueError: there is no such kind, or the time has no zone.
        """
        flow = calls.record_event(
            kind, node, summary, time=time, actor=actor, details=details, event_id=event_id
        )
        return self._run(flow)

    def events(
        self,
        nodes: Iterable[str] = (),
        *,
        depth: int = 0,
        start: datetime | None = None,
        end: datetime | None = None,
        kinds: Iterable[str] = (),
        limit: int | None = None,
    ) -> list[ListedEvent]:
        """Return what happened, the latest first.

        Args:
            nodes: to these; to all if left out.
            depth: and to what lies so many edges upstream of them.
            start: since then, with a time zone; since the oldest kept if left out.
            end: before then; until now if left out.
            kinds: of these kinds, as in `record_event`; of all if left out.
            limit: so many at most.

        Raises:
            ValueError: there is no such kind, or a time has no zone.
        """
        flow = calls.list_events(nodes, depth=depth, start=start, end=end, kinds=kinds, limit=limit)
        return self._run(flow)
