"""Reads manifest.json."""

import hashlib
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, Literal

import numpy as np
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from services.attribution.domain.checkpoint import (
    AnyFeature,
    Checkpoint,
    Feature,
    FeatureKind,
    Group,
    InputSpec,
    Output,
    Schema,
)
from services.attribution.domain.errors import CheckpointRefused

_Name = Annotated[str, Field(min_length=1, max_length=256)]
_Size = Annotated[int, Field(ge=1, le=1_000_000)]


class _Document(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _Program(_Document):
    file: str = Field(pattern=r"^[A-Za-z0-9_-][A-Za-z0-9_.-]{0,127}$")
    sha256: str = Field(pattern="^[0-9a-f]{64}$")


class _Input(_Document):
    name: _Name
    dtype: Literal["float32", "int64"]
    shape: list[_Size] = Field(max_length=1)


class _Feature(_Document):
    name: _Name
    kind: FeatureKind
    input: _Name
    column: int | None = Field(default=None, ge=0)
    weights_input: _Name | None = None
    baseline: int | float | None = None
    cardinality: int | None = Field(default=None, ge=1, le=2**63 - 1)


class _Group(_Document):
    name: _Name
    features: list[_Name]


class _Manifest(_Document):
    format_version: Literal[1]
    model: str = Field(pattern=r"^[A-Za-z0-9_.-]{1,64}$")
    version: str = Field(pattern=r"^[A-Za-z0-9_.:-]{1,128}$")
    trained_until: AwareDatetime
    output: Output
    threshold: float = Field(gt=0, lt=1)
    program: _Program
    inputs: list[_Input] = Field(min_length=1, max_length=20_000)
    features: list[_Feature] = Field(min_length=1, max_length=20_000)
    groups: list[_Group] = Field(default=[], max_length=20_000)
    classes: list[_Name] = Field(default=[], max_length=10_000)


class Manifest:
    """A checkpoint's manifest."""

    def __init__(self, content: bytes) -> None:
        """Read the manifest's bytes.

        Raises:
            CheckpointRefused: with the path of what is wrong in it.
        """
        try:
            document = _Manifest.model_validate_json(content)
        except ValidationError as error:
            raise CheckpointRefused(_explained(error)) from error
        self.program_file = document.program.file
        """Name of the program's file beside the manifest."""
        self.program_sha256 = document.program.sha256
        self.checkpoint = _checkpoint(document, hashlib.sha256(content).hexdigest())


def _checkpoint(document: _Manifest, digest: str) -> Checkpoint:
    try:
        return Checkpoint(
            model=document.model,
            version=document.version,
            trained_until=_utc(document.trained_until),
            output=document.output,
            threshold=document.threshold,
            schema=_schema(document),
            digest=digest,
            classes=tuple(document.classes),
        )
    except CheckpointRefused as error:
        raise CheckpointRefused(f"manifest.json: {error}") from error


def _schema(document: _Manifest) -> Schema:
    return Schema(
        inputs=tuple(InputSpec(i.name, np.dtype(i.dtype), tuple(i.shape)) for i in document.inputs),
        features=_grouped(
            [_feature(j, feature) for j, feature in enumerate(document.features)],
            document.groups,
        ),
    )


def _feature(position: int, feature: _Feature) -> Feature:
    at = f"features[{position}]"
    scalar = feature.kind in (FeatureKind.NUMERIC, FeatureKind.CATEGORICAL)
    if scalar and feature.baseline is None:
        raise CheckpointRefused(f"{at}.baseline: a {feature.kind.value} needs one")
    weighted = feature.kind is FeatureKind.WEIGHTED_ID_LIST
    if weighted != (feature.weights_input is not None):
        raise CheckpointRefused(
            f"{at}.weights_input: a WEIGHTED_ID_LIST needs one, no other kind has one"
        )
    bounded = feature.kind is FeatureKind.CATEGORICAL or feature.kind.is_list
    if feature.cardinality is not None and not bounded:
        raise CheckpointRefused(f"{at}.cardinality: a {feature.kind.value} has no ids")
    return Feature(
        name=feature.name,
        kind=feature.kind,
        input=feature.input,
        column=feature.column,
        weights_input=feature.weights_input,
        baseline=feature.baseline or 0.0,
        cardinality=feature.cardinality,
    )


def _grouped(columns: Sequence[Feature], groups: Sequence[_Group]) -> tuple[AnyFeature, ...]:
    """Return the features, each group in the place of the first of its members."""
    position = {column.name: j for j, column in enumerate(columns)}
    features: dict[int, AnyFeature] = dict(enumerate(columns))
    owners: dict[str, str] = {}
    for g, group in enumerate(groups):
        for k, name in enumerate(group.features):
            at = f"groups[{g}].features[{k}]"
            if name not in position:
                raise CheckpointRefused(f"{at}: there is no feature {name!r}")
            if name in owners:
                raise CheckpointRefused(f"{at}: {name!r} is in the group {owners[name]!r} already")
            owners[name] = group.name
        places = [position[name] for name in group.features]
        made = Group(group.name, tuple(features.pop(j).members[0] for j in places))
        features[min(places)] = made
    return tuple(features[j] for j in sorted(features))


def _explained(error: ValidationError) -> str:
    problems = []
    for problem in error.errors(include_url=False, include_input=False):
        path = "".join(f"[{p}]" if isinstance(p, int) else f".{p}" for p in problem["loc"])
        problems.append(f"{path.lstrip('.') or 'document'}: {problem['msg']}")
    more = f"; and {len(problems) - 5} more" if len(problems) > 5 else ""
    return f"manifest.json: {'; '.join(problems[:5])}{more}"


def _utc(time: datetime) -> datetime:
    return time.astimezone(UTC)
