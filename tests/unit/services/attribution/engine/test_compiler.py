"""What is recognised, what falls back, and what is refused."""

import pytest
import torch
from torch import Tensor, nn

from services.attribution.domain.checkpoint import Schema
from services.attribution.domain.compilation import Explanation
from services.attribution.domain.errors import CheckpointRefused
from services.attribution.engine.compiler import compiled
from tests.unit.services.attribution.engine.architectures import ARCHITECTURES, Leaky
from tests.unit.services.attribution.engine.exporting import checkpoint_of, exported, seeded
from tests.unit.services.attribution.engine.vectors import make_schema

SCHEMA = make_schema()


def _explained(name: str) -> Explanation:
    module = seeded(ARCHITECTURES[name], SCHEMA)
    return compiled(exported(module, SCHEMA), checkpoint_of(SCHEMA)).explanation


@pytest.mark.parametrize(
    ("name", "kinds"),
    [
        ("concat", {"linear map"}),
        ("norm", {"layer normalisation", "linear map"}),
        ("dlrm", {"pairwise dots", "linear map"}),
        ("dcn_stacked", {"product", "linear map", "elementwise sum"}),
        ("norm_dcn", {"layer normalisation", "product", "linear map", "elementwise sum"}),
        ("deep_fm", {"sum", "linear map"}),
    ],
)
def test_joins_are_recognised(name: str, kinds: set[str]) -> None:
    explanation = _explained(name)
    found = {join.kind for route in explanation.routes for join in route.joins}
    assert kinds <= found
    assert not any(route.fallbacks for route in explanation.routes)
    assert explanation.distrusted is None


def test_a_step_without_a_rule_is_named_with_its_reason() -> None:
    explanation = _explained("opaque")
    (route,) = explanation.routes
    (fallback,) = route.fallbacks
    assert fallback.operator == "sort"
    assert "no rule" in fallback.reason
    assert "falls back at sort" in explanation.text()


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_the_analysis_is_not_contradicted(name: str) -> None:
    assert _explained(name).distrusted is None


def test_predicted_cost_falls_with_coverage() -> None:
    explanation = _explained("concat")
    assert explanation.predicted_speedup(0.1) > explanation.predicted_speedup(1.0) > 1


def test_rows_that_mix_are_refused() -> None:
    module = seeded(Leaky, SCHEMA)
    with pytest.raises(CheckpointRefused, match="depends on the other examples"):
        compiled(exported(module, SCHEMA), checkpoint_of(SCHEMA))


def test_a_fixed_batch_is_refused() -> None:
    row = SCHEMA.baseline_row()
    module = seeded(ARCHITECTURES["concat"], SCHEMA)
    arguments = tuple(torch.from_numpy(row[s.name]).unsqueeze(0) for s in SCHEMA.inputs)
    with pytest.raises(CheckpointRefused, match="dynamic batch dimension"):
        compiled(torch.export.export(module, arguments), checkpoint_of(SCHEMA))


class _Additive(nn.Module):
    """Adds one number a feature, which has no axis but the examples'."""

    def __init__(self, schema: Schema) -> None:
        super().__init__()
        self.table = nn.Embedding(4, 1)

    def forward(self, *inputs: Tensor) -> Tensor:
        """Return the logits."""
        columns = [tensor.flatten(1) for tensor in inputs]
        return sum(
            (
                column.mean(1) / 10
                if column.is_floating_point()
                else self.table(column[:, 0] % 4).squeeze(1)
                for column in columns
            ),
            start=torch.zeros(()),
        )


def test_numbers_that_are_added_one_by_one_are_analysed() -> None:
    module = seeded(_Additive, SCHEMA)
    explanation = compiled(exported(module, SCHEMA), checkpoint_of(SCHEMA)).explanation
    assert explanation.distrusted is None


class _NotANumber(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.model = ARCHITECTURES["concat"](SCHEMA)

    def forward(self, *inputs: Tensor) -> Tensor:
        answer: Tensor = torch.log(self.model(*inputs) * 0 - 1)
        return answer


def test_a_program_that_answers_no_number_is_refused() -> None:
    module = seeded(lambda _: _NotANumber(), SCHEMA)
    with pytest.raises(CheckpointRefused):
        compiled(exported(module, SCHEMA), checkpoint_of(SCHEMA))
