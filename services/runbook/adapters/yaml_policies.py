"""Rules from YAML: one file, or all files of a folder."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import Field, ValidationError

from services.runbook.adapters.yaml_limits import (
    ApprovalSection,
    GuardRailsSection,
    LeaseSection,
    Section,
    VerificationSection,
)
from services.runbook.domain.errors import InvalidPolicy
from services.runbook.domain.plan import MitigationKind
from services.runbook.domain.policy import (
    FEATURES_FIELDS,
    PROPOSE_IF_FIELDS,
    WHEN_FIELDS,
    Condition,
    Fields,
    Mode,
    Policy,
    Rules,
)
from services.runbook.ports import Conditions


class _PolicyEntry(Section):
    name: str = Field(pattern="^[a-z0-9_-]{1,64}$")
    mode: Mode
    action: str = Field(pattern="^kill_switch$")
    when: str
    features: str
    propose_if: str


class _File(Section):
    policies: tuple[_PolicyEntry, ...] = ()
    guard_rails: GuardRailsSection | None = None
    verification: VerificationSection | None = None
    approval: ApprovalSection | None = None
    lease: LeaseSection | None = None


class YamlPolicies:
    """The rules as they were when the process started."""

    def __init__(self, path: Path, conditions: Conditions) -> None:
        """Read the rules.

        Raises:
            InvalidPolicy: with the file and the path inside it.
        """
        self._rules = _read(path, conditions)

    def current(self) -> Rules:
        """Return the rules."""
        return self._rules


def _read(path: Path, conditions: Conditions) -> Rules:
    files = {file: _parse(file) for file in _files(path)}
    names: set[str] = set()
    policies: list[Policy] = []
    for file, content in files.items():
        for index, entry in enumerate(content.policies):
            if entry.name in names:
                raise InvalidPolicy(f"{file}: policies[{index}].name: {entry.name} is taken")
            names.add(entry.name)
            policies.append(_policy(f"{file}: policies[{index}]", entry, conditions))
    rails = _only_one(files, "guard_rails") or GuardRailsSection()
    verification = _only_one(files, "verification") or VerificationSection()
    approval = _only_one(files, "approval") or ApprovalSection()
    lease = _only_one(files, "lease") or LeaseSection()
    return Rules(
        tuple(policies), rails.rails(), verification.terms(), approval.steps(), lease.terms()
    )


def _files(path: Path) -> Sequence[Path]:
    if path.is_dir():
        found = sorted(file for file in path.iterdir() if file.suffix in {".yaml", ".yml"})
    else:
        found = [path] if path.is_file() else []
    if not found:
        raise InvalidPolicy(f"{path}: no policy file there")
    return found


def _parse(file: Path) -> _File:
    try:
        return _File.model_validate(yaml.safe_load(file.read_text(encoding="utf-8")) or {})
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InvalidPolicy(f"{file}: no YAML: {error}") from error
    except ValidationError as error:
        complaints = [f"{file}: {_path(e['loc'])}: {e['msg']}" for e in error.errors()]
        raise InvalidPolicy("\n".join(complaints)) from error


def _path(location: Sequence[Any]) -> str:
    steps = (f"[{step}]" if isinstance(step, int) else f".{step}" for step in location)
    return "".join(steps).lstrip(".") or "the whole file"


def _policy(where: str, entry: _PolicyEntry, conditions: Conditions) -> Policy:
    def compiled(field: str, fields: Fields) -> Condition:
        try:
            return conditions.compile(getattr(entry, field), fields)
        except InvalidPolicy as error:
            raise InvalidPolicy(f"{where}.{field}: {error}") from error

    return Policy(
        name=entry.name,
        mode=entry.mode,
        action=MitigationKind(entry.action.upper()),
        when=compiled("when", WHEN_FIELDS),
        features=compiled("features", FEATURES_FIELDS),
        propose_if=compiled("propose_if", PROPOSE_IF_FIELDS),
    )


def _only_one(files: dict[Path, _File], section: str) -> Any:
    found = {file: value for file, content in files.items() if (value := getattr(content, section))}
    if len(found) > 1:
        raise InvalidPolicy(f"{' and '.join(map(str, found))}: {section} may be given once only")
    return next(iter(found.values()), None)
