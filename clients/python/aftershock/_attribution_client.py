"""What the client asks of attribution."""

from datetime import datetime
from pathlib import Path

from aftershock import _attribution_calls as calls
from aftershock._base import RACE_TIMEOUT
from aftershock._caller import Caller
from aftershock._log import Examples, Population
from aftershock.v1.attribution_service_pb2 import ExplainCheckpointResponse, RaceStanding, Racing
from aftershock.v1.checkpoint_pb2 import Checkpoint


class AttributionClient(Caller):
    """Checkpoints and races."""

    def race(
        self,
        examples: Examples,
        *,
        racing: Racing,
        event_time: datetime,
        population: Population = "considered",
        seed: int = 0,
        timeout: float = RACE_TIMEOUT,
    ) -> RaceStanding:
        """Find the features that matter most to examples, without ablating every one in each.

        STATISTICAL: with the probability `racing.confidence`, no feature that is OUT or TOO_RARE is
        among the `racing.top_k` that ablating everything finds; if `settled`, those TOP are they.
        Nothing goes into windows.

        Args:
            examples: a batch as `ExampleLog.send` takes it.
            racing: how many are sought, at what confidence.
            event_time: about when they were scored, with a time zone.
            population: which examples these are.
            seed: of the random order in which they are sent.
            timeout: seconds that all of it may take.

        Raises:
            InvalidExamples: the examples cannot be encoded.
            InvalidRequest: they do not fit the checkpoint, or it has no more features than sought.
        """
        return self._race(
            self._channels,
            examples,
            racing=racing,
            event_time=event_time,
            population=population,
            seed=seed,
            timeout=timeout,
        )

    def checkpoints(self) -> list[Checkpoint]:
        """Return the checkpoints that attribution holds."""
        return self._run(calls.list_checkpoints())

    def explain_checkpoint(self, name: str | None = None) -> ExplainCheckpointResponse:
        """Return how a checkpoint is ablated, what falls back and why, and what it costs.

        Args:
            name: of a checkpoint, or of a model for its newest; the client's model if left out.
        """
        return self._run(calls.explain_checkpoint(self._model_name(name)))

    def load_checkpoint(self, folder: str | Path) -> Checkpoint:
        """Load a checkpoint folder, which lies on attribution's disk under an allowed root."""
        return self._run(calls.load_checkpoint(str(folder)))
