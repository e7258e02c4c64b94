"""Whom delegates may speak for: people, what they may do, and how chat systems know them."""

import tomllib
from collections import Counter
from pathlib import Path

from pydantic import BaseModel, ConfigDict, RootModel, ValidationError, model_validator

from services.chassis.errors import DependencyUnavailable, UnknownPerson
from services.chassis.tokens import Principal, Role

_THROUGH_CHAT = frozenset({Role.READER, Role.PROPOSER, Role.APPROVER})


class _Person(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    roles: frozenset[Role] = frozenset()
    identities: tuple[str, ...]

    @model_validator(mode="after")
    def _is_modest(self) -> "_Person":
        if excess := self.roles - _THROUGH_CHAT:
            raise ValueError(f"nobody is {', '.join(sorted(excess))} through a delegate")
        if unnamed := [i for i in self.identities if not all(i.partition(":"))]:
            raise ValueError(f"identities are written system:user, not {', '.join(unnamed)}")
        return self


class _People(RootModel[dict[str, _Person]]):
    @model_validator(mode="after")
    def _are_told_apart(self) -> "_People":
        every = Counter(i for person in self.root.values() for i in person.identities)
        if doubled := [identity for identity, times in every.items() if times > 1]:
            raise ValueError(f"several people are {', '.join(doubled)}")
        return self


class Roster:
    """A TOML file with a table for each person, read anew at each question.

        [ada]
        roles = ["reader", "approver"]
        identities = ["slack:T012AB/U034CD", "matrix:@ada:example.org"]

    So whoever is taken out of it can decide nothing from that moment on. It grants `reader`,
    `proposer` and `approver`; `admin` takes a token of one's own.
    """

    def __init__(self, file: Path) -> None:
        """Keep to a file. Raises ValueError where it cannot be followed."""
        self._file = file
        self._read()

    def person(self, identity: str) -> Principal:
        """Return who acts under an identity. Blocks.

        Raises:
            UnknownPerson: nobody does.
            DependencyUnavailable: the file cannot be followed any more.
        """
        try:
            people = self._read()
        except ValueError as error:
            raise DependencyUnavailable(str(error)) from error
        for name, person in people.items():
            if identity in person.identities:
                return Principal(name, person.roles, surface=identity.partition(":")[0])
        raise UnknownPerson(
            f"nobody is known as {identity}: have it added to your entry in the roster"
        )

    def _read(self) -> dict[str, _Person]:
        try:
            text = self._file.read_text(encoding="utf-8")
            return _People.model_validate(tomllib.loads(text)).root
        except (OSError, ValidationError, tomllib.TOMLDecodeError) as error:
            raise ValueError(f"the roster {self._file} cannot be followed: {error}") from error
