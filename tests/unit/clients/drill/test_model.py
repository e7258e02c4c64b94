"""The parts of the click model do what their contracts say."""

import numpy as np
import torch

from clients.drill.columns import pack_float16, unpack_float16
from clients.drill.encoding import Encoder
from clients.drill.model import LARGEST, ClickModel, Pairs, decode
from clients.drill.movielens.world import World
from clients.drill.training import Absences


def test_words_decode_to_bounded_float16() -> None:
    rng = np.random.default_rng(0)
    words = rng.integers(-(2**63), 2**63, (500, 4))
    words[0] = pack_float16(np.array([[np.inf, -np.inf, np.nan, 1.0] * 4]))
    halves = unpack_float16(words).astype(np.float32)
    assert np.isnan(halves).any()
    assert np.isinf(halves).any()
    expected = np.clip(np.nan_to_num(halves, nan=0.0), -LARGEST, LARGEST)
    np.testing.assert_array_equal(decode(torch.from_numpy(words)).numpy(), expected)


def test_every_pair_counts_once() -> None:
    torch.manual_seed(0)
    pairs, fields = Pairs(fields=4, width=3), torch.randn(5, 4, 8)
    weight = pairs.weight.view(3, 4, 4)
    expected = sum(
        weight[:, i, j] * (fields[:, i] * fields[:, j]).sum(1, keepdim=True)
        for i in range(4)
        for j in range(i)
    )
    torch.testing.assert_close(pairs(fields), expected)


def test_logits_are_finite_for_baselines_and_for_real_rows(world: World) -> None:
    encoder = Encoder(world.schema)
    count = len(encoder.baseline(1)[0][0])
    model = ClickModel(world.schema, torch.zeros(count), torch.ones(count))
    for inputs in (encoder.baseline(3), encoder(world.examples.slice(0, 40))):
        logits = model(*inputs)
        assert logits.shape == (len(inputs[0]),)
        assert logits.dtype == torch.float32
        assert logits.isfinite().all()


def test_absences_put_features_at_their_baseline(world: World) -> None:
    encoder = Encoder(world.schema)
    inputs, baseline = encoder(world.examples.slice(500, 200)), encoder.baseline(200)
    generator = torch.Generator().manual_seed(0)
    everything = Absences(world.schema, encoder.baseline(1), 1.0, generator)
    nothing = Absences(world.schema, encoder.baseline(1), 0.0, generator)
    for lost, expected in zip(everything(inputs), baseline, strict=True):
        assert torch.equal(lost, expected)
    for kept, expected in zip(nothing(inputs), inputs, strict=True):
        assert torch.equal(kept, expected)
