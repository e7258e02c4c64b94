"""Running the graph finds a feature that the analysis overlooked, whichever it is."""

import pytest
import torch

from services.attribution.domain.probe import probe_examples
from services.attribution.engine.dependencies import Dependencies
from services.attribution.engine.graph import lowered
from services.attribution.engine.taint import contradictions
from tests.unit.services.attribution.engine.architectures import ARCHITECTURES
from tests.unit.services.attribution.engine.exporting import exported, seeded
from tests.unit.services.attribution.engine.vectors import Counts, make_schema

SCHEMA = make_schema(Counts(40, 20, 3, 2, 2, 2))


@pytest.mark.parametrize("name", ["concat", "norm_dcn", "deep_fm"])
def test_an_overlooked_feature_is_found(name: str) -> None:
    graph = lowered(exported(seeded(ARCHITECTURES[name], SCHEMA), SCHEMA))
    examples = probe_examples(SCHEMA, 4)
    dependencies = Dependencies(graph, SCHEMA)
    output = next(step.name for step in graph.steps if step.index == graph.output)
    reached = dependencies.features(graph.output)
    assert reached == (1 << len(SCHEMA.features)) - 1
    with torch.inference_mode():
        assert contradictions(graph, dependencies, examples) == []
        for j in range(0, len(SCHEMA.features), 4):
            label = dependencies.sets.label(reached & ~(1 << j))
            dependencies.labels[graph.output] = torch.tensor([label])
            assert contradictions(graph, dependencies, examples) == [output]
