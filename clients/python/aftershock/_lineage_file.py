"""Lineage written down by people: a YAML file as a request, and where each part of it stands.

version: 1
provenance: ads-team              # who tells
pipelines:
  - job: airflow:encode_users     # NAMESPACE:NAME
    reads: [dataset:postgres://db:5432:public.users]
    writes: [dataset:s3://features:users]
    feeds: [user_embedding_v3, {feature: user_age, transform: AGGREGATION}]
features:
  - name: user_age
    owner: ads-team
    sources: [column:postgres://db:5432:public.users:age]
models:
  - name: ads_ctr
    features: [user_embedding_v3, user_age]
    outputs:
      - name: score
        feeds: [{feature: ads_score, strength: 0.8}]

A file holds all that its provenance tells: what that told of before and the file does not hold ends
when it is applied.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from aftershock._errors import ConfigurationError, InvalidLineageFile, Violation
from aftershock._yaml_tree import Branch, Problems, read_tree
from aftershock.v1.lineage_pb2 import LineageEdge, LineageNode, Transform, TransformKind
from aftershock.v1.lineage_service_pb2 import RegisterLineageRequest

_KINDS = ("job", "dataset", "column", "feature", "model", "output")
_INDIRECT = frozenset({"FILTER", "JOIN", "SORT", "GROUP_BY", "WINDOW", "CONDITIONAL"})
_DIRECT_KIND = TransformKind.TRANSFORM_KIND_DIRECT
_INDIRECT_KIND = TransformKind.TRANSFORM_KIND_INDIRECT
_Key = tuple[str, str] | str
"""Of an edge its ends, or a node."""
_TOP = ("version", "provenance", "pipelines", "features", "models")


@dataclass(frozen=True)
class LineageFile:
    """A lineage file that can be applied."""

    request: RegisterLineageRequest
    places: dict[str, str]
    """File and line by the path of a field in the request, such as `edges[3].source`."""

    def place_of(self, path: str) -> str | None:
        """Return file and line of a field in the request, or None."""
        return self.places.get(path) or self.places.get(path.partition(".")[0])


def read_lineage_file(file: str | Path) -> LineageFile:
    """Return what a file tells.

    Raises:
        ConfigurationError: it cannot be read, or the extra `lineage` is missing.
        InvalidLineageFile: with file, line and path of everything that is wrong with it.
    """
    path = Path(file)
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path} cannot be read: {error}") from error
    problems = Problems(path.name)
    root = read_tree(text, problems)
    told = _Told(problems)
    if root is not None:
        told.file(root)
    if problems.found:
        raise InvalidLineageFile(problems.found)
    return told.finished()


@dataclass
class _Told:
    """What has been read of a file so far."""

    problems: Problems
    provenance: str = ""
    nodes: dict[str, LineageNode] = field(default_factory=dict)
    edges: dict[tuple[str, str], LineageEdge] = field(default_factory=dict)
    lines: dict[_Key, int] = field(default_factory=dict)

    def file(self, root: Branch) -> None:
        """Read the whole file."""
        root.only(*_TOP)
        if root.number("version", 1) != 1:
            root.complain("version", "this version of the format is not known: write 1")
        self.provenance = root.required("provenance")
        for entry in root.branches("pipelines"):
            self._pipeline(entry)
        for entry in root.branches("features"):
            self._feature(entry)
        for entry in root.branches("models"):
            self._model(entry)

    def finished(self) -> LineageFile:
        """Return the request and where its parts stand."""
        request = RegisterLineageRequest(
            provenance=self.provenance,
            nodes=self.nodes.values(),
            edges=self.edges.values(),
            complete=True,
        )
        told: tuple[tuple[str, Sequence[_Key]], ...] = (
            ("nodes", [*self.nodes]),
            ("edges", [*self.edges]),
        )
        places = {
            f"{name}[{number}]": f"{self.problems.file}:{self.lines[key]}"
            for name, keys in told
            for number, key in enumerate(keys)
        }
        return LineageFile(request, places)

    def _pipeline(self, entry: Branch) -> None:
        entry.only("job", "description", "owner", "reads", "writes", "feeds")
        name = entry.required("job")
        job = f"job:{name}"
        if not name or not self._is_node(job, entry.at("job")):
            return
        self._told_of(job, entry)
        for source, item in self._ends(entry, "reads", "node"):
            self._edge(source, job, item)
        for target, item in self._ends(entry, "writes", "node"):
            self._edge(job, target, item)
        for target, item in self._ends(entry, "feeds", "feature"):
            self._edge(job, target, item)

    def _feature(self, entry: Branch) -> None:
        entry.only("name", "description", "owner", "sources")
        name = entry.required("name")
        if not name:
            return
        feature = f"feature:{name}"
        self._told_of(feature, entry)
        for source, item in self._ends(entry, "sources", "node"):
            self._edge(source, feature, item)

    def _model(self, entry: Branch) -> None:
        entry.only("name", "description", "owner", "features", "outputs")
        name = entry.required("name")
        if not name:
            return
        model = f"model:{name}"
        self._told_of(model, entry)
        for source, item in self._ends(entry, "features", "feature"):
            self._edge(source, model, item)
        for output in entry.branches("outputs"):
            output.only("name", "feeds")
            if not (called := output.required("name")):
                continue
            node = f"output:{name}/{called}"
            self._edge(model, node, output)
            for target, item in self._ends(output, "feeds", "feature"):
                self._edge(node, target, item)

    def _ends(self, entry: Branch, key: str, kind: str) -> Iterator[tuple[str, Branch]]:
        """Yield the node at the other end of each edge that a list tells of."""
        for item in entry.items(key):
            if item.is_mapping:
                item.only(kind, "transform", "strength", "description")
                name, at = item.required(kind), item.at(kind)
            else:
                name, at = item.as_text(), item
            node = f"feature:{name}" if kind == "feature" else name
            if name and self._is_node(node, at):
                yield node, item

    def _is_node(self, node: str, at: Branch) -> bool:
        kind, _, rest = node.partition(":")
        parts = {"job": 2, "dataset": 2, "column": 3}.get(kind, 1)
        if (
            kind in _KINDS
            and rest
            and rest.count(":") >= parts - 1
            and (kind != "output" or 0 < rest.find("/") < len(rest) - 1)
        ):
            return True
        at.complain_here(
            f"{node!r} is not the id of a node: write job:NAMESPACE:NAME, dataset:NAMESPACE:NAME, "
            "column:NAMESPACE:DATASET:COLUMN, feature:NAME, model:NAME or output:MODEL/NAME"
        )
        return False

    def _told_of(self, node: str, entry: Branch) -> None:
        if node in self.nodes:
            entry.complain_here(f"{node} is told of on line {self.lines[node]} already")
            return
        self.lines[node] = entry.line
        self.nodes[node] = LineageNode(
            node=node, description=entry.text("description"), owner=entry.text("owner")
        )

    def _edge(self, source: str, target: str, item: Branch) -> None:
        edge = LineageEdge(source=source, target=target, transform=_transform(item))
        strength = item.decimal("strength")
        if strength is not None:
            edge.strength = strength
        known = self.edges.get((source, target))
        if known is not None and known != edge:
            line = self.lines[source, target]
            item.complain_here(f"{source} -> {target} is told of otherwise on line {line}")
            return
        self.lines[source, target] = item.line
        self.edges[source, target] = edge


def _transform(item: Branch) -> Transform | None:
    operation = item.text("transform") if item.is_mapping else ""
    description = item.text("description") if item.is_mapping else ""
    if not operation:
        return None
    indirect = operation.upper() in _INDIRECT
    kind = (
        TransformKind.TRANSFORM_KIND_INDIRECT if indirect else TransformKind.TRANSFORM_KIND_DIRECT
    )
    return Transform(kind=kind, operation=operation, description=description)


def explain(lineage: LineageFile, violations: Iterable[Violation]) -> list[str]:
    """Return what the service says of a file, with the line that each complaint is about."""
    return [
        f"{lineage.place_of(violation.field) or violation.field}: {violation.description}"
        for violation in violations
    ]
