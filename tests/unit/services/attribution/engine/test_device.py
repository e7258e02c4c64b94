"""A program computes where it is told: nothing is left behind on the CPU, and nothing changes."""

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest
import torch

from services.attribution.domain.checkpoint import Output
from services.attribution.engine.compiler import compiled
from services.attribution.engine.device import CPU, array_of, computing_on, tensor_of
from tests.checkpoints import random_examples
from tests.unit.services.attribution.engine.architectures import ARCHITECTURES
from tests.unit.services.attribution.engine.exporting import checkpoint_of, exported, seeded
from tests.unit.services.attribution.engine.other_device import OTHER, OtherDevice, OtherTensor
from tests.unit.services.attribution.engine.vectors import make_schema

SCHEMA = make_schema()


@contextmanager
def other_device() -> Iterator[None]:
    # Python numbers become a tensor of the CPU first, and then go where they are wanted.
    torch._C._set_only_lift_cpu_tensors(True)
    try:
        with OtherDevice():  # type: ignore[no-untyped-call]
            yield
    finally:
        torch._C._set_only_lift_cpu_tensors(False)


def test_the_other_device_refuses_what_an_accelerator_refuses() -> None:
    with other_device():
        there = torch.ones(3, device=OTHER)
        with pytest.raises(AssertionError, match="mixes devices"):
            there + torch.ones(3)
        with pytest.raises(RuntimeError, match="numpy"):
            there.numpy()
        assert there.add_(1).sum().cpu().item() == 6.0


def test_what_is_made_in_the_context_lies_on_the_device() -> None:
    with other_device():
        with computing_on(OTHER):
            there = tensor_of(np.arange(3))
            assert isinstance(there, OtherTensor)
            made = (torch.zeros(2), torch.arange(4), torch.tensor([1, 2]), torch.eye(2))
            assert {tensor.device for tensor in made} == {OTHER}
        assert tensor_of(np.arange(3)).device == CPU
        assert array_of(there).tolist() == [0, 1, 2]


def test_on_the_cpu_nothing_is_copied() -> None:
    array = np.arange(4.0)
    with computing_on(CPU):
        tensor = tensor_of(array)
    tensor.add_(1)
    assert array_of(tensor)[0] == array[0] == 1.0


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_a_program_stays_on_its_device(name: str) -> None:
    output = Output.PROBABILITY if name == "probability" else Output.LOGIT
    program = exported(seeded(ARCHITECTURES[name], SCHEMA), SCHEMA)
    checkpoint = checkpoint_of(SCHEMA, output)
    examples = random_examples(SCHEMA, 29, seed=3, absent=0.5)
    here = compiled(program, checkpoint)
    with other_device():
        there = compiled(program, checkpoint, device=OTHER)
        answer = there.ablate(examples)
    assert there.device == OTHER
    assert there.explanation == here.explanation
    expected = here.ablate(examples)
    np.testing.assert_array_equal(answer.logits, expected.logits)
    np.testing.assert_array_equal(answer.dense(), expected.dense())


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_gpu_answers_as_the_cpu_does() -> None:
    examples = random_examples(SCHEMA, 101, seed=3, absent=0.5)
    for name in ARCHITECTURES:
        output = Output.PROBABILITY if name == "probability" else Output.LOGIT
        program = exported(seeded(ARCHITECTURES[name], SCHEMA), SCHEMA)
        checkpoint = checkpoint_of(SCHEMA, output)
        expected = compiled(program, checkpoint).ablate(examples).dense()
        there = compiled(program, checkpoint, device=torch.device("cuda"))
        first, again = (there.ablate(examples).dense() for _ in range(2))
        np.testing.assert_array_equal(first, again)
        np.testing.assert_array_equal(first != 0, expected != 0, err_msg=name)
        np.testing.assert_allclose(first, expected, atol=1e-5 * max(1.0, abs(expected).max()))
