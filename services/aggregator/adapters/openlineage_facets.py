"""Facets of OpenLineage's events, as far as they are read here.

What a message has beyond that is kept as it came: `model_extra` of a set of facets holds the facets
that are unknown here.
"""

from collections.abc import Sequence
from enum import StrEnum
from typing import Annotated, Any, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

MOST_DATASETS = 10_000
_MOST_FIELDS = 20_000
_DEEPEST_FIELDS = 16


def _absent_if_deleted(facet: Any) -> Any:
    """Read `_deleted: true`, which takes a facet back, as if the facet were not there."""
    return None if isinstance(facet, dict) and facet.get("_deleted") else facet


class Message(BaseModel):
    """Part of an event."""

    model_config = ConfigDict(extra="allow", frozen=True)

    @model_validator(mode="before")
    @classmethod
    def _null_is_absent(cls, value: Any) -> Any:
        """Clients send null for what they leave out."""
        if isinstance(value, dict):
            return {key: item for key, item in value.items() if item is not None}
        return value


Namespace = Annotated[str, Field(min_length=1, max_length=1024)]
Name = Annotated[str, Field(min_length=1, max_length=2048)]


class SchemaField(Message):
    """One column of a dataset, or one field of a struct."""

    name: Name
    type: str = ""
    fields: Annotated[tuple["SchemaField", ...], Field(max_length=_MOST_FIELDS)] = ()


class SchemaFacet(Message):
    """The columns of a dataset."""

    fields: Annotated[tuple[SchemaField, ...], Field(max_length=_MOST_FIELDS)] = ()

    def columns(self) -> dict[str, str]:
        """Return the type of each column; a struct's fields are named `struct.field`."""
        found: dict[str, str] = {}
        _flatten("", self.fields, found, _DEEPEST_FIELDS)
        return found


class Transformation(Message):
    """How an input column acts on what it is an input of."""

    type: str
    """DIRECT: its values go in; INDIRECT: it filters, joins, sorts or groups."""
    subtype: str = ""
    description: str = ""


class InputField(Message):
    """A column that another column, or a whole dataset, depends on."""

    namespace: Namespace
    name: Name
    field: Name
    transformations: tuple[Transformation, ...] = ()


class ColumnInputs(Message):
    """What one output column depends on."""

    input_fields: Annotated[
        tuple[InputField, ...], Field(alias="inputFields", max_length=_MOST_FIELDS)
    ]
    transformation_type: Annotated[str, Field(alias="transformationType")] = ""
    """Of all inputs, IDENTITY or MASKED; before spec 1-2-0."""


class ColumnLineageFacet(Message):
    """What each output column depends on, and what all of them do (`dataset`, since 1-2-0)."""

    fields: Annotated[dict[Name, ColumnInputs], Field(max_length=_MOST_FIELDS)]
    dataset: Annotated[tuple[InputField, ...], Field(max_length=_MOST_FIELDS)] = ()


class Identifier(Message):
    """A name of a dataset."""

    namespace: Namespace
    name: Name


class SymlinksFacet(Message):
    """Other names of the same data."""

    identifiers: Annotated[tuple[Identifier, ...], Field(max_length=MOST_DATASETS)] = ()


class Change(StrEnum):
    """What became of a dataset."""

    ALTER = "ALTER"
    CREATE = "CREATE"
    DROP = "DROP"
    OVERWRITE = "OVERWRITE"
    RENAME = "RENAME"
    TRUNCATE = "TRUNCATE"


class LifecycleFacet(Message):
    """A change of a dataset as a whole."""

    change: Annotated[Change, Field(alias="lifecycleStateChange")]
    previous: Annotated[Identifier | None, Field(alias="previousIdentifier")] = None

    @model_validator(mode="after")
    def _renamed_from_something(self) -> Self:
        if self.change is Change.RENAME and self.previous is None:
            raise ValueError("a RENAME needs previousIdentifier, the name that it had")
        return self


class DocumentationFacet(Message):
    """What a job or a dataset is, in words."""

    description: str = ""


class Owner(Message):
    """Somebody who answers for a job or a dataset."""

    name: str


class OwnershipFacet(Message):
    """Who answers for a job or a dataset."""

    owners: tuple[Owner, ...] = ()


class _Facets(Message):
    """Facets that jobs and datasets have in common."""

    documentation: Annotated[DocumentationFacet | None, BeforeValidator(_absent_if_deleted)] = None
    ownership: Annotated[OwnershipFacet | None, BeforeValidator(_absent_if_deleted)] = None

    @property
    def description(self) -> str:
        """What it is, or empty."""
        return self.documentation.description[:2048] if self.documentation else ""

    @property
    def owner(self) -> str:
        """The first who answers for it, or empty."""
        owners = self.ownership.owners if self.ownership else ()
        return owners[0].name[:256] if owners else ""


class DatasetFacets(_Facets):
    """Facets of a dataset that say something about lineage."""

    schema_: Annotated[
        SchemaFacet | None, Field(alias="schema"), BeforeValidator(_absent_if_deleted)
    ] = None
    column_lineage: Annotated[
        ColumnLineageFacet | None,
        Field(alias="columnLineage"),
        BeforeValidator(_absent_if_deleted),
    ] = None
    symlinks: Annotated[SymlinksFacet | None, BeforeValidator(_absent_if_deleted)] = None
    lifecycle: Annotated[
        LifecycleFacet | None,
        Field(alias="lifecycleStateChange"),
        BeforeValidator(_absent_if_deleted),
    ] = None


class JobFacets(_Facets):
    """Facets of a job."""


class ErrorMessageFacet(Message):
    """Why a run failed."""

    message: str = ""


class RunFacets(Message):
    """Facets of a run."""

    error: Annotated[ErrorMessageFacet | None, Field(alias="errorMessage")] = None


def _flatten(prefix: str, fields: Sequence[SchemaField], found: dict[str, str], depth: int) -> None:
    for field in fields:
        name = f"{prefix}{field.name}"
        found[name] = field.type
        if field.fields and depth:
            _flatten(f"{name}.", field.fields, found, depth - 1)
