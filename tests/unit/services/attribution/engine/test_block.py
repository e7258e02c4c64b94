"""What a block's towers and ReLUs change by is made once."""

import torch

from services.attribution.engine.block import Block
from services.attribution.engine.compiler import compiled
from services.attribution.engine.device import tensor_of
from tests.checkpoints import random_examples
from tests.unit.services.attribution.engine.architectures import ARCHITECTURES
from tests.unit.services.attribution.engine.exporting import checkpoint_of, exported, seeded
from tests.unit.services.attribution.engine.vectors import make_schema

SCHEMA = make_schema()


def test_the_change_of_a_tower_is_made_once_a_block_and_class() -> None:
    module = seeded(ARCHITECTURES["concat"], SCHEMA)
    program = compiled(exported(module, SCHEMA), checkpoint_of(SCHEMA))
    examples = random_examples(SCHEMA, 5, absent=0.5)
    (trunk,) = program.trunks
    joint = trunk.joint[0]
    (tower,) = (i for i in joint.inputs if trunk.towers.reaches(i))
    with torch.inference_mode():
        values = program.graph.run([tensor_of(a) for a in examples.arguments()])
        block, other = Block(values, examples.count), Block(values, examples.count)
        delta, ablated = block.delta(trunk, tower), block.ablated(trunk, tower)
        assert block.delta(trunk, tower) is delta
        assert block.ablated(trunk, tower) is ablated
        assert other.delta(trunk, tower) is not delta
        torch.testing.assert_close(values[tower] + delta, ablated)


def test_a_relu_changes_as_its_parts_say() -> None:
    value, change = torch.tensor([[-2.0, -0.5, 0.0, 1.0]]), torch.tensor([[1.0, 1.0, 0.0, -3.0]])
    block = Block({7: value}, 1)
    relu = block.relu(7)
    assert block.relu(7) is relu
    got = torch.maximum(change + relu.below, relu.floor)
    torch.testing.assert_close(got, torch.relu(value + change) - torch.relu(value))
    assert ((change + relu.below > relu.gate) == torch.tensor([[False, True, False, True]])).all()
