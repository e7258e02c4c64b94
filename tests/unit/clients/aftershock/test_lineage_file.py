"""A lineage file as people write it: what it tells, and what is wrong with it and where."""

from pathlib import Path
from textwrap import dedent

import pytest

from aftershock import ConfigurationError, InvalidLineageFile, Violation
from aftershock._lineage_file import explain, read_lineage_file
from aftershock.v1.lineage_pb2 import TransformKind

WHOLE = """\
version: 1
provenance: ads-team
pipelines:
  - job: airflow:encode_users
    owner: ads-platform
    reads: [dataset:postgres://db:5432:public.users]
    writes: [dataset:s3://features:users]
    feeds: [user_embedding_v3, {feature: user_age, transform: FILTER}]
features:
  - name: user_age
    description: years
    sources:
      - column:postgres://db:5432:public.users:age
      - {node: feature:signup_year, transform: AGGREGATION, strength: 0.5}
models:
  - name: ads_ctr
    features: [user_embedding_v3, user_age]
    outputs:
      - name: score
        feeds: [{feature: ads_score, strength: 0.8}]
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "lineage.yaml"


def problems(file: Path, text: str) -> list[str]:
    file.write_text(dedent(text))
    with pytest.raises(InvalidLineageFile) as caught:
        read_lineage_file(file)
    return list(caught.value.problems)


def test_a_whole_file(file: Path) -> None:
    file.write_text(WHOLE)
    request = read_lineage_file(file).request
    assert request.provenance == "ads-team"
    assert [(node.node, node.owner, node.description) for node in request.nodes] == [
        ("job:airflow:encode_users", "ads-platform", ""),
        ("feature:user_age", "", "years"),
        ("model:ads_ctr", "", ""),
    ]
    job, age = "job:airflow:encode_users", "feature:user_age"
    assert [(edge.source, edge.target) for edge in request.edges] == [
        ("dataset:postgres://db:5432:public.users", job),
        (job, "dataset:s3://features:users"),
        (job, "feature:user_embedding_v3"),
        (job, age),
        ("column:postgres://db:5432:public.users:age", age),
        ("feature:signup_year", age),
        ("feature:user_embedding_v3", "model:ads_ctr"),
        (age, "model:ads_ctr"),
        ("model:ads_ctr", "output:ads_ctr/score"),
        ("output:ads_ctr/score", "feature:ads_score"),
    ]
    by_filter, by_sum, fed = request.edges[3], request.edges[5], request.edges[9]
    assert by_filter.transform.kind == TransformKind.TRANSFORM_KIND_INDIRECT
    assert by_sum.transform.kind == TransformKind.TRANSFORM_KIND_DIRECT
    assert (by_sum.transform.operation, by_sum.strength, fed.strength) == ("AGGREGATION", 0.5, 0.8)
    assert not by_filter.HasField("strength")
    assert not request.edges[0].HasField("transform")
    assert request.complete


def test_an_empty_list_is_none(file: Path) -> None:
    file.write_text("provenance: me\nfeatures:\nmodels: []\n")
    assert not read_lineage_file(file).request.nodes


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("features: [", "lineage.yaml:1: is no YAML: expected the node content, but found"),
        ("", "lineage.yaml:1: holds no keys"),
        ("- a", "lineage.yaml:1: holds no keys"),
        ("version: 2", "lineage.yaml:1: version: this version of the format is not known"),
        ("version: one", "lineage.yaml:1: version: 'one' is no number"),
        ("models: ads_ctr", "lineage.yaml:1: models: is no list"),
        ("features:\n  - user_age", "lineage.yaml:2: features[0]: has no keys"),
        ("features:\n  - owner: me", "lineage.yaml:2: features[0]: needs `name`"),
        ("features:\n  - name: [a]", "lineage.yaml:2: features[0].name: is no text"),
        ("feature: []", "lineage.yaml:1: feature: is not known here: one of version,"),
        (
            "features:\n  - name: a\n    sources:\n      - user_age",
            "lineage.yaml:4: features[0].sources[0]: 'user_age' is not the id of a node",
        ),
        (
            "features:\n  - name: a\n    sources:\n      - {node: 'dataset:x', strength: 1}",
            "lineage.yaml:4: features[0].sources[0].node: 'dataset:x' is not the id of a node",
        ),
        (
            "features:\n  - name: a\n    sources:\n      - {node: 'job:x:y', strength: high}",
            "lineage.yaml:4: features[0].sources[0].strength: 'high' is no number",
        ),
        ("pipelines:\n  - job: encode", "lineage.yaml:2: pipelines[0].job: 'job:encode' is not"),
        (
            "features:\n  - name: a\n  - name: a",
            "lineage.yaml:3: features[1]: feature:a is told of on line 2 already",
        ),
        (
            "pipelines:\n  - job: x:y\n    feeds: [a]\n"
            "features:\n  - name: a\n    sources: [{node: 'job:x:y', strength: 2}]",
            "lineage.yaml:6: features[0].sources[0]: job:x:y -> feature:a is told of otherwise on "
            "line 3",
        ),
    ],
)
def test_what_is_wrong_and_where(file: Path, text: str, expected: str) -> None:
    told = (
        text if text.startswith(("features: [", "- a")) or not text else f"{text}\nprovenance: me"
    )
    (problem,) = problems(file, told)
    assert problem.startswith(expected)


def test_who_tells_must_be_told(file: Path) -> None:
    """Or two files of the same name would end each other's edges."""
    assert problems(file, "features: []") == ["lineage.yaml:1: needs `provenance`"]


def test_everything_that_is_wrong_is_told_at_once(file: Path) -> None:
    found = problems(file, "version: 7\nprovenance: me\nfeatures:\n  - owner: me\nmodels: 3\n")
    assert [problem.split(": ")[1] for problem in found] == ["version", "features[0]", "models"]


def test_what_the_service_says_is_told_by_line(file: Path) -> None:
    file.write_text(WHOLE)
    lineage = read_lineage_file(file)
    said = [
        Violation("edges[4].source", "not printable"),
        Violation("nodes[0].owner", "odd"),
        Violation("provenance", "too long"),
    ]
    assert explain(lineage, said) == [
        "lineage.yaml:13: not printable",
        "lineage.yaml:4: odd",
        "provenance: too long",
    ]


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="cannot be read"):
        read_lineage_file(tmp_path / "none.yaml")
