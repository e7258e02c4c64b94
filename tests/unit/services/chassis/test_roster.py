"""Whom delegates may speak for."""

from pathlib import Path

import pytest

from services.chassis.errors import UnknownPerson
from services.chassis.roster import Roster
from services.chassis.tokens import Principal, Role

ADA = '[ada]\nroles = ["approver"]\nidentities = ["slack:T1/U1", "matrix:@ada:x"]\n'


def roster(folder: Path, text: str) -> Roster:
    file = folder / "roster.toml"
    file.write_text(text)
    return Roster(file)


def test_a_person_is_found_under_each_identity(tmp_path: Path) -> None:
    found = roster(tmp_path, ADA)
    assert found.person("slack:T1/U1") == Principal("ada", frozenset({Role.APPROVER}), "slack")
    assert found.person("matrix:@ada:x").surface == "matrix"
    with pytest.raises(UnknownPerson, match="slack:T1/U2"):
        found.person("slack:T1/U2")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("[ada", "cannot be followed"),
        ('[ada]\nroles = ["admin"]\nidentities = []', "nobody is admin"),
        ('[ada]\nroles = ["delegate"]\nidentities = []', "nobody is delegate"),
        ('[ada]\nroles = ["approver"]\nidentities = ["U1"]', "system:user"),
        ('[ada]\nroles = ["boss"]\nidentities = []', "boss|Input should be"),
        ("[ada]\nroles = []\nidentities = []\nphone = 1", "phone"),
        (ADA + '[eve]\nroles = []\nidentities = ["slack:T1/U1"]', "several people"),
    ],
)
def test_a_roster_that_cannot_be_followed_is_refused(tmp_path: Path, text: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        roster(tmp_path, text)


def test_a_roster_has_to_be_there(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="cannot be followed"):
        Roster(tmp_path / "none.toml")
