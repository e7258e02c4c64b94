"""Names of the keys. All of one model's share its hash tag, and so one slot of a cluster.

as:models                          set      models with anything kept
as:{m}:meta                        hash     latest checkpoint, watermarks, counters, own rules
as:{m}:checkpoint:<digest>         value    checkpoint
as:{m}:windows                     zset     window ids by start
as:{m}:open                        zset     those without a summary, by end
as:{m}:reported                    zset     those with outcomes and no event, by end
as:{m}:shifts                      stream   events
as:{m}:lease                       value    the replica at work on the model
as:{m}:panes                       hash     packed panes by window and block: those of windows
                                            without a summary and of the latest window
as:{m}:latest                      hash     the latest window: checkpoint, step, bounds
as:{m}:latest:<pop>                zset     its panes of one population and those that wait
as:{m}:latest:waiting              set      those that wait for the next step
as:{m}:window:<id>                 hash     end, checkpoint, counts, outcomes, progress
as:{m}:window:<id>:blocks          set      ids of stored blocks
as:{m}:window:<id>:reports         set      ids of outcome reports
as:{m}:window:<id>:folded          set      ids of blocks whose panes were folded
as:{m}:window:<id>:folds           list     what they were folded into, until the window closes
as:{m}:window:<id>:summary         value    packed summary, from then on
as:{m}:window:<id>:sample          hash     kept examples by batch, their number by population
as:{m}:window:<id>:sample:<pop>    zset     kept batches of one population, by priority
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from services.aggregator.domain.window import ModelRules, window_id

MODELS = "as:models"
RULE_FIELDS = ("lateness", "retention")
"""Of a model's own rules, in its meta: microseconds and seconds."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


@dataclass(frozen=True)
class WindowKeys:
    """Keys of one window."""

    state: str

    @property
    def blocks(self) -> str:
        """Ids of stored blocks."""
        return f"{self.state}:blocks"

    @property
    def reports(self) -> str:
        """Ids of outcome reports."""
        return f"{self.state}:reports"

    @property
    def summary(self) -> str:
        """Packed summary."""
        return f"{self.state}:summary"

    @property
    def sample(self) -> str:
        """Kept examples."""
        return f"{self.state}:sample"

    @property
    def sample_orders(self) -> tuple[str, str]:
        """Kept batches, considered and displayed."""
        return self.sample_order("considered"), self.sample_order("displayed")

    def sample_order(self, population: str) -> str:
        """Kept batches of one population."""
        return f"{self.sample}:{population}"

    @property
    def folded(self) -> str:
        """Ids of blocks whose panes were folded."""
        return f"{self.state}:folded"

    @property
    def folds(self) -> str:
        """What they were folded into, packed panes."""
        return f"{self.state}:folds"

    @property
    def others(self) -> tuple[str, ...]:
        """All but the ids of stored blocks."""
        kept = self.state, self.reports, self.summary, self.sample, self.folded, self.folds
        return (*kept, *self.sample_orders)


@dataclass(frozen=True)
class ModelKeys:
    """Keys of one model."""

    model: str

    @property
    def meta(self) -> str:
        """Latest checkpoint, watermarks, counters, own rules."""
        return self._key("meta")

    @property
    def windows(self) -> str:
        """All windows."""
        return self._key("windows")

    @property
    def open(self) -> str:
        """Windows without a summary."""
        return self._key("open")

    @property
    def reported(self) -> str:
        """Windows with outcomes and no event."""
        return self._key("reported")

    @property
    def shifts(self) -> str:
        """The stream of events."""
        return self._key("shifts")

    @property
    def lease(self) -> str:
        """The replica at work on the model."""
        return self._key("lease")

    @property
    def panes(self) -> str:
        """Packed panes by `pane_name`."""
        return self._key("panes")

    @property
    def latest(self) -> str:
        """The latest window."""
        return self._key("latest")

    @property
    def latest_orders(self) -> tuple[str, str]:
        """Its panes by event time, considered and displayed."""
        return self._key("latest:considered"), self._key("latest:displayed")

    @property
    def latest_waiting(self) -> str:
        """Panes that wait for its next step."""
        return self._key("latest:waiting")

    def checkpoint(self, digest: str) -> str:
        """One checkpoint."""
        return self._key(f"checkpoint:{digest}")

    def window(self, start: datetime) -> WindowKeys:
        """The keys of the window that starts then."""
        return WindowKeys(self._key(f"window:{window_id(start)}"))

    def _key(self, rest: str) -> str:
        return f"as:{{{self.model}}}:{rest}"


def pane_name(identifier: str, block: str) -> str:
    """Return the name of a block's pane among its model's, by the window's id and the block's."""
    return f"{identifier}:{block}"


def micros(time: datetime) -> int:
    """Return a time as Redis keeps it: whole microseconds since 1970, exact as a score."""
    return (time - _EPOCH) // _MICROSECOND


def from_micros(number: int) -> datetime:
    """Return the time that `micros` made the number of."""
    return _EPOCH + number * _MICROSECOND


def rules_of(lateness: bytes | None, retention: bytes | None) -> ModelRules:
    """Return a model's own rules by the values of RULE_FIELDS."""
    return ModelRules(
        allowed_lateness=int(lateness) * _MICROSECOND if lateness else None,
        retention=timedelta(seconds=int(retention)) if retention else None,
    )
