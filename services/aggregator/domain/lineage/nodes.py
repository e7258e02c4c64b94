"""Ids of nodes, as parts and as text."""

import dataclasses
from dataclasses import dataclass
from enum import Enum
from functools import lru_cache
from urllib.parse import unquote

from services.aggregator.domain.lineage.errors import InvalidNode

_LONGEST = 1024
_REMEMBERED = 65_536


class NodeKind(Enum):
    """What a node stands for."""

    JOB = "job"
    DATASET = "dataset"
    COLUMN = "column"
    FEATURE = "feature"
    MODEL = "model"
    OUTPUT = "output"


_FORMS = {
    NodeKind.JOB: "job:NAMESPACE:NAME",
    NodeKind.DATASET: "dataset:NAMESPACE:NAME",
    NodeKind.COLUMN: "column:NAMESPACE:DATASET:COLUMN",
    NodeKind.FEATURE: "feature:NAME",
    NodeKind.MODEL: "model:NAME",
    NodeKind.OUTPUT: "output:MODEL/NAME",
}


@dataclass(frozen=True, slots=True)
class NodeId:
    """A node's kind and parts; those that its kind has not are empty.

    `namespace`: of jobs, datasets and columns. `name`: of a column its dataset's, of an output its
    model's. `field`: the column, or the output.
    """

    kind: NodeKind
    namespace: str
    name: str
    field: str = ""
    text: str = dataclasses.field(init=False, repr=False, compare=False)
    """The id as text, made once: answers and the log repeat it many times."""

    def __post_init__(self) -> None:
        """Raises InvalidNode: a part is missing, superfluous or not printable, or all too long."""
        in_namespace = self.kind in (NodeKind.JOB, NodeKind.DATASET, NodeKind.COLUMN)
        in_parts = self.kind in (NodeKind.COLUMN, NodeKind.OUTPUT)
        for part, value, is_wanted in (
            ("namespace", self.namespace, in_namespace),
            ("name", self.name, True),
            ("field", self.field, in_parts),
        ):
            if bool(value) != is_wanted:
                what = "needs a" if is_wanted else "has no"
                raise InvalidNode(
                    f"a {self.kind.value} {what} {part}: write {_FORMS[self.kind]}", field=part
                )
            if not value.isprintable():
                raise InvalidNode(f"the {part} {value!r} is not printable", field=part)
        if self.kind is NodeKind.OUTPUT and "/" in self.name:
            raise InvalidNode(f"a model's name has no slash: {self.name!r}", field="name")
        object.__setattr__(self, "text", self._written())
        if len(self.text) > _LONGEST:
            raise InvalidNode(f"{self.text[:80]}... is longer than {_LONGEST} characters")

    def __hash__(self) -> int:
        # Of the text, which remembers its own; that of the kind is slow.
        return hash(self.text)

    def __str__(self) -> str:
        return self.text

    def _written(self) -> str:
        match self.kind:
            case NodeKind.JOB | NodeKind.DATASET:
                return f"{self.kind.value}:{self.namespace}:{_quoted(self.name)}"
            case NodeKind.COLUMN:
                parts = f"{_quoted(self.name)}:{_quoted(self.field)}"
                return f"column:{self.namespace}:{parts}"
            case NodeKind.OUTPUT:
                return f"output:{self.name}/{self.field}"
            case NodeKind.FEATURE | NodeKind.MODEL:
                return f"{self.kind.value}:{self.name}"


def feature_node(name: str) -> NodeId:
    """Return the node of a feature, which is one for all models that it feeds.

    What cannot be printed of its name is replaced by U+FFFD.
    """
    shown = "".join(letter if letter.isprintable() else "\ufffd" for letter in name)
    return NodeId(NodeKind.FEATURE, "", shown)


@lru_cache(maxsize=10_000)
def model_node(name: str) -> NodeId:
    """Return the node of a model."""
    return NodeId(NodeKind.MODEL, "", name)


def output_node(model: str, name: str) -> NodeId:
    """Return the node of what a model hands on."""
    return NodeId(NodeKind.OUTPUT, "", model, name)


def parse_node(text: str, field: str | None = None) -> NodeId:
    """Return the node with that id; `field` is the path of the request field that holds it.

    Raises:
        InvalidNode: it is not the id of a node.

    >>> parse_node("dataset:postgres://db:5432:public.users").namespace
    'postgres://db:5432'
    """
    try:
        return _parsed(text)
    except ValueError as error:
        kinds = ", ".join(_FORMS.values())
        raise InvalidNode(
            f"{text!r} is not the id of a node: write one of {kinds}", field
        ) from error
    except InvalidNode as error:
        raise InvalidNode(f"{text!r} is not the id of a node: {error}", field) from error


@lru_cache(maxsize=_REMEMBERED)
def _parsed(text: str) -> NodeId:
    # Each edge is read from its request and again from the log, and names nodes of other edges.
    kind, _, rest = text.partition(":")
    return _of_kind(NodeKind(kind), rest)


def _of_kind(kind: NodeKind, rest: str) -> NodeId:
    match kind:
        case NodeKind.JOB | NodeKind.DATASET:
            namespace, _, name = rest.rpartition(":")
            return NodeId(kind, namespace, unquote(name))
        case NodeKind.COLUMN:
            dataset, _, column = rest.rpartition(":")
            namespace, _, name = dataset.rpartition(":")
            return NodeId(kind, namespace, unquote(name), unquote(column))
        case NodeKind.OUTPUT:
            model, _, output = rest.partition("/")
            return NodeId(kind, "", model, output)
        case NodeKind.FEATURE | NodeKind.MODEL:
            return NodeId(kind, "", rest)


def _quoted(part: str) -> str:
    return part.replace("%", "%25").replace(":", "%3A")
