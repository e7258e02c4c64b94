"""The client: where the services are, who is calling, and every operation on them."""

from aftershock._aggregator_client import AggregatorClient
from aftershock._attribution_client import AttributionClient
from aftershock._audit_client import AuditClient
from aftershock._base import DEFAULT_BUFFER_BYTES, DEFAULT_TIMEOUT
from aftershock._graph_client import GraphClient
from aftershock._lineage_client import LineageClient
from aftershock._log import ExampleLog, OnFull, Population
from aftershock._runbook_client import RunbookClient


class Client(
    AttributionClient, AggregatorClient, LineageClient, GraphClient, RunbookClient, AuditClient
):
    """Talks to Aftershock and waits for its answers. Threads may share it.

    Every operation may raise ConfigurationError or ServiceError. Answers are the contract's own
    messages, `aftershock.v1`. A model is named by its id, `ads_ctr`.
    """

    def examples(
        self,
        population: Population = "considered",
        *,
        on_full: OnFull = "drop",
        sample: float = 1.0,
        seed: int = 0,
        timeout: float = DEFAULT_TIMEOUT,
        buffer_bytes: int = DEFAULT_BUFFER_BYTES,
    ) -> ExampleLog:
        """Return a log to send the model's examples to, for use as a context manager.

        It sends in the background and never slows the pipeline down, but for the first batch, whose
        answer it waits for, so that a wrong schema shows at once.

        Args:
            population: which examples these are: "considered" for ranking, or "displayed".
            on_full: what `send` does with no room left: "drop" and count, or "wait", for replays
                and backfills, which lose nothing or raise.
            sample: share of the examples to send, drawn one by one. Considered and displayed ones
                weigh the same in a window whatever the share of each.
            seed: of the draw: the same examples in the same order give the same sample.
            timeout: seconds to wait for the first answer, and at the end for the last; with
                on_full="wait", seconds without any answer that it takes to give up.
            buffer_bytes: Arrow bytes that may await their answer.

        Raises:
            ConfigurationError: an address, the model or the extra `arrow` is missing.
            ValueError: an unknown population or way to meet a full buffer, or no share.
        """
        return self._open_log(
            self._channels,
            population,
            on_full=on_full,
            sample=sample,
            seed=seed,
            timeout=timeout,
            buffer_bytes=buffer_bytes,
        )
