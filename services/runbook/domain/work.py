"""What the outbox holds: effects that a transaction wants and that a worker carries out."""

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum


class WorkKind(StrEnum):
    """The effects."""

    PROPOSE = "PROPOSE"
    """Ask the policies what to do about an incident."""
    APPLY = "APPLY"
    """Carry an approved mitigation out."""
    REVERT = "REVERT"
    """Undo a mitigation."""
    VERIFY = "VERIFY"
    """Look at what later windows say."""
    EXPOSE = "EXPOSE"
    """Bring a release to its stage."""
    ESCALATE = "ESCALATE"
    """Call somebody about an incident's proposal."""
    LAPSE = "LAPSE"
    """See to the leases of an incident's mitigations."""
    PAGE = "PAGE"
    """Tell somebody outside that they are called."""


AT_ONCE = datetime(1970, 1, 1, tzinfo=UTC)
"""When work is due that waits for nothing: not even for a clock that is set back."""


@dataclass(frozen=True)
class Call:
    """Somebody is called."""

    subject: str
    """Resource name of the incident or mitigation."""
    to: str
    """A person or a rota."""
    message: str

    @property
    def key(self) -> str:
        """Names this call; the same one, made again, has the same key."""
        digest = hashlib.sha256(f"{self.to}\n{self.message}".encode()).hexdigest()
        return f"{self.subject}/calls/{digest[:16]}"


@dataclass(frozen=True)
class Work:
    """One effect that is wanted."""

    kind: WorkKind
    incident: str
    mitigation: str | None = None
    call: Call | None = None
    """To make, of PAGE."""


@dataclass(frozen=True)
class Claim:
    """Work that one worker holds for the length of a lease."""

    id: int
    work: Work
    attempt: int
    """1 for the first. It is also the fence: a later claim of the same work has a higher one."""
