"""What a kill-switch does to the set of a model's killed features."""

from collections.abc import Collection, Iterable

from services.runbook.domain.errors import ActuatorConflict
from services.runbook.domain.plan import KILLED, SERVED, Change, Settings


def settings_of(features: Iterable[str], killed: Collection[str]) -> Settings:
    """Return how each feature is served, given which of the model's are killed."""
    return {feature: KILLED if feature in killed else SERVED for feature in features}


def switched(killed: frozenset[str], change: Change) -> frozenset[str]:
    """Return the killed features after the change.

    Raises:
        ActuatorConflict: they are not as the change expects them.
    """
    found = settings_of(change.previous, killed)
    if found != change.previous:
        others = ", ".join(f for f in change.previous if found[f] != change.previous[f])
        raise ActuatorConflict(f"somebody else switched {others} since this was planned")
    return _with(killed, change.target)


def restored(killed: frozenset[str], change: Change) -> frozenset[str]:
    """Return the killed features with the change undone, where it is still in force."""
    in_force = settings_of(change.target, killed)
    ours = {f: change.previous[f] for f in change.target if in_force[f] == change.target[f]}
    return _with(killed, ours)


def _with(killed: frozenset[str], settings: Settings) -> frozenset[str]:
    on = {feature for feature, setting in settings.items() if setting == KILLED}
    return (killed - settings.keys()) | on
