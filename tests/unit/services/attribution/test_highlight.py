"""Grad-CAM on an exported program says what Captum says of the module it was exported from."""

from pathlib import Path

import numpy as np
import pytest
import torch
from captum.attr import LayerAttribution, LayerGradCam
from torch import Tensor, nn

from clients.drill.scenes.networks import Convolutional, Patches, Residual
from clients.drill.scenes.rendering import SIZE
from services.attribution.adapters.folder_checkpoints import FolderCheckpoints
from services.attribution.adapters.torch_checkpoints import TorchPrograms
from services.attribution.domain.errors import NoSaliency, UnknownClass, UnknownLayer
from services.attribution.domain.example import Examples
from services.attribution.domain.layer import Layer
from services.attribution.highlight import Highlight
from services.attribution.ports import Scorer
from tests.images import (
    AllClasses,
    OneClass,
    classes_checkpoint,
    image_checkpoint,
    image_examples,
)
from tests.unit.services.attribution.predictors import Formula, plain

FIFTH = Layer("network.features.5")
CLASSES = ("car", "tire", "tree")
LAYERS = {Convolutional: "features.5", Residual: "features.3.inner.2"}


class Overwriting(nn.Module):
    """A convolution whose activation is overwritten in place."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 4, 3)
        self.head = nn.Linear(4, classes)

    def forward(self, pixels: Tensor) -> Tensor:
        """Return logits [N, classes]."""
        logits: Tensor = self.head(self.first(pixels).relu_().mean(dim=(2, 3)))
        return logits


def _scorer(folder: Path, network: nn.Module) -> Scorer:
    image_checkpoint(folder / "scenes", network, target=1)
    return _read(folder)


def _read(folder: Path) -> Scorer:
    return FolderCheckpoints([folder], {".pt2": TorchPrograms(plain)}).read(folder / "scenes")


def _images(count: int) -> Examples:
    generator = np.random.default_rng(3)
    return image_examples(generator.random((count, 3, SIZE, SIZE), dtype=np.float32))


@pytest.mark.parametrize(
    ("architecture", "layer", "activation"),
    [
        (Convolutional, "features.5", None),
        (Convolutional, "features.5", "features.6"),
        (Convolutional, "features.0", None),
        (Residual, "features.3.inner.2", None),
        (Patches, "features.2", "features.3"),
    ],
)
@pytest.mark.parametrize("size", [None, (SIZE, SIZE)])
def test_it_is_captums_grad_cam(
    tmp_path: Path,
    architecture: type[nn.Module],
    layer: str,
    activation: str | None,
    size: tuple[int, int] | None,
) -> None:
    torch.manual_seed(3)
    network = architecture(5)
    examples = _images(6)
    place = Layer(f"network.{layer}", activation is not None)
    found = Highlight(_scorer(tmp_path, network))(examples, place, size)
    module = OneClass(network, 1).eval()
    cam = LayerGradCam(module, network.get_submodule(activation or layer))
    pixels = torch.from_numpy(examples.arrays["pixels"].astype(np.float32))
    expected = cam.attribute(pixels, relu_attributions=True)
    if size:
        expected = LayerAttribution.interpolate(expected, size, "bilinear")
    assert found.max() > 0
    np.testing.assert_allclose(found, expected[:, 0].detach(), rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("architecture", [Convolutional, Residual])
def test_it_is_captums_grad_cam_for_each_of_several_classes(
    tmp_path: Path, architecture: type[nn.Module]
) -> None:
    torch.manual_seed(3)
    network, layer = architecture(len(CLASSES)), LAYERS[architecture]
    classes_checkpoint(tmp_path / "scenes", network, CLASSES)
    highlight = Highlight(_read(tmp_path))
    examples = _images(6)
    cam = LayerGradCam(AllClasses(network).eval(), network.get_submodule(layer))
    pixels = torch.from_numpy(examples.arrays["pixels"].astype(np.float32))
    maps = []
    for target, name in enumerate(CLASSES):
        found = highlight(examples, Layer(f"network.{layer}"), (SIZE, SIZE), name)
        coarse = cam.attribute(pixels, target, relu_attributions=True)
        expected = LayerAttribution.interpolate(coarse, (SIZE, SIZE), "bilinear")
        np.testing.assert_allclose(found, expected[:, 0].detach(), rtol=1e-4, atol=1e-7)
        maps.append(found)
    assert max(found.max() for found in maps) > 0
    assert not np.allclose(maps[0], maps[1])


def test_a_class_is_named_where_there_are_several_and_there_alone(tmp_path: Path) -> None:
    torch.manual_seed(0)
    classes_checkpoint(tmp_path / "scenes", Convolutional(len(CLASSES)), CLASSES)
    several = Highlight(_read(tmp_path))
    for name in ("", "house"):
        with pytest.raises(UnknownClass, match="tells car, tire, tree apart: name") as raised:
            several(_images(1), FIFTH, None, name)
        assert raised.value.field == "target_class"
    one = Highlight(_scorer(tmp_path / "one", Convolutional(4)))
    with pytest.raises(UnknownClass, match="tells no classes apart"):
        one(_images(1), FIFTH, None, "car")


def test_what_is_overwritten_behind_the_layer_is_seen_as_it_was(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = Overwriting(3)
    found = Highlight(_scorer(tmp_path, network))(_images(4), Layer("network.first"), None)

    def logits(activation: Tensor) -> Tensor:
        scores: Tensor = network.head(activation.relu().mean(dim=(2, 3)))
        return scores[:, 1]

    pixels = torch.from_numpy(_images(4).arrays["pixels"].astype(np.float32))
    activation = network.first(pixels.reshape(-1, 3, SIZE, SIZE)).detach().requires_grad_()
    (gradient,) = torch.autograd.grad(logits(activation).sum(), activation)
    expected = (gradient.mean(dim=(2, 3), keepdim=True) * activation).sum(dim=1).relu()
    np.testing.assert_allclose(found, expected.detach(), rtol=1e-4, atol=1e-7)


def test_an_examples_map_does_not_depend_on_the_others(tmp_path: Path) -> None:
    torch.manual_seed(0)
    highlight = Highlight(_scorer(tmp_path, Convolutional(4)))
    together = highlight(_images(130), FIFTH, None)
    alone = highlight(_images(130).part(129, 130), FIFTH, None)
    assert together.shape == (130, 9, 9)
    np.testing.assert_allclose(together[129], alone[0], rtol=1e-4, atol=1e-7)


def test_a_layer_that_is_none_is_answered_with_those_there_are(tmp_path: Path) -> None:
    highlight = Highlight(_scorer(tmp_path, Convolutional(4)))
    with pytest.raises(UnknownLayer, match=r"it has network\.features\.0, network\.features\.3"):
        highlight(_images(1), Layer("network.head"), None)


def test_behind_a_convolution_without_an_activation_there_is_none(tmp_path: Path) -> None:
    highlight = Highlight(_scorer(tmp_path, Residual(4)))
    place = Layer("network.features.3.inner.2", is_activated=True)
    with pytest.raises(UnknownLayer, match=r"comes aten\.add\.Tensor, and no activation") as raised:
        highlight(_images(1), place, None)
    assert raised.value.field == "after_activation"


def test_programs_without_gradients_say_so() -> None:
    formula = Formula(lambda examples: np.zeros(examples.count))
    with pytest.raises(NoSaliency, match=r"takes a torch\.export program"):
        Highlight(Scorer(formula, plain(formula)))(_images(1), FIFTH, None)
