import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.aggregator.domain.lineage.errors import InvalidNode
from services.aggregator.domain.lineage.nodes import NodeId, NodeKind, parse_node

_PART = st.text(min_size=1, max_size=40).filter(str.isprintable)
_PLAIN = st.from_regex(r"[A-Za-z0-9_.-]{1,64}", fullmatch=True)


@st.composite
def nodes(draw: st.DrawFn) -> NodeId:
    match kind := draw(st.sampled_from(NodeKind)):
        case NodeKind.JOB | NodeKind.DATASET:
            return NodeId(kind, draw(_PART), draw(_PART))
        case NodeKind.COLUMN:
            return NodeId(kind, draw(_PART), draw(_PART), draw(_PART))
        case NodeKind.OUTPUT:
            return NodeId(kind, "", draw(_PLAIN), draw(_PART))
        case _:
            return NodeId(kind, "", draw(_PART))


@given(nodes())
def test_text_and_parts_say_the_same(node: NodeId) -> None:
    assert parse_node(str(node)) == node


@given(nodes(), nodes())
def test_different_nodes_have_different_texts(first: NodeId, second: NodeId) -> None:
    assert (str(first) == str(second)) == (first == second)


@pytest.mark.parametrize(
    ("text", "node"),
    [
        ("feature:user_embedding_v3", NodeId(NodeKind.FEATURE, "", "user_embedding_v3")),
        ("feature:a:b", NodeId(NodeKind.FEATURE, "", "a:b")),
        ("model:ads_ctr", NodeId(NodeKind.MODEL, "", "ads_ctr")),
        ("output:ads_ctr/score", NodeId(NodeKind.OUTPUT, "", "ads_ctr", "score")),
        ("job:airflow:encode", NodeId(NodeKind.JOB, "airflow", "encode")),
        (
            "dataset:postgres://db:5432:public.users",
            NodeId(NodeKind.DATASET, "postgres://db:5432", "public.users"),
        ),
        (
            "column:s3://lake:users%3Av2:age",
            NodeId(NodeKind.COLUMN, "s3://lake", "users:v2", "age"),
        ),
    ],
)
def test_the_texts_that_people_write(text: str, node: NodeId) -> None:
    assert parse_node(text) == node
    assert str(node) == text


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("user_embedding", "write one of job:NAMESPACE:NAME"),
        ("table:a:b", "write one of job:NAMESPACE:NAME"),
        ("feature:", "write feature:NAME"),
        ("dataset:users", "needs a namespace: write dataset:NAMESPACE:NAME"),
        ("column:ns:users", "write column:NAMESPACE:DATASET:COLUMN"),
        ("output:ads_ctr", "needs a field: write output:MODEL/NAME"),
        ("feature:a\nb", "not printable"),
        ("feature:" + "a" * 1024, "longer than 1024"),
    ],
)
def test_other_texts_are_refused_with_the_form_that_is_wanted(text: str, says: str) -> None:
    with pytest.raises(InvalidNode, match=says) as refused:
        parse_node(text, field="edges[3].source")
    assert refused.value.field == "edges[3].source"


def test_a_part_that_the_kind_has_not_is_refused() -> None:
    with pytest.raises(InvalidNode, match="a feature has no namespace"):
        NodeId(NodeKind.FEATURE, "ns", "a")
