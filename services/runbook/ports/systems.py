"""Systems that mitigations act in, and what stands outside the database."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Protocol

from services.runbook.domain.audit import Anchor
from services.runbook.domain.happening import Happening
from services.runbook.domain.kill_switch import Kill
from services.runbook.domain.plan import Change, Plan, Settings
from services.runbook.domain.rollback import Registered
from services.runbook.domain.work import Call


class Actuator(Protocol):
    """Carries a mitigation out in a real system.

    `key` names one mitigation; all methods are idempotent by it.
    """

    async def plan(self, plan: Plan) -> Change:
        """Return what is in force and what the plan would put in force. Changes nothing.

        Raises:
            ActuatorConflict: something else is in force than the plan replaces.
            ActuatorRefused: this actuator cannot carry such a plan out.
            ActuatorUnavailable: ask again.
        """

    async def apply(self, key: str, plan: Plan, change: Change) -> None:
        """Put `change.target` in force if `change.previous` is; once a key, whatever the attempts.

        Raises:
            ActuatorConflict: something else is in force, or the key was reverted. Nothing changed.
            ActuatorRefused: it will never be done.
            ActuatorUnavailable: it may or may not have been done: ask again.
        """

    async def observe(self, plan: Plan) -> Settings:
        """Return what is in force now, by lever of the plan."""

    async def revert(self, key: str, plan: Plan, change: Change) -> None:
        """Put `change.previous` back where `change.target` is in force, and refuse the key from
        now on.

        Raises:
            ActuatorUnavailable: it may or may not have been done: ask again.
        """


class Releases(Protocol):
    """Brings what a kill-switch or a mask took off back to a share of traffic."""

    async def expose(self, key: str, plan: Plan, percent: int, step: int) -> None:
        """Serve what the key switched off to that percent of traffic; the same share again changes
        nothing. 0 switches it off for all; at 100 it is still the key's to switch off again.

        A step below one that was carried out changes nothing: somebody decided otherwise since.

        Raises:
            ActuatorUnavailable: it may or may not have been done: ask again.
        """


class KilledFeatures(Protocol):
    """Which features are served at their baselines, and which ids left out of their lists. Survives
    everything but being told otherwise.

    Idempotent by key.
    """

    async def read(self) -> Mapping[tuple[str, str], Kill]:
        """Return what is switched off by (model, lever). Raises StoreUnavailable."""

    async def expose(self, key: str, percent: int, step: int) -> None:
        """Set the share of traffic that what the key switched off is served to, unless a later
        step did. Raises StoreUnavailable."""

    async def switch(self, key: str, model: str, change: Change) -> None:
        """Apply the change atomically. Raises ActuatorConflict, StoreUnavailable."""

    async def restore(self, key: str, model: str, change: Change) -> None:
        """Undo the change atomically and refuse the key from now on. Raises StoreUnavailable."""


class Registry(Protocol):
    """Which checkpoints of a model there are to go back to."""

    async def registered(self, model: str) -> Registered:
        """Return the model's checkpoints and which one is served.

        Changes nothing. Raises RegistryUnavailable, which says why.
        """


class Anchors(Protocol):
    """The audit's newest hash at various times, kept outside the database."""

    async def append(self, anchor: Anchor) -> None:
        """Keep an anchor; keeping one twice does no harm. Raises AnchorsUnavailable."""

    async def last(self) -> Anchor | None:
        """Return the anchor that was kept last. Raises AnchorsUnavailable."""

    async def read(self) -> Sequence[Anchor]:
        """Return every anchor, oldest first. Raises AnchorsUnavailable."""


class Timeline(Protocol):
    """What happened to models, kept where others tell of theirs."""

    async def record(self, happening: Happening) -> None:
        """Tell of a happening, once by its id. Raises TimelineUnavailable: tell it again."""


class Pager(Protocol):
    """Reaches people outside."""

    async def page(self, call: Call, model: str) -> None:
        """Make a call about an incident of the model; once, by the call's key.

        Raises:
            PagerUnavailable: it may or may not have been made: try again.
        """


class Clock(Protocol):
    """Wall time."""

    def now(self) -> datetime:
        """Return the time, UTC."""
