"""Rules from YAML: one file, or all files of a folder."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import yaml
from pydantic import Field, ValidationError, model_validator

from services.runbook.adapters.learned_entry import LearnedEntry
from services.runbook.adapters.yaml_limits import (
    ApprovalSection,
    AuditSection,
    GuardRailsSection,
    LeaseSection,
    Section,
    VerificationSection,
)
from services.runbook.domain.errors import InvalidPolicy
from services.runbook.domain.facts import (
    FEATURES_FIELDS,
    FINDINGS_FIELDS,
    OPEN_INCIDENT_FIELDS,
    PROPOSE_IF_FIELDS,
    WHEN_FIELDS,
    Fields,
)
from services.runbook.domain.learned import Learned
from services.runbook.domain.policy import (
    Action,
    Chooser,
    Condition,
    Mode,
    Policy,
    Rules,
    Threshold,
)
from services.runbook.domain.specimen import probe
from services.runbook.ports import Conditions

_PEOPLE_DECIDE = frozenset({Action.MASK_IDS, Action.QUARANTINE_ROWS, Action.REBALANCE_ROWS})
_SUFFIXES = frozenset({".yaml", ".yml", ".json"})
"""JSON is YAML, and what a learned policy is written in."""


class _PolicyEntry(Section):
    name: str = Field(pattern="^[a-z0-9_-]{1,64}$")
    version: int = Field(default=1, ge=1)
    mode: Mode = Mode.SUGGEST
    action: Action
    when: str
    features: str | None = None
    learned: LearnedEntry | None = None
    propose_if: str = "true"
    note: str = Field(default="", max_length=1000)
    to: str = Field(default="", max_length=200)

    @model_validator(mode="after")
    def _fits_its_action(self) -> Self:
        if self.features is not None and self.learned is not None:
            raise ValueError("`features` and `learned` both choose features: give one of them")
        chooses = self.features is not None or self.learned is not None
        if (self.action is Action.KILL_SWITCH) != chooses:
            raise ValueError(
                "`features` or `learned` is what kill_switch needs, and no other action takes it"
            )
        if self.learned is not None and self.mode is Mode.APPLY:
            raise ValueError(
                "a learned policy may observe or suggest, but never apply: a person decides"
            )
        if self.action in _PEOPLE_DECIDE and self.mode is Mode.APPLY:
            raise ValueError(
                f"{self.action} may be observed or suggested, but never applied: what an audit "
                "found is a suspicion, and a person decides"
            )
        if (self.action in {Action.ANNOTATE, Action.PAGE}) != bool(self.note):
            raise ValueError("`note` is what annotate and page say, and no other action takes it")
        if (self.action is Action.PAGE) != bool(self.to):
            raise ValueError("`to` is whom page calls, and no other action takes it")
        return self


class _File(Section):
    version: int = Field(default=1, ge=1, le=1)
    """Of the format."""
    policies: tuple[_PolicyEntry, ...] = ()
    guard_rails: GuardRailsSection | None = None
    verification: VerificationSection | None = None
    approval: ApprovalSection | None = None
    lease: LeaseSection | None = None
    audit: AuditSection | None = None


class YamlPolicies:
    """The rules as they were when the process started."""

    def __init__(self, path: Path, conditions: Conditions) -> None:
        """Read the rules.

        Raises:
            InvalidPolicy: with the file, the line and the path inside it.
        """
        self._rules = _rules([_load(file) for file in _files(path)], conditions)

    def current(self) -> Rules:
        """Return the rules."""
        return self._rules


@dataclass(frozen=True)
class YamlRuleReader:
    """Reads rules that are no file of ours."""

    conditions: Conditions

    def read(self, name: str, text: str) -> Rules:
        """Return the rules. Raises InvalidPolicy."""
        return _rules([_parsed(name or "policy", text)], self.conditions)


@dataclass(frozen=True)
class _Source:
    name: str
    root: yaml.Node | None
    content: _File

    def place(self, location: Sequence[Any]) -> str:
        """Return file, line and path of a place, as complaints begin."""
        return f"{self.name}:{_line(self.root, location)}: {_path(location)}"


def _rules(sources: Sequence[_Source], conditions: Conditions) -> Rules:
    names: set[str] = set()
    policies: list[Policy] = []
    problems: list[str] = []
    for source in sources:
        for index, entry in enumerate(source.content.policies):
            if entry.name in names:
                place = source.place(("policies", index, "name"))
                problems.append(f"{place}: {entry.name} is taken")
            names.add(entry.name)
            try:
                policies.append(_policy(source, index, entry, conditions))
            except InvalidPolicy as error:
                problems.append(str(error))
    if problems:
        raise InvalidPolicy("\n".join(problems))
    rails = _only_one(sources, "guard_rails") or GuardRailsSection()
    verification = _only_one(sources, "verification") or VerificationSection()
    approval = _only_one(sources, "approval") or ApprovalSection()
    lease = _only_one(sources, "lease") or LeaseSection()
    _only_one(sources, "audit")
    return Rules(
        tuple(policies),
        rails.rails(),
        verification.terms(),
        approval.steps(),
        lease.terms(),
        _opening(sources, conditions),
    )


def _opening(sources: Sequence[_Source], conditions: Conditions) -> Condition | None:
    """Return which findings open an incident. Raises InvalidPolicy."""
    for source in sources:
        audit = source.content.audit
        if audit is not None and audit.open_incident_when is not None:
            place = source.place(("audit", "open_incident_when"))
            return _compiled(place, audit.open_incident_when, OPEN_INCIDENT_FIELDS, conditions)
    return None


def _compiled(place: str, text: str, fields: Fields, conditions: Conditions) -> Condition:
    try:
        condition = conditions.compile(text, fields)
        probe(condition, fields)
    except InvalidPolicy as error:
        raise InvalidPolicy(f"{place}: {error}") from error
    return condition


def _files(path: Path) -> Sequence[Path]:
    if path.is_dir():
        found = sorted(file for file in path.iterdir() if file.suffix in _SUFFIXES)
    else:
        found = [path] if path.is_file() else []
    if not found:
        raise InvalidPolicy(f"{path}: no policy file there")
    return found


def _load(file: Path) -> _Source:
    try:
        return _parsed(str(file), file.read_text(encoding="utf-8"))
    except UnicodeDecodeError as error:
        raise InvalidPolicy(f"{file}: no YAML: {error}") from error


def _parsed(name: str, text: str) -> _Source:
    try:
        # A few aliases of aliases make gigabytes of a short text.
        if any(isinstance(token, yaml.AliasToken) for token in yaml.scan(text)):
            raise InvalidPolicy(f"{name}: aliases (*name) are not understood here: write it out")
        root = yaml.compose(text, Loader=yaml.SafeLoader)
        return _Source(name, root, _File.model_validate(yaml.safe_load(text) or {}))
    except yaml.YAMLError as error:
        raise InvalidPolicy(f"{name}: no YAML: {error}") from error
    except ValidationError as error:
        problems = [
            f"{name}:{_line(root, e['loc'])}: {_path(e['loc'])}: {e['msg']}" for e in error.errors()
        ]
        raise InvalidPolicy("\n".join(problems)) from error


def _line(node: yaml.Node | None, location: Sequence[Any]) -> int:
    """Return the line, from 1, of what lies at a path, or of the nearest thing around it."""
    for step in location:
        inner = _inner(node, step)
        if inner is None:
            break
        node = inner
    return node.start_mark.line + 1 if node else 1


def _inner(node: yaml.Node | None, step: Any) -> yaml.Node | None:
    if isinstance(node, yaml.MappingNode):
        return next((value for key, value in node.value if key.value == step), None)
    if isinstance(node, yaml.SequenceNode) and isinstance(step, int) and step < len(node.value):
        inner: yaml.Node = node.value[step]
        return inner
    return None


def _path(location: Sequence[Any]) -> str:
    steps = (f"[{step}]" if isinstance(step, int) else f".{step}" for step in location)
    return "".join(steps).lstrip(".") or "the whole file"


def _policy(source: _Source, index: int, entry: _PolicyEntry, conditions: Conditions) -> Policy:
    def compiled(field: str, text: str, fields: Fields) -> Condition:
        return _compiled(source.place(("policies", index, field)), text, fields, conditions)

    chooser: Chooser | None = Learned(entry.learned.model()) if entry.learned else None
    if entry.features is not None:
        chooser = Threshold(compiled("features", entry.features, FEATURES_FIELDS))
    return Policy(
        name=entry.name,
        version=entry.version,
        mode=entry.mode,
        action=entry.action,
        when=compiled(
            "when", entry.when, FINDINGS_FIELDS if entry.action.on_findings else WHEN_FIELDS
        ),
        features=chooser,
        propose_if=compiled("propose_if", entry.propose_if, PROPOSE_IF_FIELDS),
        note=entry.note,
        to=entry.to,
    )


def _only_one(sources: Sequence[_Source], section: str) -> Any:
    found = {
        source.name: value for source in sources if (value := getattr(source.content, section))
    }
    if len(found) > 1:
        raise InvalidPolicy(f"{' and '.join(found)}: {section} may be given once only")
    return next(iter(found.values()), None)
