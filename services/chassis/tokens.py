"""Signed tokens: who calls, and which roles they hold."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum

import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from services.chassis.errors import Unauthenticated

_ALGORITHM = "EdDSA"
_AUDIENCE = "aftershock"


class Role(StrEnum):
    """What a caller may do. Admin may do everything."""

    PIPELINE = "pipeline"
    READER = "reader"
    PROPOSER = "proposer"
    APPROVER = "approver"
    DELEGATE = "delegate"
    """A bot that calls in the name of people: what they may do is looked up, not what it may."""
    ADMIN = "admin"


@dataclass(frozen=True)
class Principal:
    """An identified caller."""

    name: str
    roles: frozenset[Role]
    surface: str = ""
    """Through which a delegate spoke in this person's name, such as `slack`; empty: nobody did."""

    def holds(self, role: Role) -> bool:
        """Whether the caller holds the role, itself or as admin."""
        return role in self.roles or Role.ADMIN in self.roles


_LOCAL = Principal(name="local", roles=frozenset({Role.ADMIN}))


def identify(public_key: bytes | None, authorization: str | None) -> Principal:
    """Return who calls with this `authorization`, the metadata of a call or header of a request.

    Without a public key everybody is the admin `local`; settings allow that on loopback only.

    Raises:
        Unauthenticated: there is no token, or it does not verify.
    """
    if public_key is None:
        return _LOCAL
    if authorization is None or not authorization.startswith("Bearer "):
        raise Unauthenticated(
            "no token: send 'authorization: Bearer <token>' along (clients read it from "
            "AFTERSHOCK_TOKEN)"
        )
    return verify_token(public_key, authorization.removeprefix("Bearer "))


def new_key_pair() -> tuple[bytes, bytes]:
    """Return a fresh Ed25519 key pair as PEM: (private, public)."""
    key = Ed25519PrivateKey.generate()
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return private, public


def issue_token(private_key: bytes, name: str, roles: Iterable[Role], lifetime: timedelta) -> str:
    """Return a token for `name` that expires after `lifetime`."""
    now = datetime.now(UTC)
    claims = {
        "sub": name,
        "aud": _AUDIENCE,
        "roles": sorted(roles),
        "iat": now,
        "exp": now + lifetime,
    }
    return jwt.encode(claims, private_key, algorithm=_ALGORITHM)


def verify_token(public_key: bytes, token: str) -> Principal:
    """Return the caller that `token` identifies.

    Raises:
        Unauthenticated: the token is malformed, expired, of another audience or signed by another
            key.
    """
    try:
        claims = jwt.decode(
            token,
            public_key,
            algorithms=[_ALGORITHM],
            audience=_AUDIENCE,
            options={"require": ["sub", "exp", "aud"]},
        )
        roles = frozenset(Role(role) for role in claims.get("roles", []))
    except (jwt.InvalidTokenError, ValueError) as error:
        raise Unauthenticated(f"the token does not verify ({error}): ask for a new one") from error
    return Principal(name=claims["sub"], roles=roles)
