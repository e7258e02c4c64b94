"""What can be wrong with a decision or an action, said so that the caller can mend it."""

from collections.abc import Iterable


class RunbookError(Exception):
    """Base of this service's errors. `field` is the path of the request field at fault."""

    def __init__(self, message: str, field: str | None = None) -> None:
        super().__init__(message)
        self.field = field


class IncidentNotFound(RunbookError):
    """No such incident."""


class MitigationNotFound(RunbookError):
    """No such mitigation in the incident."""


class InvalidPageToken(RunbookError):
    """A page token that no page ended with."""


class InvalidTransition(RunbookError):
    """The state machine has no way from the current state to the wanted one."""

    def __init__(self, subject: str, state: str, wanted: str, allowed: Iterable[str]) -> None:
        ways = ", ".join(sorted(allowed)) or "nowhere: it is final"
        super().__init__(f"{subject} is {state} and cannot become {wanted}; it can go to {ways}")


class DecisionRefused(RunbookError):
    """A decision that comes too late, or that somebody else has taken already."""


class StalePlan(RunbookError):
    """The decision is about another plan than the one in force."""


class NotAnApprover(RunbookError):
    """The caller may not take this decision."""


class MitigationsPaused(RunbookError):
    """Somebody has stopped all mitigations."""


class GuardRailRefused(RunbookError):
    """A guard rail forbids the plan just now, whoever wants it."""


class SurfaceBusy(RunbookError):
    """Another bot brings the message up to date."""

    def __init__(self, message: str, retry_after: float) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class SurfaceChanged(RunbookError):
    """What a bot knows of its message is out of date."""


class InvalidPolicy(RunbookError):
    """A policy file that cannot be followed. The text names the file and the path inside it."""


class ConditionFailed(RunbookError):
    """A condition could not be evaluated on an incident's facts."""


class PreviewUnavailable(RunbookError):
    """There is no preview. The text says why."""


class ImportancesUnavailable(RunbookError):
    """The aggregator does not say how much features matter; try again."""


class ActuatorConflict(RunbookError):
    """Somebody else changed what the mitigation was planned on."""


class ActuatorRefused(RunbookError):
    """The actuator will never do this; trying again changes nothing."""


class ActuatorUnavailable(RunbookError):
    """The actuator did not answer, or has not done what it was told; try again."""


class RegistryUnavailable(RunbookError):
    """Nobody can say which checkpoints there are. The text says why."""


class LineageUnavailable(RunbookError):
    """Nobody can say which models are downstream. The text says why."""


class PagerUnavailable(RunbookError):
    """A call could not be made; try again."""


class AnchorsUnavailable(RunbookError):
    """The audit's anchors cannot be read or written. The text says why."""


class LeaseLost(RunbookError):
    """Another worker has taken the work over."""


class StoreUnavailable(RunbookError):
    """The database cannot be reached or cannot take the change just now."""

    retry_after = 1.0


class TimelineUnavailable(RunbookError):
    """The timeline takes nothing just now."""
